package exposition

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
	"weak"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/flate"

	"weixin_exporter/collector"
	"weixin_exporter/snapshot"
)

// Rendering and compressing takes some 20 microseconds of an account. So that a refresh of
// thousands of accounts does not make each scrape do it, kept bytes are shown for a while though
// the snapshot has changed: ten seconds with thousands of accounts, an instant with a few.
const (
	pausePerAccount = 10 * time.Millisecond
	longestPause    = 10 * time.Second
)

// pause is how long kept bytes are shown although there is a later snapshot.
func pause(accounts int) time.Duration {
	return min(time.Duration(accounts)*pausePerAccount, longestPause)
}

// keeper keeps the series of accounts compressed.
type keeper struct {
	now    func() time.Time
	source collector.Source

	mu    sync.Mutex
	slots map[slotKey]*slot
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
	last *packed // nil before the first are ready
	// rendering is closed when those that are being rendered are ready; nil if none are.
	rendering chan struct{}
}

// get returns the compressed series of accounts. They are rendered by whoever needs them first;
// meanwhile others get what was rendered before or, where that is nothing, wait until their
// context ends.
func (k *keeper) get(ctx context.Context, s scrape, b *buffers) (*packed, error) {
	for {
		k.mu.Lock()
		s.latest = k.source.Latest() // here, so that what is kept never becomes older
		of := weak.Make(s.latest)
		at := k.slot(slotKey{s.shard, s.form})
		last, rendering := at.last, at.rendering
		if last != nil && (last.of == of || k.stillShown(last, s.latest, rendering != nil)) {
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
			return nil, context.Cause(ctx)
		}
	}
}

// stillShown says whether bytes may be sent though a later snapshot is there. Its accounts must
// be the same, so that a reload of the configuration shows at once.
func (k *keeper) stillShown(last *packed, latest *snapshot.Snapshot, rendering bool) bool {
	if latest == nil || last.names != k.namesOf(latest) {
		return false
	}
	return rendering || k.now().Sub(last.at) < pause(len(latest.Accounts))
}

// slot returns the place for a key. Beside those of the whole there are only the places of one
// number of shards, lest asking for many numbers fill the memory.
func (k *keeper) slot(key slotKey) *slot {
	if found := k.slots[key]; found != nil {
		return found
	}
	if k.slots == nil {
		k.slots = map[slotKey]*slot{}
	}
	if key.shard != whole {
		for other := range k.slots {
			if other.shard != whole && other.shard.of != key.shard.of {
				delete(k.slots, other)
			}
		}
	}
	made := &slot{}
	k.slots[key] = made
	return made
}

// fill renders what a slot waits for.
func (k *keeper) fill(at *slot, s scrape, b *buffers) *packed {
	var made *packed
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if made != nil { // or it panicked, and the next one tries
			made.names = k.namesOf(s.latest)
			at.last = made
		}
		close(at.rendering)
		at.rendering = nil
	}()
	begun := k.now()
	made = pack(s, b)
	made.at = begun
	return made
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

// packed is the beginning of a gzip member: its header and a deflate stream that ends in a flush,
// so that another one can follow. (A second member would be allowed by RFC 1952, but curl
// refuses it.)
type packed struct {
	chunks chunks
	crc    uint32 // of the plain text
	length uint32 // of the plain text

	// Set by the keeper. The weak pointer tells snapshots apart without keeping one alive.
	of    weak.Pointer[snapshot.Snapshot]
	names uint64
	at    time.Time
}

// pack renders and compresses the series of accounts.
func pack(s scrape, b *buffers) *packed {
	p := &packed{of: weak.Make(s.latest)}
	_, _ = p.chunks.Write([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff")) // deflate, no name, no time, the fastest way
	b.deflate.Reset(&p.chunks)
	// Memory takes all that is written to it.
	_ = s.form.render(summing{p, b.deflate}, &b.lines, s.shard.accounts(s.latest), s.wanted)
	_ = b.deflate.Flush()
	return p
}

// send writes the member with the live part as its end.
func (p *packed) send(w http.ResponseWriter, b *buffers) error {
	live := b.live.Bytes()
	b.tail.Reset()
	b.deflate.Reset(&b.tail)
	_, _ = b.deflate.Write(live)
	_ = b.deflate.Close()
	trailer := binary.LittleEndian.AppendUint32(nil, crc32.Update(p.crc, crc32.IEEETable, live))
	b.tail.Write(binary.LittleEndian.AppendUint32(trailer, p.length+uint32(len(live))))

	w.Header().Set("Content-Length", strconv.Itoa(p.chunks.size+b.tail.Len()))
	for _, chunk := range p.chunks.list {
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	_, err := w.Write(b.tail.Bytes())
	return err
}

// summing notes the CRC and the length of what is written through it.
type summing struct {
	*packed
	to io.Writer
}

func (s summing) Write(text []byte) (int, error) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, text)
	s.length += uint32(len(text)) // modulo 2³², as the trailer has it
	return s.to.Write(text)
}

// chunks are bytes that grow without being copied.
type chunks struct {
	list [][]byte
	size int
}

const (
	smallestChunk = 4 << 10
	largestChunk  = 256 << 10
)

func (c *chunks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		last := len(c.list) - 1
		if last < 0 || len(c.list[last]) == cap(c.list[last]) {
			c.list = append(c.list, make([]byte, 0, min(max(c.size, smallestChunk), largestChunk)))
			last++
		}
		chunk := c.list[last]
		n := min(len(rest), cap(chunk)-len(chunk))
		c.list[last] = append(chunk, rest[:n]...)
		c.size += n
		rest = rest[n:]
	}
	return len(p), nil
}

// buffers are what a scrape works with; none of it lasts longer.
type buffers struct {
	live    bytes.Buffer  // what is gathered for this scrape
	tail    bytes.Buffer  // the same, compressed
	lines   []byte        // rendered lines that are not written yet
	deflate *flate.Writer // at the fastest level: the default saves a fifth of the bytes for twice the time
}

func newBuffers() *buffers {
	deflate, _ := flate.NewWriter(io.Discard, flate.BestSpeed) // there is this level
	return &buffers{deflate: deflate}
}
