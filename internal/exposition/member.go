package exposition

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
	"weak"

	"weixin_exporter/internal/compress"
	"weixin_exporter/internal/snapshot"
)

// summing updates sums with everything written through it.
type summing struct {
	*compress.Sums
	to io.Writer
}

func (s summing) Write(text []byte) (int, error) {
	s.Add(text)
	return s.to.Write(text)
}

// packed is the beginning of a gzip member: its header and a deflate stream that ends with a flush,
// so that another deflate stream can follow. (RFC 1952 would allow a second member, but curl
// refuses it.)
type packed struct {
	chunks chunks
	sums   compress.Sums

	// Set by renderCache. The weak pointer tells snapshots apart without keeping one alive.
	of         weak.Pointer[snapshot.Snapshot]
	generation uint64 // of the snapshot
	at         time.Time
	readers    int         // how many requests are sending it
	aborted    atomic.Bool // sending must stop
}

// pack renders and compresses the series of the accounts of a shard.
func pack(s scrape, accounts []*snapshot.Account, b *buffers, compressors *compress.Pool) *packed {
	p := &packed{of: weak.Make(s.latest)}
	if s.latest != nil {
		p.generation = s.latest.Generation
	}
	_, _ = p.chunks.Write([]byte(compress.Header))
	compressors.Deflate(&p.chunks, false, func(deflate io.Writer) {
		_ = s.form.render(summing{&p.sums, deflate}, &b.lines, accounts, s.wanted) // writing to memory cannot fail
	})
	return p
}

// packLive compresses the live part that was gathered into the buffers.
func (b *buffers) packLive(compressors *compress.Pool) *live {
	var deflated bytes.Buffer
	compressors.Deflate(&deflated, true, func(deflate io.Writer) {
		_, _ = deflate.Write(b.live.Bytes()) // as above
	})
	return &live{plain: bytes.Clone(b.live.Bytes()), deflate: deflated.Bytes()}
}

// tail is the end of a member: the live part, which responses share, and the trailer.
type tail struct{ live, trailer []byte }

func (t tail) size() int { return len(t.live) + len(t.trailer) }

// finish returns the end of the member with a live part.
func (p *packed) finish(with *live) tail {
	sums := p.sums
	sums.Add(with.plain)
	return tail{with.deflate, sums.Trailer()}
}

// errAborted is the error of a response that was aborted.
var errAborted = errors.New("the client reads too slowly: its response is outdated and the memory for outdated responses is used up")

// send writes the member and its end.
func (p *packed) send(w http.ResponseWriter, end tail) error {
	w.Header().Set("Content-Length", strconv.Itoa(p.chunks.size+end.size()))
	for _, chunk := range p.chunks.list {
		if p.aborted.Load() {
			return errAborted
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	if _, err := w.Write(end.live); err != nil {
		return err
	}
	_, err := w.Write(end.trailer)
	return err
}

// chunks is a buffer that grows without being copied.
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

// buffers are the working memory of one scrape.
type buffers struct {
	live  bytes.Buffer // the live part, gathered for this scrape
	lines []byte       // rendered lines that were not written yet
}
