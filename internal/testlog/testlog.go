// Package testlog collects the log of the code under test.
package testlog

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

// Log is an io.Writer for a logger. It collects lines and also writes them to the output of the test. It is
// safe for concurrent use.
type Log struct {
	tb   testing.TB
	mu   sync.Mutex
	text bytes.Buffer
}

// New returns an empty Log.
func New(tb testing.TB) *Log {
	tb.Helper()
	return &Log{tb: tb}
}

// Write adds lines.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.tb.Output().Write(p); err != nil {
		return 0, err
	}
	return l.text.Write(p)
}

// Lines returns the lines that contain all of the given texts.
func (l *Log) Lines(texts ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
next:
	for line := range strings.Lines(l.text.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}
