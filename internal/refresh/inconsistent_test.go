package refresh_test

import (
	"database/sql"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// TestDueForVerification: when a day is requested again because the two calls contradict each other, or because it is empty
// although the account has traffic.
func TestDueForVerification(t *testing.T) {
	const day = "2026-03-02"
	asked := china(t, "2026-03-05 09:30")
	known := func(checksum uint32, rechecks int) store.State {
		return store.State{
			Status: store.Known, Empty: checksum == 1, AskedAt: asked, KnownAt: china(t, "2026-03-03 08:00"), Rechecked: true,
			Rechecks: rechecks, Checksum: checksum,
		}
	}
	late := func(s store.State, when string) store.State {
		s.KnownAt, s.AskedAt = china(t, when), china(t, when)
		return s
	}
	lacking := store.State{Status: store.NotReady, Empty: true, Asks: 4, AskedAt: asked, Rechecks: 1}
	notReady := lacking
	notReady.Empty = false
	for name, c := range map[string]struct {
		api        datacube.API
		own, other store.State
		traffic    bool   // on another day
		due        string // when it is first requested again; "" for never
	}{
		"consistent":                     {own: known(7, 1), other: known(7, 1), traffic: true},
		"stored before checksums":        {own: known(7, 1), other: known(0, 1), traffic: true},
		"the other one is not known":     {own: known(7, 1), traffic: true},
		"other sums":                     {own: known(7, 0), other: known(8, 1), due: "2026-03-06 08:00"},
		"the same by the hour":           {api: datacube.Hourly, own: known(8, 0), other: known(7, 1), due: "2026-03-06 08:00"},
		"other sums, once rechecked":     {own: known(7, 1), other: known(8, 1), due: "2026-03-08 08:00"},
		"other sums, twice rechecked":    {own: known(7, 2), other: known(8, 1), due: "2026-03-12 08:00"},
		"other sums, often rechecked":    {own: known(7, 15), other: known(8, 1), due: "2026-04-04 08:00"},
		"empty by one call alone":        {api: datacube.Hourly, own: known(1, 1), other: known(7, 1), due: "2026-03-08 08:00"},
		"the other one was found later":  {api: datacube.Hourly, own: known(1, 1), other: late(known(7, 0), "2026-03-05 10:00"), due: "2026-03-05 10:00"},
		"empty where there is traffic":   {own: known(1, 0), other: known(1, 0), traffic: true, due: "2026-03-06 08:00"},
		"empty by the hour, too":         {api: datacube.Hourly, own: known(1, 0), other: known(1, 0), traffic: true},
		"empty without any traffic":      {own: known(1, 0), other: known(1, 0)},
		"without rows, unlike the other": {api: datacube.Hourly, own: lacking, other: known(7, 1), due: "2026-03-08 08:00"},
		"not ready, unlike the other":    {own: notReady, other: known(7, 1), due: "2026-03-06 08:00"},
	} {
		t.Run(name, func(t *testing.T) {
			settings := refresh.Settings{ReadyAt: 8 * time.Hour, HistoryDays: 60}
			own, other := states{date(t, day): c.own}, states{}
			if c.other.Status != store.NeverAsked {
				other[date(t, day)] = c.other
			}
			if c.traffic {
				own[date(t, "2026-02-20")] = known(9, 15)
			}
			l := ledgersOf(c.api, own, other)
			got := ""
			for at := asked; at.Before(asked.AddDate(0, 0, 40)) && got == ""; at = at.Add(30 * time.Minute) {
				calls, _ := refresh.DueCalls(at, settings, c.api, l)
				if slices.ContainsFunc(calls, func(call refresh.Call) bool { return call.Begin <= date(t, day) && date(t, day) <= call.End }) {
					got = at.In(datacube.China).Format("2006-01-02 15:04")
				}
			}
			if got != c.due {
				t.Errorf("requested again at %q, want %q", got, c.due)
			}
		})
	}
}

// TestLastVerification: a day in doubt is verified once more before it leaves the history, unless that has just been done.
func TestLastVerification(t *testing.T) {
	const day = "2026-03-02" // in the history until 2026-04-21
	settings := refresh.Settings{ReadyAt: 8 * time.Hour, HistoryDays: 50, RecheckAfter: 24 * time.Hour}
	known := china(t, "2026-03-03 09:00")
	doubts := map[string]store.State{
		"empty":              {Status: store.Known, Empty: true, KnownAt: known, Rechecked: true, Rechecks: 3, Checksum: 1},
		"rechecked, no rows": {Status: store.Known, KnownAt: known, Rechecks: 3, Checksum: 9},
	}
	for name, c := range map[string]struct {
		asked string
		due   []string // of the days after that; an answer changes nothing
	}{
		"long ago":   {"2026-03-30 09:00", []string{"2026-04-19"}},
		"a week ago": {"2026-04-13 09:00", []string{"2026-04-20"}},
		"just now":   {"2026-04-17 09:00", nil},
	} {
		for doubt, state := range doubts {
			t.Run(doubt+" "+name, func(t *testing.T) {
				state.AskedAt = china(t, c.asked)
				recent := china(t, "2026-04-10 08:00")
				traffic := store.State{Status: store.Known, AskedAt: recent, KnownAt: recent, Rechecked: true, Checksum: 9}
				var got []string
				for at := state.AskedAt; at.Before(china(t, "2026-05-10 00:00")); at = at.Add(30 * time.Minute) {
					l := ledgersOf(datacube.Daily, states{date(t, day): state, date(t, "2026-04-05"): traffic}, states{})
					calls, _ := refresh.DueCalls(at, settings, datacube.Daily, l)
					if slices.ContainsFunc(calls, func(call refresh.Call) bool { return call.Begin == date(t, day) }) {
						got = append(got, at.In(datacube.China).Format(time.DateOnly))
						state.AskedAt = at
					}
				}
				if !slices.Equal(got, c.due) {
					t.Errorf("verified on %v, want %v", got, c.due)
				}
			})
		}
	}
}

// TestEmptyDaysShareTheirCall: consecutive empty days are verified by one call.
func TestEmptyDaysShareTheirCall(t *testing.T) {
	known := states{}
	for d := date(t, "2026-02-10"); d < date(t, "2026-03-01"); d++ {
		empty := d >= date(t, "2026-02-14") && d <= date(t, "2026-02-20")
		at := d.End().Add(time.Duration(d%20) * time.Hour)
		known[d] = store.State{Status: store.Known, Empty: empty, AskedAt: at, KnownAt: at, Rechecked: true, Checksum: 9}
		if empty {
			known[d] = store.State{Status: store.Known, Empty: true, AskedAt: at, KnownAt: at, Rechecked: true, Checksum: 1, Rechecks: 1}
		}
	}
	got, _ := refresh.DueCalls(china(t, "2026-03-01 08:00"), refresh.Settings{ReadyAt: 8 * time.Hour, HistoryDays: 18}, datacube.Daily, ledgersOf(datacube.Daily, known, known))
	want := []refresh.Call{{API: datacube.Daily, Purpose: refresh.Recheck, Begin: date(t, "2026-02-14"), End: date(t, "2026-02-20")}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// wrongDays returns the days from since to until for which the store has wrong figures, and the number of unknown days.
func (w *harness) wrongDays(since, until datacube.Date) ([]string, int) {
	var wrong []string
	unknown := 0
	for _, a := range w.config.Accounts {
		daily, hourly := stored(w.t, w.path, a.AppID)
		for d := since; d <= until; d++ {
			if f, ok := daily[d]; !ok {
				unknown++
			} else if f != w.sim.Day(a.AppID, d) {
				wrong = append(wrong, fmt.Sprintf("%s daily %s", a.Name, d))
			}
			if h, ok := hourly[d]; !ok {
				unknown++
			} else if h != w.sim.Hours(a.AppID, d) {
				wrong = append(wrong, fmt.Sprintf("%s hourly %s", a.Name, d))
			}
		}
	}
	return wrong, unknown
}

// TestOutageOfEmptyListsIsCorrected: however long Weixin answers with empty lists, no day with traffic stays a known zero,
// and receivers of the history get the correct figures. With REFRESH_LONG=1 it tries more durations.
func TestOutageOfEmptyListsIsCorrected(t *testing.T) {
	t.Parallel()
	durations := []int{168}
	if os.Getenv("REFRESH_LONG") != "" {
		durations = []int{24, 48, 72, 96, 120, 168, 240}
	}
	for _, hours := range durations {
		t.Run(fmt.Sprintf("%dh", hours), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-01 07:00", nil, account(1))
				w.config.HistoryDays = 30
				w.config.Interval = time.Hour
				w.start()
				setClock(t, "2026-03-10 07:00")
				end := w.sim.Inject(weixintest.Fault{NoRows: true})
				<-time.After(time.Duration(hours) * time.Hour)
				synctest.Wait()
				for api := range datacube.APIs {
					if w.shown("account00").Work[api].Vanished == 0 {
						t.Errorf("empty answers of the %v call for known days with traffic are not counted", api)
					}
				}
				end()
				w.stop() // neither a restart nor a reload forgets the days to verify
				w.start()
				if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
					t.Fatal(err)
				}
				before := w.attempts("daily") + w.attempts("hourly")
				setClock(t, "2026-04-05 07:00")
				if wrong, unknown := w.wrongDays(date(t, "2026-03-01"), date(t, "2026-04-03")); len(wrong)+unknown > 0 {
					t.Errorf("wrong: %s; %d unknown", wrong, unknown)
				}
				if a := w.shown("account00"); a.Inconsistent != 0 {
					t.Errorf("%d days are still inconsistent", a.Inconsistent)
				}
				days := (int(china(t, "2026-04-05 07:00").Sub(china(t, "2026-03-10 07:00")).Hours()) - hours) / 24
				if n := w.attempts("daily") + w.attempts("hourly") - before; n > 4*days+8*hours/24 {
					t.Errorf("%d calls in %d days after the outage", n, days)
				}
			})
		})
	}
}

// TestEmptyDayThatComesBackIsARevision, so that exports and receivers get its figures.
func TestEmptyDayThatComesBackIsARevision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-09 07:00", nil, account(1))
		w.config.HistoryDays = 5
		w.start()
		setClock(t, "2026-03-10 07:00")
		end := w.sim.Inject(weixintest.Fault{NoRows: true})
		setClock(t, "2026-03-12 07:00") // the ninth ended 48 hours ago
		end()
		lost := date(t, "2026-03-09")
		mark := w.changed(lost)
		if known, _ := reopened(t, w, lost); !known.States[datacube.Daily].At(lost).Empty || known.States[datacube.Daily].At(lost).Status != store.Known {
			t.Fatalf("the ninth is %+v", known.States[datacube.Daily].At(lost))
		}
		w.config.HistoryDays = 10
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		setClock(t, "2026-03-13 08:30")
		daily, hourly := stored(t, w.path, account(1).AppID)
		if daily[lost] != w.sim.Day(account(1).AppID, lost) || hourly[lost] != w.sim.Hours(account(1).AppID, lost) {
			t.Errorf("the ninth is %+v", daily[lost])
		}
		for api := range datacube.APIs {
			if n := w.shown("account00").Work[api].Revisions; n != 1 {
				t.Errorf("%d revisions by the %v call, want 1", n, api)
			}
			if lines := w.log.Lines("level=warn", "known as without traffic", "ref_date=2026-03-09", "api="+api.String()); len(lines) != 1 {
				t.Errorf("%d log lines about the %v call, want 1", len(lines), api)
			}
		}
		// Remote write finds days to send by their marks.
		if got := w.changed(lost); got[datacube.Daily] <= mark[datacube.Daily] || got[datacube.Hourly] <= mark[datacube.Hourly] {
			t.Errorf("the marks of the day were %v and are %v", mark, got)
		}
	})
}

// changed returns the marks of a day of the first account for both calls.
func (w *harness) changed(d datacube.Date) [datacube.APIs]store.Mark {
	w.t.Helper()
	db, err := sql.Open("sqlite", w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	var marks [datacube.APIs]store.Mark
	for api := range marks {
		row := db.QueryRowContext(w.t.Context(), `SELECT changed FROM day WHERE account = 1 AND api = ? AND date = ?`, api, int64(d))
		if err := row.Scan(&marks[api]); err != nil {
			w.t.Fatal(err)
		}
	}
	return marks
}

// TestCallsThatContradictEachOther: the hourly call has no rows for days for which the daily call has traffic. They stay
// unknown, are counted, also after a restart, and are requested rarely.
func TestCallsThatContradictEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 07:00", nil, account(1))
		w.config.HistoryDays = 20
		end := w.sim.Inject(weixintest.Fault{API: "hourly", NoRows: true})
		w.start()
		setClock(t, "2026-03-10 07:30")
		if a := w.shown("account00"); a.Hourly != nil || a.Inconsistent != 18 || a.Work[datacube.Hourly].Days != 0 {
			t.Fatalf("%d inconsistent days, want 18; by the hour %+v", a.Inconsistent, a.Hourly)
		}
		setClock(t, "2026-03-11 07:30")
		before := w.attempts("hourly")
		setClock(t, "2026-03-13 07:30")
		w.stop()
		w.start()
		if n := w.attempts("hourly") - before; n > 2*22+2 {
			t.Errorf("%d hourly calls in two days", n)
		}
		if a := w.shown("account00"); a.Inconsistent < 17 {
			t.Errorf("%d inconsistent days after a restart", a.Inconsistent)
		}
		end()
		setClock(t, "2026-03-22 09:00")
		if a := w.shown("account00"); a.Inconsistent != 0 {
			t.Errorf("%d inconsistent days after the fault", a.Inconsistent)
		}
		if wrong, unknown := w.wrongDays(date(t, "2026-03-03"), date(t, "2026-03-20")); len(wrong)+unknown > 0 {
			t.Errorf("wrong: %s; %d unknown", wrong, unknown)
		}
	})
}

// TestOtherSumsAreVerified: the hours of a day do not add up to its daily figures.
func TestOtherSumsAreVerified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 9
		partial := w.says("hourly", hourRow("2026-03-09", 9), hourRow("2026-03-08", 9))
		w.start()
		partial()
		setClock(t, "2026-03-10 12:00")
		if a := w.shown("account00"); a.Inconsistent == 0 {
			t.Error("no day is inconsistent")
		}
		setClock(t, "2026-03-14 09:00")
		if a := w.shown("account00"); a.Inconsistent != 0 {
			t.Errorf("%d days are still inconsistent", a.Inconsistent)
		}
		if wrong, _ := w.wrongDays(date(t, "2026-03-08"), date(t, "2026-03-12")); len(wrong) > 0 {
			t.Errorf("wrong: %s", wrong)
		}
	})
}
