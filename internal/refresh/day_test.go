package refresh_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weixin_exporter/weixin/datacube"
)

// readyAt0940 makes the figures of 2026-03-09 available at 09:40 on the next day, and those of other days at their end.
func readyAt0940(_ string, d datacube.Date) time.Time {
	if d.String() == "2026-03-09" {
		return d.End().Add(9*time.Hour + 40*time.Minute)
	}
	return d.End()
}

// wantDay checks that an account shows the correct figures of the given day for both calls.
func (w *harness) wantDay(name, text string) {
	w.t.Helper()
	a := w.shown(name)
	if a == nil || a.Daily == nil || a.Hourly == nil {
		w.t.Fatalf("%s shows %+v, want the figures of %s", name, a, text)
	}
	d := date(w.t, text)
	if a.Daily.Date != d || a.Hourly.Date != d {
		w.t.Errorf("%s shows %s and by the hour %s, want %s", name, a.Daily.Date, a.Hourly.Date, d)
	}
	if diff := cmp.Diff(w.sim.Day(a.AppID, d), a.Daily.Figures); diff != "" {
		w.t.Errorf("%s on %s (-want +got):\n%s", name, text, diff)
	}
	if diff := cmp.Diff(w.sim.Hours(a.AppID, d), a.Hourly.Hours); diff != "" {
		w.t.Errorf("%s by the hour on %s (-want +got):\n%s", name, text, diff)
	}
}

// wholeDay lists the calls of an account on a day whose figures are late, and on the next.
var wholeDay = []struct {
	at    string
	calls []string // since the previous step
	shows string
}{
	{"2026-03-10 00:31", []string{"10 00:30 daily 2026-03-08", "10 00:30 hourly 2026-03-08"}, "2026-03-08"},
	{"2026-03-10 07:59", nil, "2026-03-08"},
	{"2026-03-10 08:01", []string{"10 08:00 daily 2026-03-09", "10 08:00 hourly 2026-03-09"}, "2026-03-08"},
	{"2026-03-10 08:14", nil, "2026-03-08"},
	{"2026-03-10 08:16", []string{"10 08:15 daily 2026-03-09", "10 08:15 hourly 2026-03-09"}, "2026-03-08"},
	{"2026-03-10 09:44", []string{"10 08:45 daily 2026-03-09", "10 08:45 hourly 2026-03-09"}, "2026-03-08"},
	{"2026-03-10 09:46", []string{"10 09:45 daily 2026-03-09", "10 09:45 hourly 2026-03-09"}, "2026-03-09"},
	{"2026-03-10 23:59", nil, "2026-03-09"},
	// The day after: rechecks of both days, and the next yesterday.
	{"2026-03-11 01:00", []string{"11 00:30 daily 2026-03-08", "11 00:30 hourly 2026-03-08"}, "2026-03-09"},
	{"2026-03-11 08:01", []string{"11 08:00 daily 2026-03-10", "11 08:00 hourly 2026-03-10"}, "2026-03-10"},
	{"2026-03-11 23:59", []string{"11 09:45 daily 2026-03-09", "11 09:45 hourly 2026-03-09"}, "2026-03-10"},
}

func TestWholeDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 00:30", readyAt0940, account(1))
		w.start()
		w.walk(true, nil)
		if _, tokens := w.calls(""); tokens > 7 {
			t.Errorf("%d token calls for two days, want at most one for each time something was due", tokens)
		}
		if w.shown("account00").Work[datacube.Daily].Revisions != 0 {
			t.Error("a revision although nothing changed")
		}
	})
}

// walk goes through wholeDay and calls between before each step. It compares calls to the minute or without times.
func (w *harness) walk(toTheMinute bool, between func(step int)) {
	var seen []string
	for i, step := range wholeDay {
		if between != nil {
			between(i)
		}
		setClock(w.t, step.at)
		all, _ := w.calls("")
		want, got := step.calls, all[len(seen):]
		seen = all
		if !toTheMinute {
			want, got = untimed(want), untimed(got)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			w.t.Errorf("calls up to %s (-want +got):\n%s", step.at, diff)
		}
		w.wantDay("account00", step.shows)
	}
}

// untimed returns calls without their day and time.
func untimed(calls []string) []string {
	var stripped []string
	for _, c := range calls {
		stripped = append(stripped, c[len("10 08:00 "):])
	}
	return stripped
}

func TestRestartRepeatsNoCall(t *testing.T) {
	t.Parallel()
	for step := range wholeDay {
		t.Run(fmt.Sprint("before ", wholeDay[step].at), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 00:30", readyAt0940, account(1))
				w.start()
				// A restart changes the times of planning, so calls are compared without their times.
				w.walk(false, func(i int) {
					if i == step && i > 0 {
						w.stop()
						w.start()
					}
				})
			})
		})
	}
}

// TestRestartWithNothingToDo: the same is shown as before, without an attempt.
func TestRestartWithNothingToDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 10:00", nil, account(1))
		w.start()
		before := *w.shown("account00")
		w.stop()
		setClock(t, "2026-03-10 12:00")
		calls := len(w.sim.Calls())
		w.start()
		after := *w.shown("account00")
		if len(w.sim.Calls()) != calls {
			t.Fatalf("%d calls after the restart", len(w.sim.Calls())-calls)
		}
		if diff := cmp.Diff(before, after, cmpopts.EquateApproxTime(time.Second)); diff != "" {
			t.Errorf("a restart changed what is shown (-before +after):\n%s", diff)
		}
	})
}
