package exposition

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/cespare/xxhash/v2"

	"weixin_exporter/collector"
	"weixin_exporter/internal/snapshot"
)

// Rendering and compressing takes some 20 microseconds of an account. So that a refresh of
// thousands of accounts does not make each scrape do it, kept bytes are shown for a while though
// the snapshot has changed: ten seconds with thousands of accounts, an instant with a few.
const (
	pausePerAccount = 10 * time.Millisecond
	longestPause    = 10 * time.Second
)

const (
	// unusedTime is how long bytes are kept that nobody asks for: longer than anybody waits
	// between two scrapes.
	unusedTime = 10 * time.Minute
	// mostOutdated bounds the bytes that are outdated and still being sent, to clients that
	// read slowly. Beyond it the oldest answers are broken off.
	mostOutdated = 32 << 20
)

// pause is how long kept bytes are shown although there is a later snapshot.
func pause(accounts int) time.Duration {
	return min(time.Duration(accounts)*pausePerAccount, longestPause)
}

// keeper keeps the series of accounts compressed.
type keeper struct {
	now    func() time.Time
	source collector.Source
	// mostOutdated bounds the bytes of outdated.
	mostOutdated int

	mu    sync.Mutex
	slots map[slotKey]*slot
	// outdated are replaced and still being sent, the oldest first.
	outdated []*packed
	// named is the hash of names of the snapshot asked about last.
	named struct {
		of   weak.Pointer[snapshot.Snapshot]
		hash uint64
	}
}

type slotKey struct {
	shard Shard
	form  *form
}

// slot is the place of the bytes of one shard in one format.
type slot struct {
	used time.Time // when it was last asked for
	last *packed   // nil before the first are ready
	// rendering is closed when those that are being rendered are ready; nil if none are.
	rendering chan struct{}
}

// errNotKept says that the bytes of a shard are not kept.
var errNotKept = errors.New("shards of another number are kept")

// get returns the compressed series of accounts; the caller gives them back with release. They
// are rendered by the first who needs them; meanwhile others get what was rendered before or,
// where that is nothing, wait until their context ends. The error is errNotKept for a shard of
// another number than those that are kept.
func (k *keeper) get(ctx context.Context, s scrape, b *buffers) (*packed, error) {
	for {
		k.mu.Lock()
		s.latest = k.source.Latest() // here, so that what is kept never becomes older
		of := weak.Make(s.latest)
		at := k.slot(slotKey{s.shard, s.form}, s.at)
		if at == nil {
			k.mu.Unlock()
			return nil, errNotKept
		}
		last, rendering := at.last, at.rendering
		if last != nil && (last.of == of || k.stillShown(last, s.latest, s.at, rendering != nil)) {
			last.readers++
			k.mu.Unlock()
			return last, nil
		}
		if rendering == nil {
			at.rendering = make(chan struct{})
			k.mu.Unlock()
			return k.fill(at, s, b), nil
		}
		k.mu.Unlock()
		select {
		case <-rendering:
		case <-ctx.Done():
			return nil, unavailableError{"The metrics were not waited for: " + context.Cause(ctx).Error()}
		}
	}
}

// stillShown says whether bytes may be sent though a later snapshot is there. Its accounts must
// be the same, so that a reload of the configuration shows at once.
func (k *keeper) stillShown(last *packed, latest *snapshot.Snapshot, now time.Time, rendering bool) bool {
	if latest == nil || last.names != k.namesOf(latest) {
		return false
	}
	return rendering || now.Sub(last.at) < pause(len(latest.Accounts))
}

// slot returns the place for a key. Beside those of the whole there are only the places of one
// number of shards, lest asking for many numbers fill the memory: nil for a shard of another
// number. What nobody has asked for in a while loses its place.
func (k *keeper) slot(key slotKey, now time.Time) *slot {
	found := k.slots[key]
	if found == nil {
		for other, at := range k.slots {
			switch {
			case at.rendering == nil && now.Sub(at.used) >= unusedTime:
				delete(k.slots, other)
			case key.shard != whole && other.shard != whole && other.shard.of != key.shard.of:
				return nil
			}
		}
		if k.slots == nil {
			k.slots = map[slotKey]*slot{}
		}
		found = &slot{}
		k.slots[key] = found
	}
	found.used = now
	return found
}

// fill renders what a slot waits for.
func (k *keeper) fill(at *slot, s scrape, b *buffers) *packed {
	var made *packed
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if made != nil { // or it panicked, and the next one tries
			made.names = k.namesOf(s.latest)
			k.replace(at, made)
		}
		close(at.rendering)
		at.rendering = nil
	}()
	begun := k.now()
	made = pack(s, b)
	made.at, made.readers = begun, 1
	return made
}

// replace puts new bytes into their place. Those before them stay in memory until their last
// reader has them, within the bound.
func (k *keeper) replace(at *slot, made *packed) {
	if former := at.last; former != nil && former.readers > 0 {
		k.outdated = append(k.outdated, former)
	}
	at.last = made
	size := 0
	for _, p := range slices.Backward(k.outdated) {
		if size += p.chunks.size; size > k.mostOutdated {
			p.cut.Store(true)
		}
	}
}

// release gives back what get has returned, once it is sent.
func (k *keeper) release(p *packed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.readers--; p.readers == 0 {
		k.outdated = slices.DeleteFunc(k.outdated, func(other *packed) bool { return other == p })
	}
}

// namesOf returns a hash of the accounts' names and app ids.
func (k *keeper) namesOf(s *snapshot.Snapshot) uint64 {
	if of := weak.Make(s); k.named.of != of || s == nil {
		var d xxhash.Digest
		d.Reset()
		for _, a := range whole.accounts(s) {
			_, _ = d.WriteString(a.Name)
			_, _ = d.WriteString("\n")
			_, _ = d.WriteString(a.AppID)
			_, _ = d.WriteString("\n")
		}
		k.named.of, k.named.hash = of, d.Sum64()
	}
	return k.named.hash
}
