// Package gate limits the number of concurrent requests.
package gate

import (
	"context"
	"time"
)

// maxWait is how long a request waits before it is refused: Prometheus' default scrape timeout.
const maxWait = 10 * time.Second

// Gate is a limit of concurrent requests; nil means no limit.
type Gate chan struct{}

// New returns a Gate for so many requests. 0 or less means no limit.
func New(requests int) Gate {
	if requests <= 0 {
		return nil
	}
	return make(Gate, requests)
}

// Enter waits until the request may be served, which ends with Leave. It returns false if that takes more than ten
// seconds or the context ends.
func (g Gate) Enter(ctx context.Context) bool {
	if g == nil {
		return true
	}
	select {
	case g <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case g <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// Leave ends a request for which Enter returned true.
func (g Gate) Leave() {
	if g != nil {
		<-g
	}
}
