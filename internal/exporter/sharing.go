package exporter

import (
	"context"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/collector"
	"weixin_exporter/internal/config"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/text"
	"weixin_exporter/internal/web"
)

// differRounds is how many renewals in a row other accounts of another exporter are not worth a warning: the
// configurations of several exporters are not reloaded at the same moment.
const differRounds = 12

// division logs how the exporters that share a store divide its accounts. It is used by one goroutine at a time.
type division struct {
	logger    log.Logger
	slots, of int
	exporters int
	// fault is the kind of the failed renewal that was logged last; "" if the last one succeeded.
	fault store.Kind
	// differing counts the renewals since which other exporters have other accounts.
	differing int
}

// renewed logs what the latest renewal has changed.
func (d *division) renewed(s store.SharingStatus) {
	if !s.Shared {
		return
	}
	if d.fault != "" {
		d.fault = ""
		level.Info(d.logger).Log("msg", "the slots of this exporter are renewed again")
	}
	if slots, of := s.Owned, wanted(s); slots != d.slots || of != d.of || len(s.Peers) != d.exporters {
		d.slots, d.of, d.exporters = slots, of, len(s.Peers)
		level.Info(d.logger).Log("msg", "the accounts are divided among the exporters", "slots", slots, "of", of, "exporters", d.exporters)
	}
	differing := differing(s)
	switch {
	case len(differing) == 0:
		if d.differing > differRounds {
			level.Info(d.logger).Log("msg", "all exporters have the same accounts again")
		}
		d.differing = 0
		return
	case d.differing == differRounds:
		level.Warn(d.logger).Log("msg", "other exporters with the same store have other accounts in their configuration; each account is requested only by those that have it",
			"exporters", text.List(differing))
	}
	d.differing++
}

// failed logs that the slots could not be renewed, once as long as the kind of the reason stays the same.
func (d *division) failed(err error) {
	if fault := store.KindOf(err); fault != d.fault {
		d.fault = fault
		level.Error(d.logger).Log("msg", "the slots of this exporter cannot be renewed; other exporters take over its accounts if that lasts", "err", err)
	}
}

// wanted returns the number of slots in which this exporter has accounts.
func wanted(s store.SharingStatus) int { return s.Owned + s.Others + s.Unowned }

// differing returns the names of the exporters that have other accounts than this one.
func differing(s store.SharingStatus) []string {
	own, ok := ownAccounts(s)
	if !ok {
		return nil
	}
	var names []string
	for _, p := range s.Peers {
		if p.Accounts != own {
			names = append(names, p.Name)
		}
	}
	return names
}

// ownAccounts returns what identifies the accounts of this exporter; ok is false if it is not among the living ones.
func ownAccounts(s store.SharingStatus) (uint64, bool) {
	for _, p := range s.Peers {
		if p.Self {
			return p.Accounts, true
		}
	}
	return 0, false
}

// want tells the other exporters for which accounts this one would work.
func (x *exporter) want(cfg *config.Config) {
	appIDs := make([]string, len(cfg.Accounts))
	for i, a := range cfg.Accounts {
		appIDs[i] = a.AppID
	}
	x.sharing.Want(store.WorkOf(appIDs...))
}

// renewSlots renews the slots of this exporter and claims its share. It returns an error that it has not logged.
func (x *exporter) renewSlots(ctx context.Context) error {
	err := x.sharing.KeepSlots(ctx)
	if err == nil {
		x.division.renewed(x.sharing.Sharing())
	}
	return err
}

// sharingMetrics returns how the store is shared; ok is false if only one exporter can use it.
func (x *exporter) sharingMetrics() (collector.Sharing, bool) {
	s := x.sharing.Sharing()
	return collector.Sharing{
		Known: s.Known, Owned: s.Owned, Others: s.Others, Unowned: s.Unowned, Unused: s.Unused, Exporters: len(s.Peers),
		Renewed: s.Renewed, Followed: x.refresher.Activity().CaughtUp,
		Used: s.Connections.Used, Idle: s.Connections.Idle, MaxConnections: s.Connections.Max,
	}, s.Shared
}

// shownSharing returns how the store is shared, for the page; nil if only one exporter can use it.
func shownSharing(s store.SharingStatus) *web.Sharing {
	if !s.Shared {
		return nil
	}
	shown := &web.Sharing{Known: s.Known, Wanted: wanted(s), Owned: s.Owned, Unowned: s.Unowned, Renewed: s.Renewed}
	own, known := ownAccounts(s)
	for _, p := range s.Peers {
		shown.Exporters = append(shown.Exporters, web.SharingExporter{
			Name: p.Name, Self: p.Self, Slots: p.Slots, Differs: known && p.Accounts != own,
		})
	}
	return shown
}
