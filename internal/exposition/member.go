package exposition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
	"weak"

	"github.com/klauspost/compress/flate"

	"weixin_exporter/internal/snapshot"
)

// gzipHeader stands for deflate at the fastest level, without a name and a time.
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"

// sums are the checksum and the length of the plain text, which are at the end of a gzip member.
type sums struct {
	crc    uint32
	length uint32 // modulo 2^32
}

func (s *sums) add(text []byte) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, text)
	s.length += uint32(len(text))
}

func (s *sums) trailer() []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, s.crc), s.length)
}

// summing updates sums with everything written through it.
type summing struct {
	*sums
	to io.Writer
}

func (s summing) Write(text []byte) (int, error) {
	s.add(text)
	return s.to.Write(text)
}

// packed is the beginning of a gzip member: its header and a deflate stream that ends with a flush,
// so that another deflate stream can follow. (RFC 1952 would allow a second member, but curl
// refuses it.)
type packed struct {
	chunks chunks
	sums   sums

	// Set by renderCache. The weak pointer tells snapshots apart without keeping one alive.
	of         weak.Pointer[snapshot.Snapshot]
	generation uint64 // of the snapshot
	at         time.Time
	readers    int         // how many requests are sending it
	aborted    atomic.Bool // sending must stop
}

// pack renders and compresses the series of the accounts of a shard.
func pack(s scrape, accounts []*snapshot.Account, b *buffers) *packed {
	p := &packed{of: weak.Make(s.latest)}
	if s.latest != nil {
		p.generation = s.latest.Generation
	}
	_, _ = p.chunks.Write([]byte(gzipHeader))
	b.deflate.Reset(&p.chunks)
	// Writing to memory cannot fail.
	_ = s.form.render(summing{&p.sums, b.deflate}, &b.lines, accounts, s.wanted)
	_ = b.deflate.Flush()
	return p
}

// packLive compresses the live part that was gathered into the buffers.
func (b *buffers) packLive() *live {
	var deflated bytes.Buffer
	b.deflate.Reset(&deflated)
	_, _ = b.deflate.Write(b.live.Bytes()) // writing to memory cannot fail
	_ = b.deflate.Close()
	return &live{plain: bytes.Clone(b.live.Bytes()), deflate: deflated.Bytes()}
}

// tail is the end of a member: the live part, which responses share, and the trailer.
type tail struct{ live, trailer []byte }

func (t tail) size() int { return len(t.live) + len(t.trailer) }

// finish returns the end of the member with a live part.
func (p *packed) finish(with *live) tail {
	sums := p.sums
	sums.add(with.plain)
	return tail{with.deflate, sums.trailer()}
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

// streamMember renders, compresses and writes a whole member, in constant memory.
func streamMember(w io.Writer, s scrape, b *buffers) error {
	if _, err := io.WriteString(w, gzipHeader); err != nil {
		return err
	}
	var sums sums
	b.deflate.Reset(w)
	if err := s.render(summing{&sums, b.deflate}, b); err != nil {
		return err
	}
	if err := b.deflate.Close(); err != nil {
		return err
	}
	_, err := w.Write(sums.trailer())
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
	live    bytes.Buffer  // the live part, gathered for this scrape
	lines   []byte        // rendered lines that were not written yet
	deflate *flate.Writer // at the fastest level: the default saves a fifth of the bytes and takes twice the time
}

func newBuffers() *buffers {
	deflate, _ := flate.NewWriter(io.Discard, flate.BestSpeed) // the level exists
	return &buffers{deflate: deflate}
}
