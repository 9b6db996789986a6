// Package gate limits the number of concurrent requests.
package gate

import (
	"context"
	"time"
)

const (
	// maxWait is how long a request waits before it is refused: Prometheus' default scrape timeout.
	maxWait = 10 * time.Second
	// maxWaiting is how many requests wait. The sum over all gates leaves connections free for other requests.
	maxWaiting = 128
)

// Gate is a limit of concurrent requests; nil means no limit.
type Gate struct{ served, waiting chan struct{} }

// New returns a Gate for so many requests. 0 or less means no limit.
func New(requests int) *Gate {
	if requests <= 0 {
		return nil
	}
	return &Gate{make(chan struct{}, requests), make(chan struct{}, maxWaiting)}
}

// Enter waits until the request may be served, which ends with Leave. It returns false if that takes more than ten
// seconds, too many others wait, or the context ends or has ended: a client that gives up its requests at once makes no work.
func (g *Gate) Enter(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if g == nil {
		return true
	}
	select {
	case g.served <- struct{}{}:
		return true
	default:
	}
	select {
	case g.waiting <- struct{}{}:
		defer func() { <-g.waiting }()
	default:
		return false
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case g.served <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// Leave ends a request for which Enter returned true.
func (g *Gate) Leave() {
	if g != nil {
		<-g.served
	}
}
