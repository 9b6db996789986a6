package refresh_test

import (
	"context"
	"sync/atomic"
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

// overtakenStore is a store into which another process writes just before the first save.
type overtakenStore struct {
	*sqlite.Store
	others func()
}

func (o *overtakenStore) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	if others := o.others; others != nil {
		o.others = nil
		others()
	}
	return o.Store.Save(ctx, records)
}

// withoutFigures are answers that say nothing about a day.
func withoutFigures() map[string]weixintest.Fault {
	return map[string]weixintest.Fault{"no rows": {NoRows: true}, "not ready": {Errcode: 61503}, "damaged": {Garbled: true}}
}

// inject makes both calls have a fault until the returned function is called.
func (w *harness) inject(fault weixintest.Fault) func() {
	fault.API = "daily"
	daily := w.sim.Inject(fault)
	fault.API = "hourly"
	hourly := w.sim.Inject(fault)
	return func() { daily(); hourly() }
}

// TestAnswerIsOvertakenInTheStore: an answer without figures does not replace a day that another process stores between its
// interpretation and its transaction.
func TestAnswerIsOvertakenInTheStore(t *testing.T) {
	t.Parallel()
	for name, fault := range withoutFigures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 09:00", nil, account(1))
				w.others = otherProcesses
				w.config.HistoryDays = 1
				ninth := date(t, "2026-03-09")
				w.wrapped = func(s *sqlite.Store) refresh.Store {
					return &overtakenStore{s, func() { w.write(account(1).AppID, ninth) }}
				}
				w.inject(fault)
				w.start()
				setClock(t, "2026-03-10 12:00")
				w.wantDay("account00", "2026-03-09")
				if n := w.attempts("daily") + w.attempts("hourly"); n == 0 || n > 2 {
					t.Errorf("the ninth was requested %d times, want no more than once by each call", n)
				}
				if work := w.shown("account00").Work[datacube.Daily]; !work.Succeeded || work.Problem != nil {
					t.Errorf("the attempt is shown as %+v", work)
				}
				w.stop()
				known, err := reopened(t, w, datacube.FirstDate)
				if err != nil || known.Days != [datacube.APIs]int64{1, 1} {
					t.Errorf("the store holds %+v: %v", known, err)
				}
			})
		})
	}
}

// TestAnswerWhileChangesCannotBeRead: an answer without figures does not replace a day that another process has stored, of which
// the exporter cannot read.
func TestAnswerWhileChangesCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, fault := range withoutFigures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 07:30", nil, account(1))
				var broken atomic.Bool
				w.others = func(s *sqlite.Store) refresh.ChangeReader { return brokenChanges{s, &broken} }
				w.config.HistoryDays = 1
				w.start()
				broken.Store(true)
				w.write(account(1).AppID, date(t, "2026-03-09"))
				remove := w.inject(fault)
				setClock(t, "2026-03-10 10:00")
				if n := w.attempts("daily") + w.attempts("hourly"); n == 0 || n > 2 {
					t.Errorf("%d calls while it cannot be read what others store, want no more than one by each call", n)
				}
				remove()
				broken.Store(false)
				setClock(t, "2026-03-10 10:05")
				w.wantDay("account00", "2026-03-09")
				w.stop()
				days, hours := stored(t, w.path, account(1).AppID)
				if days[date(t, "2026-03-09")].Callbacks == 0 || hours[date(t, "2026-03-09")] == (datacube.Hours{}) {
					t.Errorf("the store holds %v", days)
				}
			})
		})
	}
}

// TestUnsavedDayWithoutTrafficBesideTraffic: an answer without rows that waits for the store makes no day known as one without
// traffic if the other call's traffic has become known.
func TestUnsavedDayWithoutTrafficBesideTraffic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-12 08:00", nil, account(1))
		w.config.HistoryDays, w.others = 1, otherProcesses
		var broken atomic.Bool
		w.wrapped = func(s *sqlite.Store) refresh.Store { return brokenStore{s, &broken} }
		w.start()
		broken.Store(true)
		remove := w.sim.Inject(weixintest.Fault{NoRows: true})
		w.config.HistoryDays = 3
		if err := w.runner.ApplyConfig(t.Context(), w.config); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ninth := date(t, "2026-03-09")
		w.save([]store.Record{w.known(account(1).AppID, ninth)})
		setClock(t, "2026-03-12 08:00:30")
		remove()
		broken.Store(false)
		setClock(t, "2026-03-12 08:05")
		if days, _ := stored(t, w.path, account(1).AppID); days[ninth] != w.sim.Day(account(1).AppID, ninth) {
			t.Errorf("the ninth is stored with %+v", days[ninth])
		}
		if n := w.attempts("daily"); n > 5 {
			t.Errorf("%d daily calls", n)
		}
		w.wantPauses(account(1).AppID, ninth)
	})
}

// TestRecheckOfADayThatWasRemoved: an answer without figures for a known day that the retention has removed makes no day of it.
func TestRecheckOfADayThatWasRemoved(t *testing.T) {
	t.Parallel()
	for name, fault := range withoutFigures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				w.config.HistoryDays, w.config.RetentionDays = 3, 3
				seventh := date(t, "2026-03-07")
				w.start()
				if n := w.asked(account(1).AppID, seventh); n != 2 {
					t.Fatalf("the seventh was requested %d times", n)
				}
				w.inject(fault)
				setClock(t, "2026-03-11 07:30")
				if days, _ := stored(t, w.path, account(1).AppID); days[seventh].Callbacks != 0 {
					t.Fatal("the seventh was not removed")
				}
				setClock(t, "2026-03-11 23:30")
				if n := w.asked(account(1).AppID, seventh); n > 4 {
					t.Errorf("the seventh was requested %d times, want no more than one recheck by each call", n)
				}
				if lines := w.log.Lines("known figures are kept", "ref_date=2026-03-07", "no rows"); len(lines) > 0 {
					t.Errorf("figures that are not stored are said to be kept: %s", lines)
				}
				days, hours := stored(t, w.path, account(1).AppID)
				if _, known := days[seventh]; known {
					t.Errorf("the seventh is known by the daily call with %+v", days[seventh])
				}
				if _, known := hours[seventh]; known {
					t.Error("the seventh is known by the hourly call")
				}
			})
		})
	}
}

// TestUnsavedRevision is stored although another process has asked for the day since, and got no rows.
func TestUnsavedRevision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays, w.config.RecheckAfter, w.others = 1, 25*time.Hour, otherProcesses
		ninth := date(t, "2026-03-09")
		var broken atomic.Bool
		w.wrapped = func(s *sqlite.Store) refresh.Store { return brokenStore{s, &broken} }
		w.start()
		w.stop()
		known, err := reopened(t, w, datacube.FirstDate)
		if err != nil {
			t.Fatal(err)
		}
		confirmed := store.Record{AppID: account(1).AppID, API: datacube.Daily, Date: ninth, State: known.States[datacube.Daily].At(ninth)}
		w.start()
		w.sim.Revise(account(1).AppID, ninth, 12, datacube.Figures{Callbacks: 5, TimeCostMillis: 5, MaxTimeCostMillis: 1})
		setClock(t, "2026-03-11 08:30")
		broken.Store(true)
		setClock(t, "2026-03-11 09:05")
		revised := w.sim.Day(account(1).AppID, ninth)
		confirmed.State.AskedAt, confirmed.State.Rechecks = time.Now(), 1
		w.save([]store.Record{confirmed})
		setClock(t, "2026-03-11 10:00")
		broken.Store(false)
		setClock(t, "2026-03-11 10:05")
		if days, _ := stored(t, w.path, account(1).AppID); days[ninth] != revised {
			t.Errorf("the ninth is stored with %+v, want the revised %+v", days[ninth], revised)
		}
		if n := w.shown("account00").Work[datacube.Daily].Revisions; n != 1 {
			t.Errorf("%d revisions, want one", n)
		}
	})
}

// TestUnsavedConfirmation says nothing about figures that another process has stored meanwhile.
func TestUnsavedConfirmation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.config.HistoryDays, w.config.RecheckAfter, w.others = 1, 25*time.Hour, otherProcesses
		ninth := date(t, "2026-03-09")
		var broken atomic.Bool
		w.wrapped = func(s *sqlite.Store) refresh.Store { return brokenStore{s, &broken} }
		w.start()
		setClock(t, "2026-03-11 08:30")
		broken.Store(true)
		w.sim.Inject(weixintest.Fault{API: "daily", NoRows: true})
		setClock(t, "2026-03-11 09:05")
		figures := w.sim.Day(account(1).AppID, ninth)
		figures.Callbacks++
		want := store.State{Status: store.Known, AskedAt: china(t, "2026-03-11 08:59"), KnownAt: china(t, "2026-03-11 08:59"), Rechecked: true, Checksum: store.Checksum(figures)}
		w.save([]store.Record{{AppID: account(1).AppID, API: datacube.Daily, Date: ninth, State: want, Daily: &figures}})
		broken.Store(false)
		setClock(t, "2026-03-11 09:10")
		w.stop()
		known, err := reopened(t, w, datacube.FirstDate)
		if err != nil {
			t.Fatal(err)
		}
		if got := known.States[datacube.Daily].At(ninth); got != want {
			t.Errorf("the state of the ninth is %+v, want %+v", got, want)
		}
	})
}

// wantPauses fails if a day was requested twice within a minute by the same call.
func (w *harness) wantPauses(appID string, d datacube.Date) {
	w.t.Helper()
	last := map[string]time.Time{}
	for _, c := range w.sim.Calls() {
		if c.AppID != appID || d < c.Begin || c.End < d {
			continue
		}
		if before, again := last[c.API]; again && c.At.Sub(before) < time.Minute {
			w.t.Errorf("%v was requested by the %s call at %v and again %v later", d, c.API, before.In(datacube.China), c.At.Sub(before))
			return
		}
		last[c.API] = c.At
	}
}

// known returns a record of the hours of the simulated Weixin, as another process would store it.
func (w *harness) known(appID string, d datacube.Date) store.Record {
	hours, at := w.sim.Hours(appID, d), time.Now()
	state := store.State{Status: store.Known, AskedAt: at, KnownAt: at, Checksum: store.Checksum(hours[:]...)}
	return store.Record{AppID: appID, API: datacube.Hourly, Date: d, State: state, Hourly: &hours}
}

// TestDayWithoutTrafficWhileChangesCannotBeRead: a day without rows whose traffic is known by the other call, as the exporter
// learns only from the store, is in doubt. It is not requested without pauses.
func TestDayWithoutTrafficWhileChangesCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-12 07:30", nil, account(1))
		w.config.HistoryDays = 4
		ninth := date(t, "2026-03-09")
		var broken atomic.Bool
		w.others = func(s *sqlite.Store) refresh.ChangeReader { return brokenChanges{s, &broken} }
		late := w.sim.Inject(weixintest.Fault{API: "daily", Errcode: 61503})
		w.sim.Inject(weixintest.Fault{API: "hourly", Errcode: 61503})
		w.start()
		late()
		broken.Store(true)
		w.save([]store.Record{w.known(account(1).AppID, ninth)})
		w.sim.Inject(weixintest.Fault{API: "daily", NoRows: true, Delay: time.Second})
		setClock(t, "2026-03-13 07:30")
		before := w.asked(account(1).AppID, ninth)
		setClock(t, "2026-03-13 11:00")
		if n := w.asked(account(1).AppID, ninth) - before; n == 0 || n > 3 {
			t.Errorf("the ninth was requested %d times, want two or three times", n)
		}
		w.wantPauses(account(1).AppID, ninth)
		w.stop()
		known, err := reopened(t, w, datacube.FirstDate)
		if err != nil || known.States[datacube.Daily].At(ninth).Status != store.NotReady {
			t.Errorf("the ninth is stored as %+v: %v", known.States[datacube.Daily].At(ninth), err)
		}
	})
}

// TestRecheckOfADayThatOthersRemove: a wanted day whose recheck the store refuses, because it does not have the day any more, is
// new, but not requested again at once.
func TestRecheckOfADayThatOthersRemove(t *testing.T) {
	t.Parallel()
	for name, fault := range withoutFigures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, account(1))
				w.config.HistoryDays = 4
				ninth := date(t, "2026-03-09")
				w.start()
				if _, err := w.store.Prune(t.Context(), ninth+1); err != nil {
					t.Fatal(err)
				}
				fault.Delay = time.Second
				w.inject(fault)
				setClock(t, "2026-03-11 10:00")
				if n := w.asked(account(1).AppID, ninth); n < 6 {
					t.Errorf("the ninth was requested %d times, want a recheck and one time more by each call", n)
				}
				w.wantPauses(account(1).AppID, ninth)
			})
		})
	}
}

// TestUnsavedFiguresBeforeAnEmptyAnswer: figures that wait for the store replace the zeros of a day for which another process got no
// rows since.
func TestUnsavedFiguresBeforeAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		broken := w.startBroken()
		ninth, at := date(t, "2026-03-09"), time.Now()
		quiet := store.State{Status: store.Known, Empty: true, AskedAt: at, KnownAt: at, Checksum: store.Checksum(datacube.Figures{})}
		w.save([]store.Record{{AppID: account(1).AppID, API: datacube.Daily, Date: ninth, State: quiet, Daily: &datacube.Figures{}}})
		broken.Store(false)
		setClock(t, "2026-03-10 08:10")
		w.wantStored(w.sim.Day(account(1).AppID, ninth))
		if n := w.shown("account00").Work[datacube.Daily].Revisions; n != 1 {
			t.Errorf("%d revisions, want one", n)
		}
	})
}

// TestDamagedAnswerIsOvertaken: a damaged answer that another process's later one has overtaken is shown with the time of the next
// request if that one has no figures either.
func TestDamagedAnswerIsOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 09:00", nil, account(1))
		w.others = otherProcesses
		w.config.HistoryDays = 1
		w.wrapped = func(s *sqlite.Store) refresh.Store {
			return &overtakenStore{s, func() {
				state := store.State{Status: store.NotReady, Asks: 1, AskedAt: time.Now().Add(5 * time.Second)}
				w.save([]store.Record{{AppID: account(1).AppID, API: datacube.Daily, Date: date(t, "2026-03-09"), State: state}})
			}}
		}
		w.inject(weixintest.Fault{Garbled: true})
		w.start()
		setClock(t, "2026-03-10 09:01")
		work := w.shown("account00").Work[datacube.Daily]
		if work.Succeeded || work.Problem == nil || work.Problem.Next.Before(time.Now()) {
			t.Errorf("the attempt is shown as %+v with the problem %+v", work, work.Problem)
		}
	})
}

// TestUnsavedDamageOfAKnownDay: a damaged answer that waits for the store is shown as a success once another process has stored the day.
func TestUnsavedDamageOfAKnownDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, account(1))
		w.inject(weixintest.Fault{Garbled: true})
		broken := w.startBroken()
		w.write(account(1).AppID, date(t, "2026-03-09"))
		broken.Store(false)
		setClock(t, "2026-03-10 08:10")
		w.wantDay("account00", "2026-03-09")
		if work := w.shown("account00").Work[datacube.Daily]; !work.Succeeded || work.Problem != nil {
			t.Errorf("the attempt is shown as %+v with the problem %+v", work, work.Problem)
		}
	})
}

// TestBackfillCountsRefusedDays: a day without rows whose traffic another process has stored by the other call is not ready.
func TestBackfillCountsRefusedDays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault             weixintest.Fault
		notReady, damaged int
	}{
		"no rows": {fault: weixintest.Fault{API: "daily", NoRows: true}, notReady: 1},
		"damaged": {fault: weixintest.Fault{API: "daily", Garbled: true}, damaged: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 09:00", nil, account(1))
				first, appID := date(t, "2026-03-01"), account(1).AppID
				w.sim.Inject(c.fault)
				known, err := sqlite.Open(t.Context(), w.path, sqlite.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer known.Close()
				overtaken := &overtakenStore{known, func() {
					state := store.State{Status: store.NotReady, Asks: 1, AskedAt: time.Now().Add(5 * time.Second)}
					records := []store.Record{w.known(appID, first)}
					if c.damaged > 0 {
						records = append(records, store.Record{AppID: appID, API: datacube.Daily, Date: first, State: state})
					}
					w.save(records)
				}}
				b := refresh.NewBackfill(refresh.BackfillOptions{
					Store: overtaken, Changes: known, Logger: log.NewLogfmtLogger(w.log), Now: w.now, Progress: &shelf{},
				})
				plan, err := b.Plan(t.Context(), w.from("2026-03-01", "2026-03-01"))
				if err != nil {
					t.Fatal(err)
				}
				filled, err := b.Run(t.Context(), plan)
				if err != nil {
					t.Fatal(err)
				}
				if got := filled[0]; got.NotReady[datacube.Daily] != c.notReady || got.Damaged[datacube.Daily] != c.damaged {
					t.Errorf("%+v, want %d days that are not ready and %d damaged", got, c.notReady, c.damaged)
				}
			})
		})
	}
}
