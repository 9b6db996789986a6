package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// testOutdatedRecords: records that were interpreted without what is stored of their days do not replace it, and no part of their
// Save is stored.
func testOutdatedRecords(t *testing.T, e Engine) {
	at := func(r store.Record, after time.Duration) store.Record {
		r.State.AskedAt = Asked().Add(after)
		return r
	}
	knows := func(r store.Record, before store.Record) store.Record {
		r.Before = before.State
		return r
	}
	figures := func(callbacks int64) store.Record {
		r := Daily(Shop, FirstDay, callbacks)
		r.State.Checksum = store.Checksum(*r.Daily)
		return r
	}
	without := func(r store.Record) store.Record {
		r.Daily, r.Hourly = nil, nil
		return r
	}
	quiet := store.Record{AppID: Shop, API: datacube.Daily, Date: FirstDay, State: Known(), Daily: new(datacube.Figures)}
	quiet.State.Empty, quiet.State.Checksum = true, store.Checksum(datacube.Figures{})
	notReady := store.Record{AppID: Shop, API: datacube.Daily, Date: FirstDay, State: store.State{Status: store.NotReady, Asks: 1, AskedAt: Asked()}}
	hours := Hourly(Shop, FirstDay, datacube.Hours{3: {Callbacks: 3}})
	quietHours := Hourly(Shop, FirstDay, datacube.Hours{})
	quietHours.State.Empty = true
	lateQuietHours := at(quietHours, time.Hour)
	lateHours := hours
	lateHours.State, lateHours.Hourly = notReady.State, nil
	otherDay, otherAccount := hours, hours
	otherDay.Date++
	otherAccount.AppID = Bot
	for name, c := range map[string]struct {
		stored   []store.Record
		record   store.Record
		outdated bool
	}{
		"not ready, of a known day":                     {[]store.Record{figures(1)}, at(notReady, time.Hour), true},
		"not ready, of a day that is not":               {[]store.Record{notReady}, at(notReady, time.Hour), false},
		"not ready, before the last answer":             {[]store.Record{at(notReady, time.Hour)}, notReady, true},
		"not ready, by a clock that was ahead":          {[]store.Record{at(notReady, time.Hour)}, knows(notReady, at(notReady, time.Hour)), false},
		"confirms stored figures":                       {[]store.Record{figures(1)}, without(at(figures(1), time.Hour)), false},
		"confirms figures of a new day":                 {nil, without(figures(1)), true},
		"confirms figures without a checksum":           {nil, without(Daily(Shop, FirstDay, 1)), true},
		"confirms figures of a day that is not ready":   {[]store.Record{notReady}, without(at(figures(1), time.Hour)), true},
		"confirms figures that are others":              {[]store.Record{figures(1)}, without(at(figures(2), time.Hour)), true},
		"confirms figures, before the last answer":      {[]store.Record{at(figures(1), time.Hour)}, without(figures(1)), true},
		"without traffic":                               {nil, quiet, false},
		"without traffic, as before":                    {[]store.Record{quiet}, at(quiet, time.Hour), false},
		"without traffic, of a day with it":             {[]store.Record{figures(1)}, at(quiet, time.Hour), true},
		"without traffic, of hours with it":             {[]store.Record{hours}, quiet, true},
		"without traffic, of hours without it":          {[]store.Record{quietHours}, quiet, false},
		"without traffic, of hours not ready":           {[]store.Record{lateHours}, quiet, false},
		"without traffic, of others with it":            {[]store.Record{otherDay, otherAccount}, quiet, false},
		"hours without traffic, of a day with it":       {[]store.Record{figures(1)}, quietHours, true},
		"figures of a day without traffic":              {[]store.Record{quiet}, at(figures(1), time.Hour), false},
		"figures of a day that is not ready":            {[]store.Record{at(notReady, time.Hour)}, figures(1), false},
		"figures before a later answer without traffic": {[]store.Record{at(quiet, time.Hour)}, figures(1), false},
		"hours before a later answer without traffic":   {[]store.Record{lateQuietHours}, hours, false},
		"without traffic, before it was so again":       {[]store.Record{at(quiet, time.Hour)}, quiet, true},
		"later figures":                                 {[]store.Record{figures(1)}, at(figures(2), time.Hour), false},
		"earlier figures":                               {[]store.Record{at(figures(1), time.Hour)}, figures(2), true},
		"earlier figures than others":                   {[]store.Record{at(figures(1), time.Hour)}, knows(figures(2), figures(3)), true},
		"figures that replace those stored":             {[]store.Record{at(figures(1), time.Hour)}, knows(figures(2), figures(1)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := e.New(t).Open(t)
			for _, r := range c.stored {
				Save(t, s, r)
			}
			before := Load(t, s, BeforeAll)
			records := []store.Record{Daily("wxthird", FirstDay, 5), c.record, Daily("wxthird", FirstDay+1, 6)}
			_, err := s.Save(t.Context(), records)
			refused, ok := errors.AsType[*store.OutdatedError](err)
			switch {
			case !c.outdated && err != nil:
				t.Error(err)
			case c.outdated && !ok:
				t.Errorf("saved: %v", err)
			case c.outdated:
				want := store.OutdatedRecord{Index: 1}
				if account := before[Shop]; account != nil {
					want.Stored = account.States[c.record.API].At(c.record.Date)
					if c.record.NeedsOther() {
						want.Other = account.States[datacube.APIs-1-c.record.API].At(c.record.Date)
					}
				}
				if diff := cmp.Diff([]store.OutdatedRecord{want}, refused.Records); diff != "" {
					t.Errorf("outdated records (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(before, Load(t, s, BeforeAll)); diff != "" {
					t.Errorf("what is stored (-before +after):\n%s", diff)
				}
				Save(t, s, records[0], records[2])
			}
		})
	}
}
