// Package gate bounds how many requests are served at a time.
package gate

import (
	"context"
	"time"
)

// longestWait is how long a request waits for its turn before it is refused: as long as
// Prometheus waits for a scrape by default.
const longestWait = 10 * time.Second

// Gate lets a number of requests in at a time; nil lets all in.
type Gate chan struct{}

// New returns a gate for that many requests. Without a positive number there is no limit.
func New(most int) Gate {
	if most <= 0 {
		return nil
	}
	return make(Gate, most)
}

// Enter waits for a turn, which ends with Leave. It returns false if there was none within ten
// seconds or before the context ended.
func (g Gate) Enter(ctx context.Context) bool {
	if g == nil {
		return true
	}
	select {
	case g <- struct{}{}:
		return true
	default:
	}
	patience := time.NewTimer(longestWait)
	defer patience.Stop()
	select {
	case g <- struct{}{}:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// Leave ends a turn.
func (g Gate) Leave() {
	if g != nil {
		<-g
	}
}
