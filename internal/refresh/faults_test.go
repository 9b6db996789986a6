package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// TestPolicy: for each kind of failure, when the call is retried, what is counted and what is logged.
func TestPolicy(t *testing.T) {
	t.Parallel()
	const soon = "soon" // a backoff that starts at about a second
	for _, c := range []struct {
		failure weixintest.Fault
		reason  string
		next    string // when the daily call is retried; the first attempt is at 08:00
		both    bool   // the hourly call waits, too
		says    []string
	}{
		{failure: weixintest.Fault{Errcode: -1}, reason: "busy", next: soon, says: []string{"level=warn", "errcode=-1", "advice="}},
		{failure: weixintest.Fault{Errcode: 61450, Text: true}, reason: "busy", next: soon},
		{failure: weixintest.Fault{Status: 502}, reason: "busy", next: soon, says: []string{"502"}},
		{failure: weixintest.Fault{Reset: true}, reason: "busy", next: soon},
		{failure: weixintest.Fault{Empty: true}, reason: "busy", next: soon},
		{failure: weixintest.Fault{Errcode: 40001}, reason: "token", next: "08:10", both: true, says: []string{"level=error"}},
		{failure: weixintest.Fault{Errcode: 42001}, reason: "token", next: "08:10", both: true},
		{failure: weixintest.Fault{Errcode: 40013}, reason: "config", next: "09:00", both: true, says: []string{"level=error", "app_id"}},
		{failure: weixintest.Fault{Errcode: 40164}, reason: "allow_list", next: "08:10", both: true, says: []string{"level=error", "errcode=40164", "allow list"}},
		{failure: weixintest.Fault{Errcode: 89506}, reason: "allow_list", next: "11 08:00", both: true},
		{failure: weixintest.Fault{Errcode: 89507}, reason: "allow_list", next: "09:00", both: true},
		{failure: weixintest.Fault{Errcode: 45009}, reason: "quota", next: "11 00:01", says: []string{"level=warn", "next=2026-03-10T16:01:00Z"}},
		{failure: weixintest.Fault{Errcode: 45011}, reason: "rate", next: "08:01"},
		{failure: weixintest.Fault{Errcode: 47009}, reason: "retired", next: "11 00:01", says: []string{"level=error"}},
		{failure: weixintest.Fault{Errcode: 48001}, reason: "permission", next: "09:00", says: []string{"level=error"}},
		{failure: weixintest.Fault{Errcode: 50002}, reason: "account", next: "09:00", both: true},
		{failure: weixintest.Fault{Errcode: 61501}, reason: "range", next: "11 00:01"},
		{failure: weixintest.Fault{Errcode: 47001}, reason: "bug", next: "09:00"},
		{failure: weixintest.Fault{Errcode: 99999}, reason: "unknown", next: "09:00", says: []string{"errcode=99999"}},
	} {
		name := fmt.Sprintf("%s %d %d", c.reason, c.failure.Errcode, c.failure.Status)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				w.config.HistoryDays = 1
				c.failure.API = "daily"
				remove := w.sim.Inject(c.failure)
				w.start()
				remove()
				work := w.shown("account00").Work
				if n := work[datacube.Daily].Failures[reason(c.reason)]; n != 1 {
					t.Errorf("%d failures for the reason %s, want 1: %+v", n, c.reason, work[datacube.Daily])
				}
				if work[datacube.Daily].Succeeded || work[datacube.Daily].Problem == nil {
					t.Errorf("no problem is shown: %+v", work[datacube.Daily])
				}
				if got := !work[datacube.Hourly].Succeeded; got != c.both {
					t.Errorf("the hourly call waits: %v, want %v", got, c.both)
				}
				if lines := w.log.Lines(append(c.says, `msg="refresh failed"`, "account=account00", "reason="+c.reason, "next=")...); len(lines) != 1 {
					t.Errorf("%d log lines say %q, want 1", len(lines), c.says)
				}
				next := work[datacube.Daily].Problem.Next
				want := china(t, "2026-03-10 08:00").Add(2 * time.Second)
				switch {
				case c.next == soon:
					if earliest := want.Add(-1500 * time.Millisecond); next.Before(earliest) || next.After(want) {
						t.Errorf("retried at %v, want about a second after 08:00:00", next)
					}
				case strings.HasPrefix(c.next, "11 "):
					want = china(t, "2026-03-"+c.next)
				default:
					want = china(t, "2026-03-10 "+c.next)
				}
				if c.next != soon && !next.Equal(want) {
					t.Errorf("retried at %v, want %v", next, want)
				}
				<-time.After(time.Until(next) - time.Millisecond)
				synctest.Wait()
				if n := w.attempts("daily"); n > 2 { // a refused token is renewed once within the attempt
					t.Errorf("%d calls before %v", n, next)
				}
				if c.next == "11 00:01" {
					return // by then yesterday is another day, not requested before 08:00
				}
				<-time.After(time.Second)
				synctest.Wait()
				if after := w.shown("account00").Work[datacube.Daily]; c.next != "11 08:00" && (!after.Succeeded || after.Problem != nil) {
					t.Errorf("not recovered after the wait: %+v", after)
				}
			})
		})
	}
}

// reason returns the reason with the given name.
func reason(name string) snapshot.Reason {
	for r := range snapshot.Reasons {
		if r.String() == name {
			return r
		}
	}
	panic("no reason " + name)
}

func (w *harness) attempts(api string) int {
	n := 0
	for _, c := range w.sim.Calls() {
		if c.API == api {
			n++
		}
	}
	return n
}

func TestBackoffGrowsAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays = 1
		remove := w.sim.Inject(weixintest.Fault{API: "daily", Errcode: -1})
		w.start()
		setClock(t, "2026-03-10 09:00")
		n := w.attempts("daily")
		// 1, 2, 4 … 512, 600 seconds, each up to half more or less: between 10 and 20 in an hour.
		if n < 10 || n > 22 {
			t.Errorf("%d attempts in an hour of a busy Weixin", n)
		}
		if problem := w.shown("account00").Work[datacube.Daily].Problem; !problem.Since.Equal(china(t, "2026-03-10 08:00")) {
			t.Errorf("problem since %v, want the first failure", problem.Since)
		}
		remove()
		setClock(t, "2026-03-10 09:16")
		w.wantDay("account00", "2026-03-09")
		if lines := w.log.Lines("refresh recovered", "api=daily"); len(lines) != 1 {
			t.Errorf("%d lines about the recovery", len(lines))
		}
	})
}

// TestFiftyAccounts: ten accounts fail in ten ways; the others have all figures on time.
func TestFiftyAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var accounts []weixintest.Account
		for i := range 50 {
			accounts = append(accounts, account(i))
		}
		w := newHarness(t, "2026-03-10 07:59", nil, accounts...)
		w.config.HistoryDays = 4
		for i, f := range []weixintest.Fault{
			{Errcode: -1}, {Errcode: 40001}, {Errcode: 40013, API: "token"}, {Errcode: 40164, API: "token"},
			{Errcode: 45009}, {Errcode: 48001}, {Status: 504}, {Reset: true}, {Empty: true}, {Delay: time.Hour},
		} {
			f.AppID = accounts[i*5].AppID
			w.sim.Inject(f)
		}
		w.start()
		setClock(t, "2026-03-10 08:02")
		for i := range accounts {
			name := fmt.Sprintf("account%02d", i)
			a := w.shown(name)
			if i%5 == 0 {
				failures := int64(0)
				for _, n := range a.Work[datacube.Daily].Failures {
					failures += n
				}
				for _, n := range a.Work[datacube.Hourly].Failures {
					failures += n
				}
				if failures == 0 || a.Daily != nil {
					t.Errorf("%s should fail, but shows %+v", name, a)
				}
				continue
			}
			w.wantDay(name, "2026-03-09")
			for api := range datacube.APIs {
				if n := a.Work[api].Days; n != 4 {
					t.Errorf("%s knows %d days by the %s call, want 4", name, n, api)
				}
			}
		}
	})
}

// TestTokenFaultHoldsBothCalls: neither can be made without a token.
func TestTokenFaultHoldsBothCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.sim.Inject(weixintest.Fault{API: "token", Errcode: -1})
		w.start()
		if calls, tokens := w.calls(""); tokens != 1 || len(calls) != 0 {
			t.Errorf("%d token calls and %v at once, want only one token call", tokens, calls)
		}
	})
}

func TestQuotaStopsOneCallUntilMidnight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := account(1)
		limited.Quota = 5
		w := newHarness(t, "2026-03-10 08:00", nil, limited)
		w.config.HistoryDays = 8
		w.start()
		setClock(t, "2026-03-10 23:59")
		if n := w.attempts("hourly"); n != 6 { // the sixth is refused
			t.Errorf("%d hourly calls with a quota of 5, want 6", n)
		}
		setClock(t, "2026-03-11 08:01")
		if n := w.shown("account00").Work[datacube.Hourly].Days; n != 8 {
			t.Errorf("%d days known after midnight, want all 8", n)
		}
	})
}

// brokenStore fails to save while broken is set.
type brokenStore struct {
	*sqlite.Store
	broken *atomic.Bool
}

var errDiskFull = errors.New("disk full")

func (b brokenStore) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	if b.broken.Load() {
		return nil, errDiskFull
	}
	return b.Store.Save(ctx, records)
}

func TestSkippedRowsAreCountedAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.sim.Inject(weixintest.Fault{API: "hourly", Stray: true})
		w.start()
		setClock(t, "2026-03-10 08:01")
		w.wantDay("account00", "2026-03-09")
		work := w.shown("account00").Work[datacube.Hourly]
		if want := [weixin.Rejections]int64{weixin.OutOfRange: 4, weixin.Duplicate: 2}; work.Rejected != want || !work.Succeeded {
			t.Errorf("skipped rows %v, want %v; success %t", work.Rejected, want, work.Succeeded)
		}
		if lines := w.log.Lines("level=warn", "rows of the response skipped", "api=hourly", "reason=duplicate"); len(lines) != 2 {
			t.Errorf("%d lines about skipped rows, want one for each of two days", len(lines))
		}
	})
}
