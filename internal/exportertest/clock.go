package exportertest

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Clock is the clock of processes. It runs like the real one, from a time that the test chooses, and a test can
// let time pass or set it. It is safe for concurrent use, also by several processes: it is in a file.
type Clock struct {
	mu   sync.Mutex // serializes changes
	file *os.File
}

// reading is the content of the file.
type reading struct {
	offset time.Duration // of the clock to the real one
	passed time.Duration // that Pass has let pass
}

// readingSize is that of two numbers and their checksum, by which a reading during a change is recognized.
const readingSize = 3 * 8

// NewClock returns a clock that says start now. It must be ahead of the real one, and stay so: a process computes
// the deadlines of its connections from its clock, and the kernel has the real one. A date such as 2050-03-01 will
// do. The clock is released at the end of the test.
func NewClock(tb testing.TB, start time.Time) *Clock {
	tb.Helper()
	if !start.After(time.Now()) {
		tb.Fatalf("the clock would be behind the real one: %v", start)
	}
	file, err := os.Create(filepath.Join(tb.TempDir(), "clock"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = file.Close() }) // nothing is read from it any more
	c := &Clock{file: file}
	if err := c.write(reading{offset: time.Until(start)}); err != nil {
		tb.Fatal(err)
	}
	return c
}

// openClock opens the clock in a file that NewClock has made.
func openClock(path string) (*Clock, error) {
	file, err := os.Open(path) //nolint:gosec // NewClock has made it
	if err != nil {
		return nil, err
	}
	return &Clock{file: file}, nil
}

// Now returns the time of the clock.
func (c *Clock) Now() time.Time { return time.Now().Round(0).Add(c.read().offset) }

// elapsed returns a monotonic clock, which starts at 0 and cannot be set.
func (c *Clock) elapsed() func() time.Duration {
	began, before := time.Now(), c.read().passed
	return func() time.Duration { return time.Since(began) + c.read().passed - before }
}

// Pass lets time pass at once: all clocks of the processes, those that cannot be set as well, are ahead by it.
// Timers of the processes run in real time and do not notice.
func (c *Clock) Pass(tb testing.TB, by time.Duration) {
	tb.Helper()
	c.change(tb, reading{offset: by, passed: by})
}

// Set sets the clock forward or, if by is negative, back, as someone does who sets the clock of a host: the
// monotonic clock of the processes does not follow.
func (c *Clock) Set(tb testing.TB, by time.Duration) {
	tb.Helper()
	c.change(tb, reading{offset: by})
}

func (c *Clock) change(tb testing.TB, by reading) {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.read()
	if err := c.write(reading{r.offset + by.offset, r.passed + by.passed}); err != nil {
		tb.Fatal(err)
	}
}

func (c *Clock) write(r reading) error {
	text := binary.LittleEndian.AppendUint64(nil, uint64(r.offset))
	text = binary.LittleEndian.AppendUint64(text, uint64(r.passed))
	text = binary.LittleEndian.AppendUint64(text, r.checksum())
	_, err := c.file.WriteAt(text, 0)
	return err
}

// read returns the content of the file. A clock that cannot be read ends the process, since nothing is right
// without it; at the end of a test nothing depends on it any more.
func (c *Clock) read() reading {
	var text [readingSize]byte
	for {
		switch _, err := c.file.ReadAt(text[:], 0); {
		case errors.Is(err, fs.ErrClosed):
			return reading{}
		case err != nil:
			panic(err)
		}
		r := reading{
			time.Duration(binary.LittleEndian.Uint64(text[0:])),
			time.Duration(binary.LittleEndian.Uint64(text[8:])),
		}
		if r.checksum() == binary.LittleEndian.Uint64(text[16:]) {
			return r
		}
	}
}

func (r reading) checksum() uint64 { return ^uint64(r.offset) ^ uint64(r.passed)*31 }
