package query

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

// Account is a configured account. Its series carry its name.
type Account struct {
	Name  string
	AppID string
}

// kind says when the samples of a metric are.
type kind uint8

const (
	// ofHistory has a sample at the end of each known hour or day.
	ofHistory kind = iota
	// ofDay is a gauge that describes the latest day known at each moment.
	ofDay
	// ofAccount is a gauge that does not depend on what is known.
	ofAccount
)

// metric is a metric that can be queried. All of them are gauges.
type metric struct {
	name, help, unit string

	kind kind
	// api is the call that the figures come from, unless kind is ofAccount.
	api datacube.API
	// figure is for ofHistory.
	figure history.Figure
	// gauge is for the other kinds.
	gauge families.Family
}

// interval is the time between two samples of a series, in milliseconds.
func (m *metric) interval() int64 {
	switch {
	case m.kind != ofHistory:
		return gaugeInterval
	case m.api == datacube.Hourly:
		return hour
	default:
		return day
	}
}

const (
	minute int64 = 60_000
	hour         = 60 * minute
	day          = 24 * hour
	// gaugeInterval is how far apart the samples of a gauge are: as if it were scraped at Prometheus'
	// default interval.
	gaugeInterval = minute
)

// metrics returns all metrics in the order of their names.
func metrics() []*metric {
	var all []*metric
	for _, f := range history.Families() {
		m := &metric{name: f.Name, help: f.Help, kind: ofHistory, api: f.API, figure: f.Figure}
		m.gauge.Values = [][]string{nil}
		all = append(all, m)
	}
	for _, f := range families.All() {
		m := &metric{name: f.Name, help: f.Help, gauge: f}
		switch {
		case f.Name == "weixin_account_info":
			m.kind = ofAccount
		case strings.HasPrefix(f.Name, "weixin_interface_daily_"):
			m.kind, m.api = ofDay, datacube.Daily
		case strings.HasPrefix(f.Name, "weixin_interface_hourly_"):
			m.kind, m.api = ofDay, datacube.Hourly
		default:
			continue
		}
		all = append(all, m)
	}
	for _, m := range all {
		if strings.HasSuffix(m.name, "_seconds") {
			m.unit = "seconds"
		}
	}
	slices.SortFunc(all, func(a, b *metric) int { return strings.Compare(a.name, b.name) })
	return all
}

// hasLabel reports whether the series of the metric have the label.
func (m *metric) hasLabel(name string) bool {
	switch name {
	case model.MetricNameLabel, history.AccountLabel:
		return true
	default:
		return name == m.gauge.Own && name != "" || slices.Contains(m.gauge.Labels, name)
	}
}

// value returns the value of a label of the account's series with the number i.
func (m *metric) value(a *Account, i int, label string) string {
	switch label {
	case model.MetricNameLabel:
		return m.name
	case history.AccountLabel:
		return a.Name
	case m.gauge.Own:
		return m.gauge.OwnValue(a.snapshot())
	default:
		return m.gauge.Values[i][slices.Index(m.gauge.Labels, label)]
	}
}

// labels returns the labels of the account's series with the number i.
func (m *metric) labels(b *labels.ScratchBuilder, a *Account, i int) labels.Labels {
	b.Reset()
	b.Add(model.MetricNameLabel, m.name)
	b.Add(history.AccountLabel, a.Name)
	if m.gauge.Own != "" {
		b.Add(m.gauge.Own, m.value(a, i, m.gauge.Own))
	}
	for n, name := range m.gauge.Labels {
		b.Add(name, m.gauge.Values[i][n])
	}
	return b.Labels()
}
