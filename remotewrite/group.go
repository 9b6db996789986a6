package remotewrite

import (
	"context"
	"sync"
	"time"

	"github.com/go-kit/log"
)

// Options are the parts that senders work with.
type Options struct {
	Store   Store
	Metrics *Metrics
	Logger  log.Logger
	Now     func() time.Time
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

// Configure replaces the endpoints; a running group takes them on at once. What a sender has
// under way is broken off and sent again. It is not to be called twice at the same time.
func (g *Group) Configure(endpoints []Endpoint) {
	select {
	case <-g.configs: // nobody has seen these
	default:
	}
	g.configs <- endpoints
}

// Run sends to the endpoints until the context ends. When it returns, no request is under way.
// Faults are logged and tried again.
func (g *Group) Run(ctx context.Context, endpoints []Endpoint) {
	var senders sync.WaitGroup
	shown := map[string]bool{}
	for ctx.Err() == nil {
		shown = g.show(endpoints, shown)
		life, end := context.WithCancel(ctx)
		for _, e := range endpoints {
			s := newSender(e, g.options)
			senders.Go(func() { s.run(life) })
		}
		select {
		case <-ctx.Done():
		case endpoints = <-g.configs:
		}
		end()
		senders.Wait()
	}
}

// show lets the series of the endpoints start and removes those of former ones.
func (g *Group) show(endpoints []Endpoint, former map[string]bool) map[string]bool {
	shown := make(map[string]bool, len(endpoints))
	for _, e := range endpoints {
		shown[e.Label] = true
		g.options.Metrics.of(e.Label)
	}
	for label := range former {
		if !shown[label] {
			g.options.Metrics.remove(label)
		}
	}
	return shown
}
