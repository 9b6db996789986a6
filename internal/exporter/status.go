package exporter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"weixin_exporter/internal/store/engine"
	"weixin_exporter/internal/web"
)

// reloadFault is why a reload failed.
type reloadFault struct {
	text string
	at   time.Time
}

// status returns what the exporter does now, for the page about its health.
func (x *exporter) status(registry *prometheus.Registry) web.Status {
	a := x.refresher.Activity()
	s := web.Status{
		Started:   x.started,
		Queue:     web.Queue{Underway: a.Underway, Ready: a.Ready, Waiting: a.Waiting, Next: a.Next},
		Receivers: receivers(registry),
	}
	s.CallsDate, s.Calls = x.calls.today(x.Now())
	if cfg := x.current.Load(); cfg != nil {
		kept := engine.StatusOf(cfg.Store)
		s.Store = web.StoreStatus{Engine: kept.Engine, Path: kept.Place, Bytes: kept.Bytes, LastWrite: kept.LastWrite, OnServer: kept.OnServer, Sharing: shownSharing(x.sharing.Sharing())}
	}
	if at := x.configured.Load(); at != nil {
		s.Config.Since = *at
	}
	if fault := x.reloadFault.Load(); fault != nil {
		s.Config.Fault, s.Config.FaultAt = fault.text, fault.at
	}
	return s
}

// receivers returns the state of remote write, as its metrics have it.
func receivers(registry *prometheus.Registry) []web.Receiver {
	families, err := registry.Gather()
	if err != nil {
		return nil // the scrape reports it
	}
	var found []web.Receiver
	index := map[string]int{}
	of := func(m *dto.Metric) *web.Receiver {
		label := ""
		for _, pair := range m.GetLabel() {
			if pair.GetName() == "endpoint" {
				label = pair.GetValue()
			}
		}
		i, ok := index[label]
		if !ok {
			i = len(found)
			index[label] = i
			found = append(found, web.Receiver{Label: label, Pending: -1})
		}
		return &found[i]
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "weixin_remote_write_pending_samples":
				of(m).Pending = int64(m.GetGauge().GetValue())
			case "weixin_remote_write_last_success_timestamp_seconds":
				if seconds := m.GetGauge().GetValue(); seconds > 0 {
					of(m).LastSuccess = time.UnixMilli(int64(seconds * 1000))
				} else {
					of(m)
				}
			}
		}
	}
	return found
}
