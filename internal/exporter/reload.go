package exporter

import (
	"context"
	"sync"
)

// reloads carries out reloads one after the other. Requests that come while one is under way share the next,
// and one that nobody waits for any more is not carried out: however many there are, two reloads at the
// most are still to come.
type reloads struct {
	wake chan struct{} // holds one token: next is to be looked at

	mu   sync.Mutex
	next *sharedReload // not yet begun; nil if nobody has asked
}

type sharedReload struct {
	done    chan struct{} // closed at the end
	err     error         // set before that
	waiting int
}

func newReloads() *reloads { return &reloads{wake: make(chan struct{}, 1)} }

// ask returns how a reload ended that began after the call.
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

// run carries out what is asked for until the context ends.
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
