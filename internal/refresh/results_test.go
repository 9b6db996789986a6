package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/weixintest"
)

// togetherStore counts the answers that are stored together.
type togetherStore struct {
	*sqlite.Store

	saves, most int
}

func (s *togetherStore) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	answers := map[string]bool{}
	for _, r := range records {
		answers[r.AppID] = true // an account has one call at a time
	}
	s.saves++
	s.most = max(s.most, len(answers))
	return s.Store.Save(ctx, records)
}

// TestFewAnswersAreStoredTogether: answers that are not stored yet would be lost with the process, so that few of them
// wait for others, however fast Weixin is.
func TestFewAnswersAreStoredTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const all = 200
		w := newHarness(t, "2026-03-10 08:00", nil, accounts(all)...)
		w.config.HistoryDays = 1
		var counting *togetherStore
		w.wrapped = func(s *sqlite.Store) refresh.Store {
			counting = &togetherStore{Store: s}
			return counting
		}
		w.sim.Inject(weixintest.Fault{Delay: time.Millisecond})
		w.start()
		<-time.After(time.Minute)
		synctest.Wait()
		w.wantDay("account00", "2026-03-09")
		if most := 2*w.config.Concurrency - 1; counting.most > most || counting.most < 2 {
			t.Errorf("%d answers were stored together, want at most %d, and more than one", counting.most, most)
		}
		if counting.saves > all {
			t.Errorf("%d transactions for the %d answers", counting.saves, 2*all)
		}
	})
}
