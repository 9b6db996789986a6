package refresh_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// hourRow returns a valid row of the hourly call.
func hourRow(date string, hour int) string {
	return fmt.Sprintf(`{"ref_date":%q,"ref_hour":%d,"callback_count":10,"fail_count":1,"total_time_cost":900,"max_time_cost":400}`, date, 100*hour)
}

// dayRow returns the row of the daily call that matches the given number of hourRows.
func dayRow(date string, hours int) string {
	return fmt.Sprintf(`{"ref_date":%q,"callback_count":%d,"fail_count":%d,"total_time_cost":%d,"max_time_cost":400}`, date, 10*hours, hours, 900*hours)
}

// says makes Weixin answer all calls of api with the given rows.
func (w *harness) says(api string, rows ...string) func() {
	return w.sim.Inject(weixintest.Fault{API: api, Body: []byte(`{"list":[` + strings.Join(rows, ",") + `]}`)})
}

// misread returns invalid rows for hour 9 of a day, derived from the valid one.
func misread(date string) map[string]string {
	row := hourRow(date, 9)
	return map[string]string{
		"null for a row":               "null",
		"a number for a row":           "7",
		"a missing key":                strings.Replace(row, `"callback_count":10,`, "", 1),
		"null for a figure":            strings.Replace(row, ":10,", ":null,", 1),
		"more failures than callbacks": strings.Replace(row, `"fail_count":1`, `"fail_count":11`, 1),
		"a fraction":                   strings.Replace(row, ":10,", ":10.5,", 1),
		"an hour that does not exist":  strings.Replace(row, ":900,", ":2400,", 1),
		"a date that does not exist":   strings.Replace(row, date, "2026-02-31", 1),
		"another row for hour 10":      strings.Replace(hourRow(date, 10), ":10,", ":12,", 1),
	}
}

// TestDamagedRecheckKeepsFigures: invalid rows in a recheck do not change hours 9 and 10 of a known day.
func TestDamagedRecheckKeepsFigures(t *testing.T) {
	t.Parallel()
	const ref = "2026-03-09"
	figures := datacube.Figures{Callbacks: 10, Failures: 1, TimeCostMillis: 900, MaxTimeCostMillis: 400}
	for name, row := range misread(ref) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				w.config.HistoryDays, w.config.RecheckAfter = 1, time.Hour
				defer w.says("daily", dayRow(ref, 2))()
				first := w.says("hourly", hourRow(ref, 9), hourRow(ref, 10))
				w.start()
				first()
				damaged := w.says("hourly", row, hourRow(ref, 10))
				setClock(t, "2026-03-10 09:02")
				a := w.shown("account00")
				work := a.Work[datacube.Hourly]
				if a.Hourly == nil || a.Hourly.Hours != (datacube.Hours{9: figures, 10: figures}) {
					t.Fatalf("shows %+v", a.Hourly)
				}
				if work.Succeeded || work.Revisions != 0 || work.Failures[snapshot.InvalidRows] == 0 || work.Problem == nil {
					t.Errorf("the attempt is shown as %+v", work)
				}
				if work.Damaged != 1 || work.LatestDamaged != date(t, ref) {
					t.Errorf("%d damaged days, the latest %v", work.Damaged, work.LatestDamaged)
				}
				if lines := w.log.Lines("level=warn", "reason=invalid_rows", "api=hourly", "ref_date="+ref, "so the figures of "+ref+" are unknown"); len(lines) != 1 {
					t.Errorf("%d log lines name the day, want 1", len(lines))
				}
				if lines := w.log.Lines("rows of the response skipped"); len(lines) != 0 {
					t.Errorf("logged twice: %s", lines)
				}
				// Once the rows are valid again, the problem is gone and nothing was revised.
				damaged()
				defer w.says("hourly", hourRow(ref, 9), hourRow(ref, 10))()
				setClock(t, "2026-03-10 09:20")
				work = w.shown("account00").Work[datacube.Hourly]
				if !work.Succeeded || work.Revisions != 0 || work.Damaged != 0 || work.Problem != nil {
					t.Errorf("afterwards it is shown as %+v", work)
				}
			})
		})
	}
}

// TestReformattedNumbersAreAccepted: whole numbers in other formats are the same figures.
func TestReformattedNumbersAreAccepted(t *testing.T) {
	const ref = "2026-03-09"
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays, w.config.RecheckAfter = 1, time.Hour
		defer w.says("daily", dayRow(ref, 2))()
		first := w.says("hourly", hourRow(ref, 9), hourRow(ref, 10))
		w.start()
		first()
		row := strings.NewReplacer(`:900,"callback`, `:"0900","callback`, ":10,", `:"10",`, `"fail_count":1`, `"fail_count":1.0`,
			`cost":900`, `cost":9e2`).Replace(hourRow(ref, 9))
		defer w.says("hourly", row, hourRow(ref, 10))()
		setClock(t, "2026-03-10 09:02")
		a := w.shown("account00")
		work := a.Work[datacube.Hourly]
		if work.Reformatted != 1 || work.Revisions != 0 || !work.Succeeded || a.Hourly.Hours[9].Callbacks != 10 {
			t.Errorf("%+v of %+v", work, a.Hourly.Hours[9])
		}
		if lines := w.log.Lines("level=warn", "numbers as strings", "rows=1"); len(lines) != 1 {
			t.Errorf("%d log lines about it, want 1", len(lines))
		}
	})
}

// TestDamagedDayStaysUnknown, and is requested at growing intervals, also after a restart and a reload.
func TestDamagedDayStaysUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 1
		repaired := w.sim.Inject(weixintest.Fault{API: "hourly", Garbled: true})
		w.start()
		asked := func() string {
			var times []string
			for _, c := range w.sim.Calls() {
				if c.API == "hourly" && c.Begin == date(t, "2026-03-09") {
					times = append(times, c.At.In(datacube.China).Format("02 15:04"))
				}
			}
			return strings.Join(times, ", ")
		}
		setClock(t, "2026-03-10 10:00")
		w.stop()
		w.start()
		if a := w.shown("account00"); a.Hourly != nil || a.Work[datacube.Hourly].Succeeded || a.Work[datacube.Hourly].Damaged != 1 || !a.Work[datacube.Daily].Succeeded {
			t.Errorf("after a restart: %+v", a)
		}
		setClock(t, "2026-03-10 13:00")
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		setClock(t, "2026-03-10 23:59")
		if diff := cmp.Diff("10 08:00, 10 08:15, 10 08:45, 10 09:45, 10 11:45, 10 15:45, 10 23:45", asked()); diff != "" {
			t.Errorf("requested (-want +got):\n%s", diff)
		}
		if a := w.shown("account00"); a.Hourly != nil || a.Work[datacube.Hourly].Days != 0 {
			t.Errorf("the day is known: %+v", a.Hourly)
		}
		repaired()
		w.config.HistoryDays = 2 // so that it is still wanted
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		setClock(t, "2026-03-12 00:00")
		if !strings.HasSuffix(asked(), "10 23:45, 11 23:45") {
			t.Errorf("requested at %s", asked())
		}
		w.wantDay("account00", "2026-03-10")
		if n := w.shown("account00").Work[datacube.Hourly]; n.Days != 3 || n.Damaged != 0 {
			t.Errorf("%d days known, %d damaged", n.Days, n.Damaged)
		}
	})
}

// TestDamagedDailyRowsKeepTheOthers: the days of a range that have valid rows are accepted.
func TestDamagedDailyRowsKeepTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 07:00", nil, account(1))
		w.config.HistoryDays = 6
		defer w.says("hourly")()
		defer w.says("daily", dayRow("2026-03-05", 1), strings.Replace(dayRow("2026-03-06", 1), `"fail_count":1`, `"fail_count":-1`, 1),
			dayRow("2026-03-07", 1), dayRow("2026-03-08", 1))()
		w.start()
		known, err := reopened(t, w, date(t, "2026-03-01"))
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]store.State{
			"2026-03-04": {Status: store.Known, Empty: true},
			"2026-03-05": {Status: store.Known},
			"2026-03-06": {Status: store.NotReady, Damaged: 1},
			"2026-03-07": {Status: store.Known},
			"2026-03-08": {Status: store.Known},
		} {
			got := known.States[datacube.Daily].At(date(t, text))
			if got.Status != want.Status || got.Empty != want.Empty || got.Damaged != want.Damaged {
				t.Errorf("%s is %+v, want %+v", text, got, want)
			}
		}
		if lines := w.log.Lines("reason=invalid_rows", "api=daily", "begin_date=2026-03-04", "so the figures of 2026-03-06 are unknown"); len(lines) != 1 {
			t.Errorf("%d log lines about it, want 1", len(lines))
		}
	})
}

// TestNullIsNotAnEmptyList: such a response never means a day without traffic.
func TestNullIsNotAnEmptyList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 5
		w.sim.Inject(weixintest.Fault{API: "daily", Body: []byte(`{"list":null}`)})
		w.sim.Inject(weixintest.Fault{API: "hourly", Body: []byte(`{"errcode":0}`)})
		w.start()
		setClock(t, "2026-03-11 08:00") // days that ended more than 48 hours ago would be settled by an empty list
		a := w.shown("account00")
		if a.Daily != nil || a.Hourly != nil {
			t.Errorf("a day is known: %+v, %+v", a.Daily, a.Hourly)
		}
		for api := range datacube.APIs {
			if a.Work[api].Problem == nil || a.Work[api].Succeeded {
				t.Errorf("%v: %+v", api, a.Work[api])
			}
		}
	})
}

// TestRowsOfOtherDaysAreNotAnEmptyList: in August 2022 Weixin answered with rows of other days before it returned empty
// lists.
func TestRowsOfOtherDaysAreNotAnEmptyList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 5
		w.says("daily", dayRow("2024-03-09", 1))
		w.says("hourly", hourRow("2024-03-09", 1))
		w.start()
		setClock(t, "2026-03-11 08:00") // as above
		if a := w.shown("account00"); a.Daily != nil || a.Hourly != nil {
			t.Errorf("a day is known: %+v, %+v", a.Daily, a.Hourly)
		}
	})
}

// TestBackfillOfDamagedDays: invalid rows change neither new days nor, when forced, known ones.
func TestBackfillOfDamagedDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		f := w.from("2026-02-20", "2026-03-07")
		w.fill(t.Context(), f, &shelf{})
		_, before := stored(t, w.path, account(1).AppID)
		repaired := w.sim.Inject(weixintest.Fault{Garbled: true})
		f.Force, f.Since = true, date(t, "2026-02-19")
		_, filled := w.fill(t.Context(), f, &shelf{})
		got := filled[0]
		if got.Damaged[datacube.Hourly] != 17 || got.Damaged[datacube.Daily] < 2 || got.Revisions != 0 || got.Failures != 18 || got.Calls != 0 {
			t.Errorf("the forced one: %+v", got)
		}
		_, after := stored(t, w.path, account(1).AppID)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("known figures have changed (-before +after):\n%s", diff)
		}
		if lines := w.log.Lines("level=warn", "reason=invalid_rows", "api=hourly", "ref_date=2026-02-25"); len(lines) != 1 {
			t.Errorf("%d log lines name a damaged day, want 1", len(lines))
		}
		repaired()
		f.Force = false
		plan, filled := w.fill(t.Context(), f, &shelf{})
		if filled[0].Learned[datacube.Hourly] != 1 || plan.Calls[0][datacube.Hourly] != 1 || filled[0].Damaged != [datacube.APIs]int{} {
			t.Errorf("once the rows are valid: %+v", filled[0])
		}
		w.wantFilled(f)
	})
}

// TestDamagedGapsGrow: persistently invalid rows cost few calls.
func TestDamagedGapsGrow(t *testing.T) {
	at := china(t, "2026-03-10 08:00")
	settings := refresh.Settings{ReadyAt: 8 * time.Hour, HistoryDays: 400, RecheckAfter: 24 * time.Hour}
	day := date(t, "2026-03-09")
	var gaps []string
	for n := 1; n <= 15; n++ {
		for _, status := range []store.Status{store.NotReady, store.Known} {
			state := store.State{Status: status, AskedAt: at, KnownAt: at.Add(-48 * time.Hour), Damaged: n}
			due := func(after time.Duration) bool {
				l := ledgersOf(datacube.Hourly, states{day: state}, nil)
				calls, _ := refresh.DueCalls(at.Add(after), settings, datacube.Hourly, l)
				for _, c := range calls {
					if c.Begin == day {
						return true
					}
				}
				return false
			}
			for _, gap := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 24 * time.Hour, 72 * time.Hour} {
				if due(gap) {
					if status == store.Known {
						gaps = append(gaps, gap.String())
					}
					if due(gap - time.Second) {
						t.Errorf("%d damaged answers of a day that is %v: requested again before %v", n, status, gap)
					}
					break
				}
			}
		}
	}
	want := "15m0s 30m0s 1h0m0s 2h0m0s 4h0m0s 8h0m0s 24h0m0s 24h0m0s 24h0m0s" + strings.Repeat(" 72h0m0s", 6)
	if got := strings.Join(gaps, " "); got != want {
		t.Errorf("gaps %s, want %s", got, want)
	}
}

// TestLatestDayIsDamagedInTheStore: an account whose latest day cannot be read shows the day before, all others show theirs, and
// the recheck repairs it.
func TestLatestDayIsDamagedInTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1), account(2))
		w.start()
		w.wantDay("account00", "2026-03-09")
		w.stop()
		db, err := sql.Open("sqlite", w.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"daily", "hourly"} {
			if _, err := db.ExecContext(t.Context(), `UPDATE `+table+` SET callbacks = callbacks + 1
				WHERE date = ? AND account = (SELECT id FROM account WHERE app_id = ?)`, int64(date(t, "2026-03-09")), account(1).AppID); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.wantDay("account00", "2026-03-08")
		w.wantDay("account01", "2026-03-09")
		if err := w.store.Damage(); err == nil || !strings.Contains(err.Error(), "show 2026-03-09 of "+account(1).AppID) {
			t.Errorf("the damage is %v", err)
		}
		setClock(t, "2026-03-10 23:00")
		if n := w.asked(account(1).AppID, date(t, "2026-03-09")); n != 2 {
			t.Errorf("%d calls for the damaged day before its recheck, want those two that made it known", n)
		}
		setClock(t, "2026-03-11 07:00")
		setClock(t, "2026-03-11 09:30")
		w.wantDay("account00", "2026-03-10")
		if err := w.store.Damage(); err != nil {
			t.Errorf("after the recheck the damage is %v", err)
		}
		for api := range datacube.APIs {
			if work := w.shown("account00").Work[api]; work.Days != 3 || work.Revisions != 0 {
				t.Errorf("%v: %d days and %d revisions are shown, want 3 and none", api, work.Days, work.Revisions)
			}
		}
	})
}
