package exposition

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
	"weak"

	"weixin_exporter/collector"
	"weixin_exporter/internal/snapshot"
)

// Rendering and compressing takes about 20 microseconds per account. To spare each scrape during a
// refresh of thousands of accounts, cached bytes are served for a while after the snapshot has
// changed: ten seconds with thousands of accounts, an instant with a few.
const (
	pausePerAccount = 10 * time.Millisecond
	longestPause    = 10 * time.Second
)

const (
	// unusedTime is how long bytes stay in the cache without being requested: longer than any usual
	// scrape interval.
	unusedTime = 10 * time.Minute
	// maxOutdated limits the outdated bytes that are still being sent to slow clients. Beyond
	// it, the oldest responses are aborted.
	maxOutdated = 32 << 20
)

// pause returns how long cached bytes are served after a newer snapshot was published.
func pause(accounts int) time.Duration {
	return min(time.Duration(accounts)*pausePerAccount, longestPause)
}

// renderCache holds the series of accounts, rendered and compressed.
type renderCache struct {
	now    func() time.Time
	source collector.Source
	shards shardIndex
	// maxOutdated limits the size of outdated in bytes.
	maxOutdated int

	mu    sync.Mutex
	slots map[slotKey]*slot
	// outdated are replaced bytes that are still being sent, oldest first.
	outdated []*packed
}

type slotKey struct {
	shard Shard
	form  *form
}

// slot holds the bytes of one shard in one format.
type slot struct {
	used time.Time // when it was last requested
	last *packed   // nil until the first bytes are ready
	// rendering is closed when the bytes being rendered are ready; nil if none are.
	rendering chan struct{}
}

// errNotCached means that the bytes of a shard are not cached.
var errNotCached = errors.New("shards of another count are cached")

// packer renders and compresses the series of the accounts of a scrape's shard. It fails if it has to wait for too long.
type packer func(context.Context, scrape) (*packed, error)

// get returns the compressed series of accounts; the caller must release them. The first caller
// renders them; meanwhile other callers get the previous bytes or, if there are none, wait until
// their context ends. The error is errNotCached for a shard of a count that is not cached.
func (c *renderCache) get(ctx context.Context, s scrape, render packer) (*packed, error) {
	for {
		c.mu.Lock()
		s.latest = c.source.Load() // under the lock, so that the cache never goes back in time
		of := weak.Make(s.latest)
		at := c.slot(slotKey{s.shard, s.form}, s.at)
		if at == nil {
			c.mu.Unlock()
			return nil, errNotCached
		}
		last, rendering := at.last, at.rendering
		if last != nil && (last.of == of || c.stillValid(last, s.latest, s.at, rendering != nil)) {
			last.readers++
			c.mu.Unlock()
			return last, nil
		}
		if rendering == nil {
			at.rendering = make(chan struct{})
			c.mu.Unlock()
			return c.fill(ctx, at, s, render)
		}
		c.mu.Unlock()
		select {
		case <-rendering:
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
}

// stillValid reports whether bytes may be served although there is a newer snapshot. It must have
// the same accounts, so that a reload with other accounts takes effect at once.
func (c *renderCache) stillValid(last *packed, latest *snapshot.Snapshot, now time.Time, rendering bool) bool {
	if latest == nil || latest.Generation == 0 || last.generation != latest.Generation {
		return false
	}
	return rendering || now.Sub(last.at) < pause(len(latest.Accounts))
}

// slot returns the slot for a key. Apart from all accounts together, only the shards of one count have
// slots, so that requests for many counts cannot fill the memory; it returns nil for a shard of
// another count. Slots that have not been used for a while are dropped.
func (c *renderCache) slot(key slotKey, now time.Time) *slot {
	found := c.slots[key]
	if found == nil {
		for other, at := range c.slots {
			switch {
			case at.rendering == nil && now.Sub(at.used) >= unusedTime:
				delete(c.slots, other)
			case key.shard != all && other.shard != all && other.shard.of != key.shard.of:
				return nil
			}
		}
		if c.slots == nil {
			c.slots = map[slotKey]*slot{}
		}
		found = &slot{}
		c.slots[key] = found
	}
	found.used = now
	return found
}

// fill renders the bytes for a slot.
func (c *renderCache) fill(ctx context.Context, at *slot, s scrape, render packer) (*packed, error) {
	var made *packed
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if made != nil { // nil after a failure or a panic; the next caller tries again
			c.replace(at, made)
		}
		close(at.rendering)
		at.rendering = nil
	}()
	began := c.now()
	done, err := render(ctx, s)
	if err != nil {
		return nil, err
	}
	done.at, done.readers = began, 1
	made = done
	return made, nil
}

// replace puts new bytes into a slot. The previous ones stay in memory until their last reader is
// done, or the limit is reached.
func (c *renderCache) replace(at *slot, made *packed) {
	if former := at.last; former != nil && former.readers > 0 {
		c.outdated = append(c.outdated, former)
	}
	at.last = made
	size := 0
	for _, p := range slices.Backward(c.outdated) {
		if size += p.chunks.size; size > c.maxOutdated {
			p.aborted.Store(true)
		}
	}
}

// release ends the use of bytes that get returned.
func (c *renderCache) release(p *packed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.readers--; p.readers == 0 {
		c.outdated = slices.DeleteFunc(c.outdated, func(other *packed) bool { return other == p })
	}
}
