package refresh_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// startBroken starts the refresher on a store that cannot be written until the returned value is false. The harness must have
// been made at 08:00, when the answers for yesterday, the ninth, arrive.
func (w *harness) startBroken() *atomic.Bool {
	w.t.Helper()
	var broken atomic.Bool
	broken.Store(true)
	w.config.HistoryDays = 1
	w.others = otherProcesses
	w.wrapped = func(s *sqlite.Store) refresh.Store {
		return countedBrokenStore{brokenStore{s, &broken}, new(atomic.Int64)}
	}
	w.start()
	setClock(w.t, "2026-03-10 08:05")
	if work := w.shown("account00").Work[datacube.Daily]; !work.Unstored {
		w.t.Fatalf("no answer waits for the store: %+v", work)
	}
	return &broken
}

// wantStored fails the test unless the ninth is stored with the given figures of the daily call, and shown, and that was requested
// once.
func (w *harness) wantStored(figures datacube.Figures) {
	w.t.Helper()
	work, day := w.shown("account00").Work[datacube.Daily], w.shown("account00").Daily
	if work.Days != 1 || work.NotReady || day == nil || day.Figures != figures {
		w.t.Errorf("%d days are known, the latest %+v, want the figures %+v", work.Days, day, figures)
	}
	calls, _ := w.calls(w.config.Accounts[0].AppID)
	if daily := slices.DeleteFunc(calls, func(call string) bool { return !strings.Contains(call, "daily") }); len(daily) != 1 {
		w.t.Errorf("the ninth was requested %d times, want once: %s", len(daily), daily)
	}
	w.stop()
	known, err := reopened(w.t, w, datacube.FirstDate)
	if err != nil || known.Days[datacube.Daily] != 1 || known.Daily == nil || known.Daily.Figures != figures {
		w.t.Errorf("the store holds %+v, want one day with %+v: %v", known, figures, err)
	}
}

// TestUnsavedAnswerAndWhatOthersStored: an answer without figures that waits for the store does not replace a day that another
// process has stored since.
func TestUnsavedAnswerAndWhatOthersStored(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]weixintest.Fault{
		"no rows":   {NoRows: true},
		"not ready": {Errcode: 61503},
		"damaged":   {Garbled: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				fault.API = "daily"
				w.sim.Inject(fault)
				broken := w.startBroken()
				setClock(t, "2026-03-10 11:00")
				w.write(account(1).AppID, date(t, "2026-03-09"))
				setClock(t, "2026-03-10 12:00")
				broken.Store(false)
				setClock(t, "2026-03-10 12:30")
				w.wantStored(w.sim.Day(account(1).AppID, date(t, "2026-03-09")))
			})
		})
	}
}

// TestUnsavedDayWithoutTraffic does not replace figures that were unknown when the answer arrived, even if they are older than it.
func TestUnsavedDayWithoutTraffic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-12 08:00", nil, account(1))
		w.config.HistoryDays = 1
		var broken atomic.Bool
		w.wrapped = func(s *sqlite.Store) refresh.Store { return brokenStore{s, &broken} }
		w.start()
		broken.Store(true)
		w.sim.Inject(weixintest.Fault{API: "daily", NoRows: true})
		w.config.HistoryDays = 3
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := w.shown("account00").Work[datacube.Daily].Days; n != 3 {
			t.Fatalf("%d days are known, want the ninth and the tenth as days without traffic", n)
		}
		ninth := date(t, "2026-03-09")
		figures := w.sim.Day(account(1).AppID, ninth)
		at := china(t, "2026-03-10 09:00")
		w.save([]store.Record{{AppID: account(1).AppID, API: datacube.Daily, Date: ninth, Daily: &figures,
			State: store.State{Status: store.Known, AskedAt: at, KnownAt: at}}})
		broken.Store(false)
		setClock(t, "2026-03-12 08:05")
		w.stop()
		if days, _ := stored(t, w.path, account(1).AppID); days[ninth] != figures {
			t.Errorf("the ninth is stored with %+v", days[ninth])
		}
	})
}

// TestUnsavedFiguresAndWhatOthersStored: figures that wait for the store do not replace later ones of another process, but they
// do replace an answer without figures and figures that were stored at a time that is still to come.
func TestUnsavedFiguresAndWhatOthersStored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status store.Status
		at     string
		stays  bool
	}{
		"later":             {store.Known, "2026-03-10 11:00", true},
		"earlier":           {store.Known, "2026-03-10 07:00", false},
		"later, no figures": {store.NotReady, "2026-03-10 11:00", false},
		"in a year":         {store.Known, "2027-03-10 11:00", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				broken := w.startBroken()
				setClock(t, "2026-03-10 11:00")
				other := w.sim.Day(account(1).AppID, date(t, "2026-03-09"))
				want := other
				other.Callbacks++
				if c.stays {
					want = other
				}
				r := store.Record{AppID: account(1).AppID, API: datacube.Daily, Date: date(t, "2026-03-09")}
				r.State = store.State{Status: c.status, AskedAt: china(t, c.at)}
				if c.status == store.Known {
					r.State.KnownAt, r.Daily = r.State.AskedAt, &other
				}
				w.save([]store.Record{r})
				setClock(t, "2026-03-10 12:00")
				broken.Store(false)
				setClock(t, "2026-03-10 12:01:30")
				w.wantStored(want)
			})
		})
	}
}

// TestUnsavedAnswersAfterAReload: days whose answers were stored late are not requested again, although a reload of the store or
// of the configuration has replaced what was known when the answers arrived.
func TestUnsavedAnswersAfterAReload(t *testing.T) {
	t.Parallel()
	for name, reload := range map[string]func(*harness) error{
		"store": func(w *harness) error { return w.runner.ReloadStore(w.t.Context()) },
		"account removed and added": func(w *harness) error {
			without := w.config
			without.Accounts = w.config.Accounts[1:]
			if err := w.runner.ApplyConfig(w.t.Context(), without); err != nil {
				return err
			}
			return w.runner.ApplyConfig(w.t.Context(), w.config)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1), account(2))
				broken := w.startBroken()
				if err := reload(w); err != nil {
					t.Fatal(err)
				}
				w.sim.Inject(weixintest.Fault{API: "daily", NoRows: true})
				setClock(t, "2026-03-10 08:10")
				broken.Store(false)
				setClock(t, "2026-03-10 10:00")
				if work := w.shown("account00").Work[datacube.Daily]; !work.Succeeded || !work.LastSuccess.Equal(china(t, "2026-03-10 08:00")) {
					t.Errorf("after the answer was stored: %+v", work)
				}
				w.wantStored(w.sim.Day(account(1).AppID, date(t, "2026-03-09")))
			})
		})
	}
}

// replaceFile replaces the file of the store by one with these records.
func (w *harness) replaceFile(records []store.Record) {
	w.t.Helper()
	content, err := emptyStore()
	if err != nil {
		w.t.Fatal(err)
	}
	path := w.path + ".new"
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	s, err := sqlite.Open(w.t.Context(), path, sqlite.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = s.Save(w.t.Context(), records)
	if err := errors.Join(err, s.Close(), os.Rename(path, w.path)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Recover(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestUnsavedAnswerThatConfirmsFigures, which the file that has replaced the store does not have: the day is requested again.
func TestUnsavedAnswerThatConfirmsFigures(t *testing.T) {
	t.Parallel()
	notReady := store.Record{AppID: account(1).AppID, API: datacube.Daily, Date: date(t, "2026-03-09"),
		State: store.State{Status: store.NotReady, AskedAt: china(t, "2026-03-10 07:00")}}
	for name, content := range map[string][]store.Record{
		"not ready": {notReady},
		"empty":     nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				w.config.HistoryDays, w.config.RecheckAfter = 2, 26*time.Hour
				var broken atomic.Bool
				w.wrapped = func(s *sqlite.Store) refresh.Store { return brokenStore{s, &broken} }
				w.start()
				setClock(t, "2026-03-11 09:50")
				broken.Store(true)
				remove := w.sim.Inject(weixintest.Fault{API: "daily", NoRows: true})
				setClock(t, "2026-03-11 10:20")
				before, _ := w.calls("")
				if last := before[len(before)-1]; last != "11 10:00 daily 2026-03-08..2026-03-09" {
					t.Fatalf("the last call is %s, want the recheck of the ninth", last)
				}
				w.replaceFile(content)
				if err := w.runner.ReloadStore(t.Context()); err != nil {
					t.Fatal(err)
				}
				remove()
				broken.Store(false)
				setClock(t, "2026-03-11 12:00")
				after, _ := w.calls("")
				if !strings.Contains(strings.Join(untimed(after[len(before):]), "\n"), "daily 2026-03-09") {
					t.Errorf("the ninth was not requested again: %s", after)
				}
				work := w.shown("account00").Work[datacube.Daily]
				if days, _ := stored(t, w.path, account(1).AppID); work.Days != 2 || days[date(t, "2026-03-09")].Callbacks == 0 {
					t.Errorf("%d days are known, want 2, and the figures are %v", work.Days, days)
				}
			})
		})
	}
}
