package compress_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"weixin_exporter/internal/compress"
)

// plain returns the text of a gzip member, of which nothing may be left.
func plain(t *testing.T, member []byte) string {
	t.Helper()
	rest := bytes.NewReader(member)
	r, err := gzip.NewReader(rest)
	if err != nil {
		t.Fatal(err)
	}
	r.Multistream(false)
	text, err := io.ReadAll(r) // compares the checksum and the length
	if err != nil {
		t.Fatal(err)
	}
	if rest.Len() > 0 {
		t.Errorf("%d bytes after the member", rest.Len())
	}
	return string(text)
}

func TestWriter(t *testing.T) {
	t.Parallel()
	var pool compress.Pool
	for _, parts := range [][]string{
		{}, {""}, {"a"}, {"a", "", "b"},
		{strings.Repeat("weixin_interface_daily_callbacks 1\n", 5000), strings.Repeat("weixin_interface_daily_callbacks 2\n", 5000)},
	} {
		var all sync.WaitGroup
		for range 4 { // at the same time, and again with the same compressors
			all.Go(func() {
				var out bytes.Buffer
				w := pool.NewWriter(&out)
				for _, part := range parts {
					if n, err := io.WriteString(w, part); n != len(part) || err != nil {
						t.Errorf("%d bytes of %d are written: %v", n, len(part), err)
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
				want := strings.Join(parts, "")
				if got := plain(t, out.Bytes()); got != want {
					t.Errorf("%d bytes, want %d", len(got), len(want))
				}
				if len(want) > 1000 && out.Len() > len(want)/20 {
					t.Errorf("%d bytes are compressed to %d", len(want), out.Len())
				}
			})
		}
		all.Wait()
	}
}

func TestWriterThatFails(t *testing.T) {
	t.Parallel()
	var pool compress.Pool
	reader, writer := io.Pipe()
	_ = reader.Close() // it never fails
	if n, err := pool.NewWriter(writer).Write([]byte("a")); n != 0 || err == nil {
		t.Errorf("%d bytes are written: %v", n, err)
	}
}

// TestWriterThatWaits: clients that do not read hold no compressor, which would take most of a megabyte each. It does not
// run in parallel, so that nothing else takes memory.
func TestWriterThatWaits(t *testing.T) { //nolint:paralleltest // see above
	var pool compress.Pool
	const clients, most = 50, 10 << 20
	text := bytes.Repeat([]byte("weixin_interface_daily_callbacks 1\n"), 1800)
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // a pool keeps what is idle for one more collection
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	var all sync.WaitGroup
	var readers []*io.PipeReader
	reached := make(chan struct{}, clients)
	for range clients {
		reader, writer := io.Pipe()
		readers = append(readers, reader)
		all.Go(func() {
			_, _ = pool.NewWriter(waiting{writer, reached}).Write(text) // fails in the end
		})
	}
	for range clients {
		<-reached
	}
	if after := used(); after > before+most {
		t.Errorf("%d clients hold %d MB", clients, (after-before)>>20)
	}
	for _, reader := range readers {
		_ = reader.CloseWithError(errors.New("the client has gone"))
	}
	all.Wait()
}

// waiting says when a write begins to wait.
type waiting struct {
	io.Writer

	reached chan<- struct{}
}

func (w waiting) Write(p []byte) (int, error) {
	w.reached <- struct{}{}
	return w.Writer.Write(p)
}
