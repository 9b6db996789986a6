package remotewrite

import (
	"context"
	"slices"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/store"
)

// Options are the dependencies of a Group.
type Options struct {
	Store   Store
	Metrics *Metrics
	Logger  log.Logger
	Now     func() time.Time
	// TrustedNow returns another time; samples are older than max_age by the earlier one of it and Now. A clock that is
	// wrong for a while must not lose samples. nil means Now alone.
	TrustedNow func() time.Time
	// Sharing says which accounts are sent: those in slots that this process owns. The days of the other accounts are
	// neither sent nor counted. nil means store.Alone.
	Sharing Sharing
}

// Sharing says which slots this process owns; store.Sharing implements it.
type Sharing interface {
	// Owned returns the epochs of the owned slots, and 0 for the others.
	Owned() store.Epochs
}

// Group runs a sender for each endpoint.
type Group struct {
	options Options
	configs chan []Endpoint
}

// NewGroup returns a Group. It starts nothing.
func NewGroup(o Options) *Group {
	if o.Sharing == nil {
		o.Sharing = store.Alone{}
	}
	return &Group{options: o, configs: make(chan []Endpoint, 1)}
}

// ApplyConfig replaces the endpoints. A running group uses the new ones at once. Senders of unchanged
// endpoints go on undisturbed; the requests of others are canceled, and their samples sent again. It must
// not be called concurrently.
func (g *Group) ApplyConfig(endpoints []Endpoint) {
	select {
	case <-g.configs: // replaced before Run received it
	default:
	}
	g.configs <- endpoints
}

// Run sends to the endpoints until the context ends. When it returns, no request is in flight.
// Errors are logged, and what failed is retried.
func (g *Group) Run(ctx context.Context, endpoints []Endpoint) {
	var running []*runner
	for ctx.Err() == nil {
		running = g.replace(ctx, running, endpoints)
		select {
		case <-ctx.Done():
		case endpoints = <-g.configs:
		}
	}
	for _, r := range running {
		<-r.ended
	}
}

// runner is a running sender.
type runner struct {
	endpoint Endpoint
	cancel   context.CancelFunc
	ended    chan struct{}
}

// replace stops the senders of endpoints that are not among the given ones, waits until they have ended, and
// starts those that are missing.
func (g *Group) replace(ctx context.Context, former []*runner, endpoints []Endpoint) []*runner {
	var running, stopped []*runner
	for _, r := range former {
		if slices.ContainsFunc(endpoints, func(e Endpoint) bool { return e.equal(&r.endpoint) }) {
			running = append(running, r)
		} else {
			stopped = append(stopped, r)
			r.cancel()
		}
	}
	for _, r := range stopped {
		<-r.ended
		if !slices.ContainsFunc(endpoints, func(e Endpoint) bool { return e.Label == r.endpoint.Label }) {
			g.options.Metrics.remove(r.endpoint.Label)
		}
	}
	for _, e := range endpoints {
		if !slices.ContainsFunc(running, func(r *runner) bool { return e.equal(&r.endpoint) }) {
			running = append(running, g.start(ctx, e))
		}
	}
	return running
}

func (g *Group) start(ctx context.Context, e Endpoint) *runner {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{endpoint: e, cancel: cancel, ended: make(chan struct{})}
	s := newSender(e, g.options)
	go func() {
		defer close(r.ended)
		defer cancel()
		s.run(ctx)
	}()
	return r
}
