package remotewrite_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// failingStore is a store whose methods fail on request.
type failingStore struct {
	*sqlite.Store
	mu   sync.Mutex
	fail map[string]error
}

func (s *failingStore) failure(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail[method]
}

func (s *failingStore) set(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

func (s *failingStore) Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error) {
	if err := s.failure("changed"); err != nil {
		return nil, 0, err
	}
	return s.Store.Changed(ctx, after)
}

func (s *failingStore) Undelivered(ctx context.Context, endpoint string) ([]string, error) {
	if err := s.failure("undelivered"); err != nil {
		return nil, err
	}
	return s.Store.Undelivered(ctx, endpoint)
}

func (s *failingStore) ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]store.Pending, error) {
	if err := s.failure("read"); err != nil {
		return nil, err
	}
	return s.Store.ReadPending(ctx, endpoint, since, limit, appIDs...)
}

func (s *failingStore) CountPending(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error) {
	if err := s.failure("count"); err != nil {
		return nil, err
	}
	return s.Store.CountPending(ctx, endpoint, since)
}

func (s *failingStore) MarkDelivered(ctx context.Context, endpoint string, at time.Time, accounts ...store.Pending) error {
	if err := s.failure("delivered"); err != nil {
		return err
	}
	return s.Store.MarkDelivered(ctx, endpoint, at, accounts...)
}

// A store that fails for a while is tried again.
func TestFailingStore(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"changed", "undelivered", "read", "count", "delivered"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			withFixture(t, func(f *fixture) {
				r := newReceiver(t)
				s := &failingStore{Store: f.store, fail: map[string]error{method: errors.New("the disk is full")}}
				f.save(shop, 1, days(2)...)
				f.startOn(s, f.endpoint("one", r, nil))
				f.wait(time.Hour)
				if got := f.log.Lines("level=error", "the disk is full"); len(got) < 55 || len(got) > 80 {
					t.Errorf("logged %d times in an hour", len(got))
				}
				f.end()
				s.set(method, nil)
				if method != "count" { // counting does not affect what is sent
					r.has = map[string]map[int64][]float64{}
				}
				f.startOn(s, f.endpoint("one", r, nil))
				f.wait(2 * time.Minute)
				f.mustHave(r, "shop", 1, days(2)...)
			})
		})
	}
}

// Samples whose delivery cannot be saved for a while are neither sent nor counted again, and a day that is revised
// in the meantime does not count as delivered.
func TestDeliveryThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	withFixture(t, func(f *fixture) {
		r := newReceiver(t)
		refuses := func(p point) bool { return p.time == (today - 2).End().UnixMilli() }
		r.set(func(q *request) response {
			if slices.ContainsFunc(q.points, refuses) {
				return response{status: http.StatusUnprocessableEntity, body: "not this one"}
			}
			return response{status: http.StatusOK}
		})
		const bad = 8 // four figures of the last hour and of the day
		s := &failingStore{Store: f.store, fail: map[string]error{"delivered": errors.New("the disk is full")}}
		f.save(shop, 1, days(2)...)
		f.startOn(s, f.endpoint("one", r, nil))
		f.wait(time.Hour)
		before := len(r.got())
		f.wait(time.Hour)
		f.mustCount("one", 2*perDay-bad, 2*perDay, map[string]int{"rejected": bad})
		f.save(shop, 2, today-1)
		s.set("delivered", nil)
		f.wait(2 * time.Minute)
		f.mustCount("one", 3*perDay-bad, 0, map[string]int{"rejected": bad})
		if n := len(r.got()); n != before+1 {
			t.Errorf("%d requests, want one more than %d", n, before)
		}
	})
}
