// Package yield lets short requests overtake long ones. Go takes the processor from a goroutine only after ten milliseconds. A
// scrape needs it several times for a moment, and would wait each time for all the others that compute.
package yield

import (
	"io"
	"runtime"
)

// Now lets the goroutines that are ready run first. Long computations for a single request call it about once a millisecond. Those
// that many requests wait for, such as rendering for the cache, do not: they would wait for all the others again and again.
func Now() { runtime.Gosched() }

// often is after how many bytes a Writer yields: some tenths of a millisecond of a template.
const often = 8 << 10

// Writer yields while it is written to.
type Writer struct {
	io.Writer

	written int // since it has yielded
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	if w.written += len(p); w.written >= often {
		w.written = 0
		Now()
	}
	return w.Writer.Write(p)
}
