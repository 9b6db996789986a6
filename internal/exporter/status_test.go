package exporter

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

func TestCallsOfTheDay(t *testing.T) {
	noon := time.Date(2026, 3, 10, 4, 0, 0, 0, time.UTC)
	var c calls
	if date, list := c.today(noon); date != datacube.DateOf(noon) || len(list) != 0 {
		t.Errorf("before the first call: %v, %v", date, list)
	}
	for _, r := range []weixin.Request{{API: weixin.TokenAPI, Errcode: "0"}, {API: weixin.DailyAPI, Errcode: "48001"}, {API: weixin.DailyAPI, Errcode: "0"}, {API: weixin.DailyAPI, Errcode: "0"}} {
		c.observe(r, noon)
	}
	want := []web.Calls{{API: "daily", Errcode: "0", Number: 2}, {API: "daily", Errcode: "48001", Number: 1}, {API: "token", Errcode: "0", Number: 1}}
	if _, list := c.today(noon); !slices.Equal(list, want) {
		t.Errorf("%v, want %v", list, want)
	}
	midnight := datacube.DateOf(noon).End()
	if date, list := c.today(midnight); date != datacube.DateOf(noon)+1 || len(list) != 0 {
		t.Errorf("on the next day: %v, %v", date, list)
	}
	for i := range 2 * mostOutcomes {
		c.observe(weixin.Request{API: weixin.DailyAPI, Errcode: strconv.Itoa(i)}, midnight)
	}
	if _, list := c.today(midnight); len(list) != mostOutcomes {
		t.Errorf("%d outcomes are kept", len(list))
	}
}

func TestFiguresOfTheStore(t *testing.T) {
	db, err := sqlite.Open(t.Context(), "", sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	date := datacube.DateOf(time.Date(2026, 3, 10, 4, 0, 0, 0, time.UTC))
	var hours datacube.Hours
	hours[7] = datacube.Figures{Callbacks: 5, Failures: 1, TimeCostMillis: 500, MaxTimeCostMillis: 200}
	total := hours.Total()
	var records []store.Record
	for _, appID := range []string{"wx1", "wx2", "wx3"} {
		known := store.State{Status: store.Known, Asks: 1, AskedAt: date.End(), KnownAt: date.End()}
		records = append(records, store.Record{AppID: appID, API: datacube.Daily, Date: date, State: known, Daily: &total},
			store.Record{AppID: appID, API: datacube.Hourly, Date: date, State: known, Hourly: &hours})
	}
	if _, err := db.Save(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	f := figures{db}
	var days []string
	read := func(appID string, d datacube.Date, got datacube.Figures) {
		days = append(days, appID)
		if d != date || got != total {
			t.Errorf("%s, %v: %v", appID, d, got)
		}
	}
	if err := f.DailyFigures(t.Context(), []string{"wx3", "wx1", "unknown"}, date-30, date, read); err != nil || !slices.Equal(days, []string{"wx3", "wx1"}) {
		t.Errorf("%q: %v", days, err)
	}
	days = nil
	if err := f.DailyFigures(t.Context(), nil, date, date, read); err != nil || days != nil {
		t.Errorf("no account has the days of %q: %v", days, err)
	}
	n := 0
	err = f.HourlyFigures(t.Context(), "wx2", date-1, date, func(d datacube.Date, got *datacube.Hours) {
		n++
		if diff := cmp.Diff(hours, *got); d != date || diff != "" {
			t.Errorf("%v: %s", d, diff)
		}
	})
	if err != nil || n != 1 {
		t.Errorf("%d days: %v", n, err)
	}
}

func TestReceivers(t *testing.T) {
	r := prometheus.NewRegistry()
	pending := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weixin_remote_write_pending_samples", Help: "Pending."}, []string{"endpoint"})
	success := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weixin_remote_write_last_success_timestamp_seconds", Help: "Success."}, []string{"endpoint"})
	r.MustRegister(pending, success)
	pending.WithLabelValues("a").Set(7)
	success.WithLabelValues("a").Set(1_700_000_000)
	success.WithLabelValues("b").Set(0)
	want := []web.Receiver{{Label: "a", Pending: 7, LastSuccess: time.Unix(1_700_000_000, 0)}, {Label: "b", Pending: -1}}
	got := receivers(r)
	slices.SortFunc(got, func(a, b web.Receiver) int { return int(a.Label[0]) - int(b.Label[0]) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
