package exporter

import (
	"context"
	"sync"
	"time"
)

// reloads carries out reloads one after the other. Requests that arrive during a reload share the next one, and
// a reload whose clients have all gone is not carried out: however many requests there are, at most two reloads
// follow. After a reload the next one waits as long as it took, so that reloads without end leave half of a processor to others.
type reloads struct {
	now  func() time.Time
	wake chan struct{} // has a buffer of one: next was set

	mu   sync.Mutex
	next *sharedReload // not begun yet; nil if there is no request
}

type sharedReload struct {
	done    chan struct{} // closed at the end
	err     error         // set before that
	waiting int
	begun   bool
}

// longestRest limits the time between two reloads.
const longestRest = 10 * time.Second

func newReloads(now func() time.Time) *reloads {
	return &reloads{now: now, wake: make(chan struct{}, 1)}
}

// ask waits for a reload that begins after the call and returns its error. When the context ends, it does not wait for one
// that has not begun.
func (r *reloads) ask(ctx context.Context) error {
	r.mu.Lock()
	if r.next == nil {
		r.next = &sharedReload{done: make(chan struct{})}
	}
	shared := r.next
	shared.waiting++
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	select {
	case <-shared.done:
		return shared.err
	case <-ctx.Done():
		if r.leave(shared) {
			<-shared.done // its context has ended as well if the program stops
			return shared.err
		}
		return ctx.Err()
	}
}

// leave reports whether a reload has begun; another one is no longer waited for.
func (r *reloads) leave(shared *sharedReload) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	shared.waiting--
	return shared.begun
}

// begin returns the next reload; nil if no one waits for one.
func (r *reloads) begin() *sharedReload {
	r.mu.Lock()
	defer r.mu.Unlock()
	shared := r.next
	r.next = nil
	if shared == nil || shared.waiting == 0 {
		return nil
	}
	shared.begun = true
	return shared
}

// run carries out requested reloads until the context ends.
func (r *reloads) run(ctx context.Context, reload func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		shared := r.begin()
		if shared == nil {
			continue
		}
		began := r.now()
		shared.err = reload(ctx)
		close(shared.done)
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(r.now().Sub(began), longestRest)):
		}
	}
}
