package refresh_test

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"
	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

func TestCallsFor(t *testing.T) {
	day := func(text string) datacube.Date { return date(t, "2026-"+text) }
	all := func(datacube.Date) bool { return true }
	but := func(known ...string) func(datacube.Date) bool {
		return func(d datacube.Date) bool {
			for _, text := range known {
				if d == day(text) {
					return false
				}
			}
			return true
		}
	}
	for name, c := range map[string]struct {
		api          datacube.API
		since, until string
		wanted       func(datacube.Date) bool
		want         []string
	}{
		"one day":              {since: "03-09", until: "03-09", wanted: all, want: []string{"03-09 03-09"}},
		"30 days are one call": {since: "02-08", until: "03-09", wanted: all, want: []string{"02-08 03-09"}},
		"31 days are two":      {since: "02-07", until: "03-09", wanted: all, want: []string{"02-08 03-09", "02-07 02-07"}},
		"newest first": {since: "01-01", until: "03-09", wanted: all,
			want: []string{"02-08 03-09", "01-09 02-07", "01-01 01-08"}},
		"the hourly call takes a day": {api: datacube.Hourly, since: "03-07", until: "03-09", wanted: all,
			want: []string{"03-09 03-09", "03-08 03-08", "03-07 03-07"}},
		"known days are left out": {since: "03-01", until: "03-09", wanted: but("03-09", "03-05", "03-04", "03-01"),
			want: []string{"03-06 03-08", "03-02 03-03"}},
		"a stretch begins behind a known day": {since: "01-01", until: "03-09", wanted: but("03-08"),
			want: []string{"03-09 03-09", "02-06 03-07", "01-07 02-05", "01-01 01-06"}},
		"hours of known days are left out": {api: datacube.Hourly, since: "03-07", until: "03-09", wanted: but("03-08"),
			want: []string{"03-09 03-09", "03-07 03-07"}},
		"nothing is wanted": {since: "03-08", until: "03-09", wanted: but("03-08", "03-09")},
		"no day":            {since: "03-09", until: "03-08", wanted: all},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, call := range refresh.CallsFor(c.api, day(c.since), day(c.until), c.wanted) {
				if call.API != c.api || call.Purpose != refresh.History {
					t.Errorf("%+v, want a %s call with the purpose history", call, c.api)
				}
				got = append(got, call.Begin.String()[5:]+" "+call.End.String()[5:])
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// shelf keeps the latest status of each account.
type shelf struct {
	latest map[string]refresh.BackfillStatus
	shown  int
	each   func(refresh.BackfillStatus) // may be nil
}

func (s *shelf) Show(status refresh.BackfillStatus) {
	if s.latest == nil {
		s.latest = map[string]refresh.BackfillStatus{}
	}
	s.latest[status.Account] = status
	s.shown++
	if s.each != nil {
		s.each(status)
	}
}

// fill runs a backfill on the harness's store and returns its plan and results.
func (w *harness) fill(ctx context.Context, f refresh.BackfillRequest, progress *shelf) (refresh.BackfillPlan, []refresh.BackfillResult) {
	w.t.Helper()
	known, err := sqlite.Open(w.t.Context(), w.path, sqlite.Options{}) //nolint:contextcheck // ctx ends the backfill, not the store
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { //nolint:contextcheck // as above
		if err := known.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	b := refresh.NewBackfill(refresh.BackfillOptions{
		Store: known, Changes: known, Logger: log.NewLogfmtLogger(w.log), Now: w.now, Progress: progress,
	})
	before := len(w.sim.Calls())
	plan, err := b.Plan(w.t.Context(), f) //nolint:contextcheck // as above
	if err != nil {
		w.t.Fatal(err)
	}
	if n := len(w.sim.Calls()); n != before {
		w.t.Fatalf("a plan made %d calls", n-before)
	}
	filled, err := b.Run(ctx, plan)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan, filled
}

// from returns a request for all accounts of the harness.
func (w *harness) from(since, until string) refresh.BackfillRequest {
	return refresh.BackfillRequest{Accounts: w.config.Accounts, Since: date(w.t, since), Until: date(w.t, until), Concurrency: 3}
}

// wantFilled fails unless the store has exactly the figures of the simulated Weixin.
func (w *harness) wantFilled(f refresh.BackfillRequest) {
	w.t.Helper()
	for _, a := range f.Accounts {
		daily, hourly := stored(w.t, w.path, a.AppID)
		for d := f.Since; d <= f.Until; d++ {
			if got, ok := daily[d]; !ok || got != w.sim.Day(a.AppID, d) {
				w.t.Fatalf("%s, %s: %+v (known: %v), want %+v", a.Name, d, got, ok, w.sim.Day(a.AppID, d))
			}
			if got, ok := hourly[d]; !ok || got != w.sim.Hours(a.AppID, d) {
				w.t.Fatalf("%s, %s: hours %+v (known: %v), want %+v", a.Name, d, got, ok, w.sim.Hours(a.AppID, d))
			}
		}
		if len(daily) != int(f.Until-f.Since)+1 {
			w.t.Errorf("%s: %d days are known, want %d", a.Name, len(daily), f.Until-f.Since+1)
		}
	}
}

// stored returns the figures of an account in a store.
func stored(t *testing.T, path, appID string) (map[datacube.Date]datacube.Figures, map[datacube.Date]datacube.Hours) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	daily, hourly := map[datacube.Date]datacube.Figures{}, map[datacube.Date]datacube.Hours{}
	each := func(query string, take func(day datacube.Date, hour int, f datacube.Figures)) {
		rows, err := db.QueryContext(t.Context(), query, appID)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var day string
			var hour int
			var f datacube.Figures
			if err := rows.Scan(&day, &hour, &f.Callbacks, &f.Failures, &f.TimeCostMillis, &f.MaxTimeCostMillis); err != nil {
				t.Fatal(err)
			}
			take(date(t, day), hour, f)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	const figures = `callback_count, fail_count, total_time_cost_ms, max_time_cost_ms`
	each(`SELECT ref_date, 0, `+figures+` FROM interface_daily WHERE app_id = ?`, func(day datacube.Date, _ int, f datacube.Figures) {
		daily[day] = f
	})
	each(`SELECT ref_date, ref_hour, `+figures+` FROM interface_hourly WHERE app_id = ?`, func(day datacube.Date, hour int, f datacube.Figures) {
		hours := hourly[day]
		hours[hour] = f
		hourly[day] = hours
	})
	return daily, hourly
}

// someAccounts returns n simulated accounts, the first of them without traffic.
func someAccounts(n int) []weixintest.Account {
	list := make([]weixintest.Account, n)
	for i := range list {
		list[i] = account(i + 1)
	}
	list[0].CallbacksPerDay = 0
	return list
}

func TestBackfillOfMonths(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, someAccounts(2)...)
		f := w.from("2025-11-01", "2026-03-07")
		days := int(f.Until-f.Since) + 1
		perAccount := days + (days+29)/30
		progress := &shelf{}
		plan, filled := w.fill(t.Context(), f, progress)
		w.wantFilled(f)
		calls, tokens := w.calls("")
		if len(calls) != 2*perAccount || plan.Total() != len(calls) || tokens != 2 {
			t.Errorf("%d calls and %d token calls, planned %d; want %d and 2", len(calls), tokens, plan.Total(), 2*perAccount)
		}
		for i, got := range filled {
			empty := 0
			if i == 0 {
				empty = days
			}
			want := refresh.BackfillResult{
				Name: fmt.Sprintf("account%02d", i), AppID: f.Accounts[i].AppID, Calls: perAccount,
				Learned: [datacube.APIs]int{days, days}, Empty: [datacube.APIs]int{empty, empty},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("account %d (-want +got):\n%s", i, diff)
			}
			want2 := refresh.BackfillStatus{Account: got.Name, Done: perAccount, Ended: true}
			if diff := cmp.Diff(want2, progress.latest[got.Name]); diff != "" {
				t.Errorf("status of account %d (-want +got):\n%s", i, diff)
			}
		}
		// Newest first, and nothing left to request.
		own, _ := w.calls(f.Accounts[1].AppID)
		if want := []string{
			"10 09:00 daily 2026-02-06..2026-03-07", "10 09:00 hourly 2026-03-07", "10 09:00 hourly 2026-03-06",
		}; !cmp.Equal(own[:3], want) {
			t.Errorf("first calls %q, want %q", own[:3], want)
		}
		plan, filled = w.fill(t.Context(), f, &shelf{})
		if plan.Total() != 0 || len(w.sim.Calls()) != len(calls)+tokens {
			t.Errorf("%d more calls planned, %d made, although all days are known", plan.Total(), len(w.sim.Calls())-len(calls)-tokens)
		}
		for _, got := range filled {
			if got.Calls != 0 || got.Failures != 0 {
				t.Errorf("a second time: %+v", got)
			}
		}
	})
}

// TestBackfillStoppedAnywhere ends a backfill after each of its calls in turn: the next one continues, and no call is
// made twice.
func TestBackfillStoppedAnywhere(t *testing.T) {
	t.Parallel()
	for _, stopAfter := range []int{0, 1, 2, 5, 11, 16, 21, 22} {
		t.Run(strconv.Itoa(stopAfter), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 09:00", nil, someAccounts(2)...)
				w.sim.Inject(weixintest.Fault{Delay: 200 * time.Millisecond})
				f := w.from("2026-02-26", "2026-03-07")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := 0
				progress := &shelf{}
				progress.each = func(refresh.BackfillStatus) {
					done = 0
					for _, s := range progress.latest {
						done += s.Done
					}
					if done >= stopAfter {
						cancel()
					}
				}
				_, first := w.fill(ctx, f, progress)
				left := 0
				for _, a := range first {
					left += a.Left[0] + a.Left[1]
					if a.Failures != 0 || a.GivenUp != [datacube.APIs]*refresh.GivenUp{} {
						t.Errorf("stopping counts as a failure: %+v", a)
					}
				}
				plan, _ := w.fill(t.Context(), f, &shelf{})
				w.wantFilled(f)
				calls, _ := w.calls("")
				if plan.Total() != left || len(calls) != 22 {
					t.Errorf("%d calls in all, %d of them planned for the second run; want 22 and %d", len(calls), plan.Total(), left)
				}
				seen := map[string]bool{}
				for _, c := range w.sim.Calls() {
					key := fmt.Sprint(c.AppID, c.API, c.Begin)
					if seen[key] && c.API != "stable_token" {
						t.Errorf("call made twice: %+v", c)
					}
					seen[key] = true
				}
			})
		})
	}
}

// TestBackfillBesideARefresher: neither requests what the other has learned.
func TestBackfillBesideARefresher(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, someAccounts(3)...)
		w.config.HistoryDays, w.others = 8, otherProcesses
		w.start()
		setClock(t, "2026-03-10 09:01")
		if n := w.shown("account01").Work[datacube.Daily].Days; n != 8 {
			t.Fatalf("%d days are known before the backfill", n)
		}
		w.sim.Inject(weixintest.Fault{Delay: 100 * time.Millisecond})
		f := w.from("2026-02-01", "2026-03-09")
		progress := &shelf{}
		plan, filled := w.fill(t.Context(), f, progress)
		// 29 days of two accounts; the latest two days of the quiet one are not settled.
		for i, a := range filled {
			learned := 29
			if want := [datacube.APIs]int{learned, learned}; a.Learned != want || plan.Calls[i][datacube.Daily] == 0 {
				t.Errorf("%s: learned %v with %v calls, want %v", a.Name, a.Learned, plan.Calls[i], want)
			}
		}
		setClock(t, "2026-03-10 09:05")
		for i, name := range []string{"account00", "account01", "account02"} {
			days := int64(37)
			if i == 0 {
				days = 35
			}
			for api := range datacube.APIs {
				if got := w.shown(name).Work[api].Days; got != days {
					t.Errorf("%s, %v: %d days are shown, want %d", name, api, got, days)
				}
			}
		}
		if n := w.asked(f.Accounts[1].AppID, date(t, "2026-03-09")); n != 2 {
			t.Errorf("a day that the refresher knew was requested %d times, want 2", n)
		}
	})
}
