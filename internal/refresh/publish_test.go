package refresh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// countingPublisher counts snapshots.
type countingPublisher struct {
	*snapshot.Latest
	published atomic.Int64
}

func (b *countingPublisher) Publish(s *snapshot.Snapshot) {
	b.published.Add(1)
	b.Latest.Publish(s)
}

// countingStore counts transactions and records.
type countingStore struct {
	*sqlite.Store
	saves, records *atomic.Int64
}

func (c countingStore) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	c.saves.Add(1)
	c.records.Add(int64(len(records)))
	return c.Store.Save(ctx, records)
}

// accounts returns n simulated accounts.
func accounts(n int) []weixintest.Account {
	list := make([]weixintest.Account, n)
	for i := range list {
		list[i] = account(i)
	}
	return list
}

// TestManyAnswersShareASnapshot: a snapshot refers to all accounts, so there must not be one for each answer. Changes are
// still published soon.
func TestManyAnswersShareASnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(100)...)
		w.config.HistoryDays = 1
		publisher := &countingPublisher{Latest: w.latest}
		w.watched = publisher
		w.sim.Inject(weixintest.Fault{Delay: 20 * time.Millisecond})
		w.start()
		// 300 calls of 20 ms, four at a time: a second and a half.
		<-time.After(time.Second)
		synctest.Wait()
		known := 0
		for _, a := range publisher.Load().Accounts {
			if a.Daily != nil {
				known++
			}
		}
		if known < 60 {
			t.Errorf("%d accounts are shown after a second, want nearly all", known)
		}
		setClock(t, "2026-03-10 08:01")
		w.wantDay("account00", "2026-03-09")
		w.wantDay("account99", "2026-03-09")
		if n := publisher.published.Load(); n < 10 || n > 20 {
			t.Errorf("%d snapshots for 200 answers in a second and a half, want one every 100 ms", n)
		}
	})
}

// TestAnswerIsPublishedWhileCallsAreRunning, no later than the minimum time between two snapshots, whether a worker is free
// or all are busy.
func TestAnswerIsPublishedWhileCallsAreRunning(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{2, 4} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newHarness(t, "2026-03-10 08:00", nil, accounts(3)...)
				w.config.HistoryDays = 1
				w.config.Concurrency = workers
				for _, slow := range []int{0, 2} {
					w.sim.Inject(weixintest.Fault{AppID: account(slow).AppID, Delay: 9 * time.Second})
				}
				w.start()
				<-time.After(110 * time.Millisecond)
				synctest.Wait()
				if w.shown("account01").Daily == nil {
					t.Error("the answer is not shown")
				}
				if w.shown("account00").Daily != nil || w.shown("account02").Daily != nil {
					t.Error("a slow call has been answered")
				}
			})
		})
	}
}

// recordingPublisher keeps all snapshots, and their content at the time of publication.
type recordingPublisher struct {
	*snapshot.Latest

	published []*snapshot.Snapshot
	said      []string
}

func (b *recordingPublisher) Publish(s *snapshot.Snapshot) {
	b.published, b.said = append(b.published, s), append(b.said, said(s))
	b.Latest.Publish(s)
}

func said(s *snapshot.Snapshot) string {
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestPublishedSnapshotsDoNotChange, over two days with quotas, another writer, pruning, a renamed account and a fault.
func TestPublishedSnapshotsDoNotChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 07:50", nil, accounts(2)...)
		publisher := &recordingPublisher{Latest: w.latest}
		w.watched = publisher
		w.others = otherProcesses
		w.config.RetentionDays, w.config.Quota = 3, true
		w.config.HistoryDays = 3
		w.start()
		setClock(t, "2026-03-10 09:00")
		w.write(account(0).AppID, date(t, "2026-03-07"))
		setClock(t, "2026-03-10 10:00")
		config := w.config
		config.Accounts = slices.Clone(config.Accounts)
		config.Accounts[0].Name = "renamed"
		if err := w.runner.ApplyConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		w.sim.Inject(weixintest.Fault{API: "hourly", Errcode: 48001})
		setClock(t, "2026-03-11 12:00")
		w.stop()
		for i, s := range publisher.published {
			if said(s) != publisher.said[i] {
				t.Errorf("snapshot %d of %d was\n%s\nand is\n%s", i, len(publisher.published), publisher.said[i], said(s))
			}
		}
		last := publisher.published[len(publisher.published)-1].Accounts
		if last[1].Name != "renamed" || last[0].Work[datacube.Hourly].Problem == nil || last[0].Work[datacube.Daily].Quota == nil {
			t.Errorf("the test does not cover everything: %s", publisher.said[len(publisher.said)-1])
		}
	})
}

// TestAnswersThatArriveTogetherAreSavedTogether in one transaction.
func TestAnswersThatArriveTogetherAreSavedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(200)...)
		w.config.HistoryDays = 1
		w.config.Concurrency = 25
		w.sim.Inject(weixintest.Fault{Delay: time.Second})
		var saves, records atomic.Int64
		w.wrapped = func(s *sqlite.Store) refresh.Store { return countingStore{s, &saves, &records} }
		w.start()
		setClock(t, "2026-03-10 08:01")
		if records.Load() != 400 {
			t.Fatalf("%d records, want one for each call", records.Load())
		}
		if n := saves.Load(); n > 50 { // more at the end, when workers are idle
			t.Errorf("%d transactions for 400 answers that arrive 25 at a time", n)
		}
	})
}
