package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// endings returns the reasons why the calls of an account were given up.
func endings(a refresh.BackfillResult) [datacube.APIs]string {
	var reasons [datacube.APIs]string
	for api, end := range a.GivenUp {
		if end != nil {
			reasons[api] = end.Reason.String()
		}
	}
	return reasons
}

// TestBackfillStopsAtTheQuota: one call of one account is given up until the next day.
func TestBackfillStopsAtTheQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := someAccounts(2)
		limited[1].Quota = 20
		w := newHarness(t, "2026-03-10 09:00", nil, limited...)
		f := w.from("2026-01-27", "2026-03-07") // 40 days
		_, filled := w.fill(t.Context(), f, &shelf{})
		if got := endings(filled[0]); got != [datacube.APIs]string{} || filled[0].Left != [datacube.APIs]int{} {
			t.Errorf("an account with quota left: %v, %+v", got, filled[0])
		}
		if got := endings(filled[1]); got != [datacube.APIs]string{"", "quota"} || filled[1].Left != [datacube.APIs]int{0, 20} ||
			filled[1].Learned != [datacube.APIs]int{40, 20} || filled[1].Failures != 1 {
			t.Errorf("an account whose quota is used up: %v, %+v", got, filled[1])
		}
		if lines := w.log.Lines("level=warn", "the day's quota is used up", "account=account01", "api=hourly", "errcode=45009"); len(lines) != 1 {
			t.Errorf("%d log lines about it, want 1", len(lines))
		}
		setClock(t, "2026-03-11 00:10")
		plan, filled := w.fill(t.Context(), f, &shelf{})
		if plan.Total() != 20 || filled[1].Calls != 20 || filled[1].Failures != 0 {
			t.Errorf("on the next day %d calls are planned, and %+v", plan.Total(), filled[1])
		}
		w.wantFilled(f)
	})
}

// TestBackfillWaitsForTheQuota: with Wait it continues at each midnight, and other accounts do not wait.
func TestBackfillWaitsForTheQuota(t *testing.T) {
	t.Parallel()
	for _, force := range []bool{false, true} {
		t.Run(fmt.Sprint("force ", force), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limited := someAccounts(2)
				limited[0].Quota = 30
				w := newHarness(t, "2026-03-10 21:00", nil, limited...)
				f := w.from("2025-12-18", "2026-03-07") // 80 days
				f.Wait, f.Force, f.Concurrency = true, force, 1
				progress := &shelf{}
				var resumes []string
				progress.each = func(s refresh.BackfillStatus) {
					if text := s.Resume.In(datacube.China).Format("02 15:04"); !s.Resume.IsZero() && !slices.Contains(resumes, text) {
						resumes = append(resumes, text)
					}
				}
				_, filled := w.fill(t.Context(), f, progress)
				w.wantFilled(f)
				if got := time.Now().In(datacube.China).Format("02 15:04"); got != "12 00:01" {
					t.Errorf("finished on the %s, want the 12th at midnight", got)
				}
				if got := strings.Join(resumes, ", "); got != "11 00:01, 12 00:01" {
					t.Errorf("waited until %s", got)
				}
				if filled[0].Calls != 83 || filled[0].Failures != 2 || filled[1].Calls != 83 || endings(filled[0]) != [datacube.APIs]string{} {
					t.Errorf("%+v", filled)
				}
				for _, c := range w.sim.Calls() {
					if c.AppID == f.Accounts[1].AppID && c.At.After(china(t, "2026-03-10 22:00")) {
						t.Fatalf("the other account waited, too: %+v", c)
					}
				}
			})
		})
	}
}

// TestBackfillGivesUpAQuotaOfZero: it does not wait forever for a quota that allows no call.
func TestBackfillGivesUpAQuotaOfZero(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		none := someAccounts(1)
		none[0].Errcode = 45009
		w := newHarness(t, "2026-03-10 21:00", nil, none...)
		f := w.from("2026-03-01", "2026-03-07")
		f.Wait = true
		_, filled := w.fill(t.Context(), f, &shelf{})
		if got := endings(filled[0]); got != [datacube.APIs]string{"quota", "quota"} || filled[0].Failures != 6 {
			t.Errorf("%v, %+v", got, filled[0])
		}
		if got := time.Now().In(datacube.China).Format("02 15:04"); got != "12 00:01" {
			t.Errorf("given up on the %s, want the 12th at midnight", got)
		}
	})
}

// TestBackfillForced requests known days as well and stores revisions.
func TestBackfillForced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		f := w.from("2026-02-01", "2026-03-07")
		w.fill(t.Context(), f, &shelf{})
		revised := date(t, "2026-02-20")
		figures := w.sim.Hours(account(1).AppID, revised)[9]
		figures.Callbacks += 7
		w.sim.Revise(account(1).AppID, revised, 9, figures)
		plan, _ := w.fill(t.Context(), f, &shelf{})
		if plan.Total() != 0 {
			t.Errorf("%d calls planned without force", plan.Total())
		}
		f.Force = true
		plan, filled := w.fill(t.Context(), f, &shelf{})
		if plan.Total() != 37 || filled[0].Calls != 37 || filled[0].Revisions != 2 || filled[0].Learned != [datacube.APIs]int{} {
			t.Errorf("%d calls planned, %+v; want 37 calls and 2 revisions", plan.Total(), filled[0])
		}
		if lines := w.log.Lines("revised", "ref_date=2026-02-20"); len(lines) != 2 {
			t.Errorf("%d log lines about revisions, want 2", len(lines))
		}
		w.wantFilled(f)
	})
}

// TestForcedBackfillLosesNothing: empty answers for days with traffic do not remove figures.
func TestForcedBackfillLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		f := w.from("2026-03-01", "2026-03-07")
		w.fill(t.Context(), f, &shelf{})
		w.sim.Inject(weixintest.Fault{NoRows: true})
		f.Force = true
		w.fill(t.Context(), f, &shelf{})
		w.wantFilled(f)
		if lines := w.log.Lines("level=warn", "kept"); len(lines) != 14 {
			t.Errorf("%d log lines about kept figures, want 14", len(lines))
		}
	})
}

// TestBackfillFaults: the reaction of a backfill to each kind of failure.
func TestBackfillFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		failure weixintest.Fault
		ended   [datacube.APIs]string
		failed  int // attempts; -1: any number
		takes   time.Duration
	}{
		{name: "busy for a moment", failure: weixintest.Fault{API: "daily", Errcode: -1, Times: 3}, failed: 3, takes: 12 * time.Second},
		{name: "busy for long", failure: weixintest.Fault{API: "daily", Status: 502}, failed: -1, ended: [datacube.APIs]string{"busy", ""}, takes: 50 * time.Minute},
		{name: "reset", failure: weixintest.Fault{Reset: true, Times: 2}, failed: 2, takes: 6 * time.Second},
		{name: "rate", failure: weixintest.Fault{API: "hourly", Errcode: 45011, Times: 2}, failed: 2, takes: 121 * time.Second},
		{name: "token", failure: weixintest.Fault{API: "daily", Errcode: 40001}, failed: 1, ended: [datacube.APIs]string{"token", "token"}},
		{name: "config", failure: weixintest.Fault{API: "token", Errcode: 40125}, failed: 1, ended: [datacube.APIs]string{"config", "config"}},
		{name: "allow list", failure: weixintest.Fault{Errcode: 40164}, failed: 1, ended: [datacube.APIs]string{"allow_list", "allow_list"}},
		{name: "permission", failure: weixintest.Fault{Errcode: 48001, API: "hourly"}, failed: 1, ended: [datacube.APIs]string{"", "permission"}},
		{name: "account", failure: weixintest.Fault{Errcode: 50002, API: "hourly"}, failed: 1, ended: [datacube.APIs]string{"", "account"}},
		{name: "range", failure: weixintest.Fault{Errcode: 61501, API: "daily"}, failed: 1, ended: [datacube.APIs]string{"range", ""}},
		{name: "retired", failure: weixintest.Fault{Errcode: 47009, API: "daily"}, failed: 1, ended: [datacube.APIs]string{"retired", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 09:00", nil, someAccounts(3)...)
				c.failure.AppID = w.config.Accounts[1].AppID
				remove := w.sim.Inject(c.failure)
				f := w.from("2026-03-01", "2026-03-07")
				begun := time.Now()
				_, filled := w.fill(t.Context(), f, &shelf{})
				if got := endings(filled[1]); got != c.ended || c.failed >= 0 && filled[1].Failures != c.failed {
					t.Errorf("ended for %q after %d failures, want %q and %d", got, filled[1].Failures, c.ended, c.failed)
				}
				if took := time.Since(begun); took > c.takes {
					t.Errorf("took %v, want at most %v", took, c.takes)
				}
				for api, end := range filled[1].GivenUp {
					if end != nil && (end.Problem.String() == "" || end.Advice.IsZero() || filled[1].Left[api] == 0) {
						t.Errorf("the result lacks an explanation: %+v, %d left", end, filled[1].Left[api])
					}
				}
				for _, i := range []int{0, 2} {
					if got := endings(filled[i]); got != [datacube.APIs]string{} || filled[i].Calls != 8 || filled[i].Failures != 0 {
						t.Errorf("a healthy account: %+v", filled[i])
					}
				}
				remove()
				w.fill(t.Context(), f, &shelf{})
				w.wantFilled(f)
			})
		})
	}
}

// TestBackfillForgetsOldFaults: failures of the day before do not count.
func TestBackfillForgetsOldFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := account(1)
		limited.Quota = 10
		w := newHarness(t, "2026-03-10 23:00", nil, limited)
		busy := weixintest.Fault{API: "hourly", Errcode: -1, Times: 1}
		w.sim.Inject(busy)
		f := w.from("2026-02-20", "2026-03-07")
		f.Wait = true
		progress := &shelf{}
		progress.each = func(s refresh.BackfillStatus) {
			if s.Resume.Equal(china(t, "2026-03-11 00:01")) {
				progress.each = nil
				w.sim.Inject(busy)
			}
		}
		_, filled := w.fill(t.Context(), f, progress)
		if got := endings(filled[0]); got != [datacube.APIs]string{} || filled[0].Failures != 3 {
			t.Errorf("given up for %q after %d failures, want 3 and no end", got, filled[0].Failures)
		}
		w.wantFilled(f)
	})
}

// TestBackfillJudgesByWhatOthersStored: an answer without rows does not remove a day that another process stored while
// the call was running.
func TestBackfillJudgesByWhatOthersStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		w.sim.Inject(weixintest.Fault{NoRows: true, Delay: 5 * time.Second})
		f := w.from("2026-03-01", "2026-03-03")
		go func() {
			<-time.After(2 * time.Second) // the first call is running
			w.write(account(1).AppID, date(t, "2026-03-01"), date(t, "2026-03-02"), date(t, "2026-03-03"))
		}()
		w.fill(t.Context(), f, &shelf{})
		w.wantFilled(f)
		if calls, _ := w.calls(""); len(calls) != 1 {
			t.Errorf("%d calls, want the one that was running", len(calls))
		}
	})
}

// TestBackfillOfRecentDays: days that Weixin does not have yet are left for later and are not failures.
func TestBackfillOfRecentDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := func(_ string, d datacube.Date) time.Time { return d.End().Add(12 * time.Hour) }
		w := newHarness(t, "2026-03-10 09:00", late, account(1))
		f := w.from("2026-03-05", "2026-03-09")
		_, filled := w.fill(t.Context(), f, &shelf{})
		if got := filled[0]; got.Learned != [datacube.APIs]int{4, 4} || got.NotReady != [datacube.APIs]int{1, 1} || got.Left != [datacube.APIs]int{} {
			t.Errorf("%+v, want 4 days learned and one not available", got)
		}
		setClock(t, "2026-03-10 13:00")
		plan, _ := w.fill(t.Context(), f, &shelf{})
		if plan.Total() != 2 {
			t.Errorf("%d calls planned for the day that was not available, want 2", plan.Total())
		}
		w.wantFilled(f)
	})
}

// TestBackfillEndsWithTheStore: it makes no calls after an answer could not be stored.
func TestBackfillEndsWithTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		known, err := sqlite.Open(t.Context(), w.path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer known.Close()
		b := refresh.NewBackfill(refresh.BackfillOptions{
			Store: full{known}, Logger: log.NewLogfmtLogger(w.log), Now: w.now, Progress: &shelf{},
		})
		plan, err := b.Plan(t.Context(), w.from("2026-01-01", "2026-03-07"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = b.Run(t.Context(), plan); !errors.Is(err, errDiskFull) {
			t.Errorf("ended with %v", err)
		}
		if calls, _ := w.calls(""); len(calls) != 1 {
			t.Errorf("%d calls were made, although nothing can be stored", len(calls))
		}
	})
}

// full is a store on a full disk.
type full struct{ refresh.RecordStore }

func (full) Save(context.Context, []store.Record) ([]store.Revision, error) {
	return nil, errDiskFull
}

// TestBackfillIsStoppedWhileItHangs: a call that hangs is canceled after a while.
func TestBackfillIsStoppedWhileItHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		w.sim.Inject(weixintest.Fault{API: "hourly", Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		_, filled := w.fill(ctx, w.from("2026-03-01", "2026-03-07"), &shelf{})
		if took := time.Since(begun); took > 9*time.Second {
			t.Errorf("stopping took %v", took-5*time.Second)
		}
		if got := filled[0]; got.Calls != 1 || got.Failures != 0 || got.Left != [datacube.APIs]int{0, 7} || endings(got) != [datacube.APIs]string{} {
			t.Errorf("%+v, want one answered call and no failure", got)
		}
	})
}

// TestBackfillSeesWhatOthersLearn: it skips days that another process has stored since.
func TestBackfillSeesWhatOthersLearn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1), account(2))
		w.sim.Inject(weixintest.Fault{Delay: 100 * time.Millisecond})
		f := w.from("2026-02-01", "2026-03-07")
		progress, wrote := &shelf{}, false
		progress.each = func(s refresh.BackfillStatus) {
			if s.Account == "account01" && s.Done == 3 && !wrote {
				wrote = true
				w.write(account(2).AppID, date(t, "2026-02-10"), date(t, "2026-02-11"), date(t, "2026-02-03"))
			}
		}
		plan, filled := w.fill(t.Context(), f, progress)
		if plan.Total() != 74 || filled[0].Calls != 37 || filled[1].Calls > 35 || filled[1].Left != [datacube.APIs]int{} {
			t.Errorf("%d calls planned, made %d and %d; want 74, 37 and at most 35", plan.Total(), filled[0].Calls, filled[1].Calls)
		}
		for _, d := range []string{"2026-02-10", "2026-02-11", "2026-02-03"} {
			for _, c := range w.sim.Calls() {
				if c.AppID == account(2).AppID && c.API == "hourly" && c.Begin == date(t, d) {
					t.Errorf("%s was requested although it was known", d)
				}
			}
		}
		w.wantFilled(f)
	})
}
