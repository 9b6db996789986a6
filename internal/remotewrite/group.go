package remotewrite

import (
	"context"
	"slices"
	"time"

	"github.com/go-kit/log"
)

// Options are the parts that senders work with.
type Options struct {
	Store   Store
	Metrics *Metrics
	Logger  log.Logger
	Now     func() time.Time
	// Believed is the instant by which samples are given up as older than max_age; nil: Now. A clock that
	// is wrong for a while must not cost samples.
	Believed func() time.Time
}

// Group runs a sender for each endpoint.
type Group struct {
	options Options
	configs chan []Endpoint
}

// NewGroup returns a group for Run. It starts nothing.
func NewGroup(o Options) *Group {
	return &Group{options: o, configs: make(chan []Endpoint, 1)}
}

// ApplyConfig replaces the endpoints; a running group takes them on at once. An endpoint that is the
// same as before goes on undisturbed; of others, what a sender has under way is broken off and sent
// again. It is not to be called twice at the same time.
func (g *Group) ApplyConfig(endpoints []Endpoint) {
	select {
	case <-g.configs: // nobody has seen these
	default:
	}
	g.configs <- endpoints
}

// Run sends to the endpoints until the context ends. When it returns, no request is under way.
// Faults are logged and tried again.
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

// runner is a sender at work.
type runner struct {
	endpoint Endpoint
	end      context.CancelFunc
	ended    chan struct{}
}

// replace ends the senders of endpoints that are not among the given ones, waits for their end, and
// starts those that are missing.
func (g *Group) replace(ctx context.Context, former []*runner, endpoints []Endpoint) []*runner {
	var running, over []*runner
	for _, r := range former {
		if slices.ContainsFunc(endpoints, func(e Endpoint) bool { return e.same(&r.endpoint) }) {
			running = append(running, r)
		} else {
			over = append(over, r)
			r.end()
		}
	}
	for _, r := range over {
		<-r.ended
		if !slices.ContainsFunc(endpoints, func(e Endpoint) bool { return e.Label == r.endpoint.Label }) {
			g.options.Metrics.remove(r.endpoint.Label)
		}
	}
	for _, e := range endpoints {
		if !slices.ContainsFunc(running, func(r *runner) bool { return e.same(&r.endpoint) }) {
			running = append(running, g.start(ctx, e))
		}
	}
	return running
}

func (g *Group) start(ctx context.Context, e Endpoint) *runner {
	ctx, end := context.WithCancel(ctx)
	r := &runner{endpoint: e, end: end, ended: make(chan struct{})}
	s := newSender(e, g.options)
	go func() {
		defer close(r.ended)
		defer end()
		s.run(ctx)
	}()
	return r
}
