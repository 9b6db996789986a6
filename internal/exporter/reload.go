package exporter

import (
	"context"
	"sync"
)

// reloads carries out reloads one after the other. Requests that arrive during a reload share the next one, and
// a reload whose clients have all gone is not carried out: however many requests there are, at most two reloads
// follow.
type reloads struct {
	wake chan struct{} // has a buffer of one: next was set

	mu   sync.Mutex
	next *sharedReload // not begun yet; nil if there is no request
}

type sharedReload struct {
	done    chan struct{} // closed at the end
	err     error         // set before that
	waiting int
}

func newReloads() *reloads { return &reloads{wake: make(chan struct{}, 1)} }

// ask waits for a reload that begins after the call and returns its error.
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
		r.mu.Lock()
		shared.waiting--
		r.mu.Unlock()
		return ctx.Err()
	}
}

// run carries out requested reloads until the context ends.
func (r *reloads) run(ctx context.Context, reload func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		r.mu.Lock()
		shared := r.next
		r.next = nil
		wanted := shared != nil && shared.waiting > 0
		r.mu.Unlock()
		if wanted {
			shared.err = reload(ctx)
			close(shared.done)
		}
	}
}
