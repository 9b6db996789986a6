package store_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

func knownDay(daily *datacube.Figures) store.Record {
	return store.Record{AppID: "wx1", API: datacube.Daily, Date: 20_000, State: store.State{Status: store.Known}, Daily: daily}
}

func TestCheckRecords(t *testing.T) {
	t.Parallel()
	valid := knownDay(nil)
	with := func(change func(*store.Record)) store.Record {
		r := valid
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		record store.Record
		want   string
	}{
		"valid":           {valid, ""},
		"no account":      {with(func(r *store.Record) { r.AppID = "" }), "save 2024-10-04 of , daily: the app id is missing"},
		"no such API":     {with(func(r *store.Record) { r.API = datacube.APIs }), "unknown API"},
		"never requested": {with(func(r *store.Record) { r.State.Status = store.NeverAsked }), "a day cannot become"},
		"the other API":   {with(func(r *store.Record) { r.Hourly = new(datacube.Hours) }), "the figures are of the other API"},
	} {
		err := store.CheckRecords([]store.Record{valid, c.record})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if got := store.Saving([]store.Record{valid, valid}); got != "save 2 records" {
		t.Errorf("two records: %q", got)
	}
}

// TestMarksDay: a day has a new mark when it becomes known or its figures change, and only then.
func TestMarksDay(t *testing.T) {
	t.Parallel()
	known, notReady := knownDay(nil), knownDay(nil)
	notReady.State.Status = store.NotReady
	for _, c := range []struct {
		record  store.Record
		before  store.Status
		revised bool
		want    bool
	}{
		{known, store.NeverAsked, false, true}, {known, store.NotReady, false, true}, {known, store.Known, false, false},
		{known, store.Known, true, true}, {notReady, store.NeverAsked, false, false}, {notReady, store.NotReady, false, false},
	} {
		if got := c.record.MarksDay(c.before, c.revised); got != c.want {
			t.Errorf("%v after %v, revised: %v: %v", c.record.State.Status, c.before, c.revised, got)
		}
	}
}

func TestRevise(t *testing.T) {
	t.Parallel()
	f := func(n int64) datacube.Figures {
		return datacube.Figures{Callbacks: n, Failures: n, TimeCostMillis: n, MaxTimeCostMillis: n}
	}
	one, two := f(1), f(2)
	r := knownDay(&two)
	if got := r.Revise(&datacube.Hours{two}); got != nil {
		t.Errorf("the same figures are the revision %+v", got)
	}
	want := &store.Revision{AppID: "wx1", API: datacube.Daily, Date: 20_000, Before: one, After: two}
	if diff := cmp.Diff(want, r.Revise(&datacube.Hours{one})); diff != "" {
		t.Error(diff)
	}
	r = store.Record{AppID: "wx1", API: datacube.Hourly, Date: 20_000, Hourly: &datacube.Hours{0: f(math.MaxInt64), 23: one}}
	want = &store.Revision{AppID: "wx1", API: datacube.Hourly, Date: 20_000, After: f(math.MaxInt64)}
	want.Before = datacube.Figures{Callbacks: 3, Failures: 3, TimeCostMillis: 3, MaxTimeCostMillis: 2}
	if diff := cmp.Diff(want, r.Revise(&datacube.Hours{4: one, 5: two})); diff != "" {
		t.Error(diff)
	}
}
