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
	"weixin_exporter/weixin/datacube"
)

// broken fails at what it is told to.
type broken struct {
	*store.Store
	mu   sync.Mutex
	fail map[string]error
}

func (b *broken) fault(method string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail[method]
}

func (b *broken) set(method string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail[method] = err
}

func (b *broken) Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error) {
	if err := b.fault("changed"); err != nil {
		return nil, 0, err
	}
	return b.Store.Changed(ctx, after)
}

func (b *broken) Undelivered(ctx context.Context, endpoint string) ([]string, error) {
	if err := b.fault("undelivered"); err != nil {
		return nil, err
	}
	return b.Store.Undelivered(ctx, endpoint)
}

func (b *broken) ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]store.Pending, error) {
	if err := b.fault("due"); err != nil {
		return nil, err
	}
	return b.Store.ReadPending(ctx, endpoint, since, limit, appIDs...)
}

func (b *broken) CountPending(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error) {
	if err := b.fault("count"); err != nil {
		return nil, err
	}
	return b.Store.CountPending(ctx, endpoint, since)
}

func (b *broken) MarkDelivered(ctx context.Context, endpoint string, at time.Time, dues ...store.Pending) error {
	if err := b.fault("delivered"); err != nil {
		return err
	}
	return b.Store.MarkDelivered(ctx, endpoint, at, dues...)
}

// A store that fails for a while is asked again.
func TestBrokenStore(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"changed", "undelivered", "due", "count", "delivered"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				r := newReceiver(t)
				s := &broken{Store: w.store, fail: map[string]error{method: errors.New("the disk is full")}}
				w.save(shop, 1, days(2)...)
				w.startOn(s, w.endpoint("one", r, nil))
				w.wait(time.Hour)
				if got := w.log.lines("level=error", "the disk is full"); len(got) < 55 || len(got) > 80 {
					t.Errorf("logged %d times in an hour", len(got))
				}
				w.end()
				s.set(method, nil)
				if method != "count" { // what is pending does not matter to what is sent
					r.has = map[string]map[int64][]float64{}
				}
				w.startOn(s, w.endpoint("one", r, nil))
				w.wait(2 * time.Minute)
				w.mustHave(r, "shop", 1, days(2)...)
			})
		})
	}
}

// What cannot be noted for a while is neither sent nor counted again, and a day that is revised
// meanwhile is not taken for sent.
func TestStoreThatCannotNote(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		r := newReceiver(t)
		refuses := func(p point) bool { return p.time == (today - 2).End().UnixMilli() }
		r.set(func(q *request) answer {
			if slices.ContainsFunc(q.points, refuses) {
				return answer{status: http.StatusUnprocessableEntity, body: "not this one"}
			}
			return answer{status: http.StatusOK}
		})
		const bad = 8 // the last hour and the day, of four figures each
		s := &broken{Store: w.store, fail: map[string]error{"delivered": errors.New("the disk is full")}}
		w.save(shop, 1, days(2)...)
		w.startOn(s, w.endpoint("one", r, nil))
		w.wait(time.Hour)
		before := len(r.got())
		w.wait(time.Hour)
		w.mustCount("one", 2*perDay-bad, 2*perDay, map[string]int{"rejected": bad})
		w.save(shop, 2, today-1)
		s.set("delivered", nil)
		w.wait(2 * time.Minute)
		w.mustCount("one", 3*perDay-bad, 0, map[string]int{"rejected": bad})
		if n := len(r.got()); n != before+1 {
			t.Errorf("%d requests, want one more than %d", n, before)
		}
	})
}
