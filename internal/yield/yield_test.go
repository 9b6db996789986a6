package yield_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"weixin_exporter/internal/yield"
)

// TestYield has another goroutine run while one computes, on one processor and in less time than Go would take it away.
func TestYield(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	w := yield.Writer{Writer: io.Discard}
	text := strings.Repeat("a", 1000)
	for name, step := range map[string]func(){
		"now":    yield.Now,
		"writer": func() { _, _ = io.WriteString(&w, text) },
	} {
		t.Run(name, func(t *testing.T) {
			ran := make(chan struct{})
			go close(ran)
			for range 100 {
				step()
			}
			select {
			case <-ran:
			default:
				t.Error("the other goroutine has not run")
			}
		})
	}
}

func TestWriterWritesAll(t *testing.T) {
	var to strings.Builder
	w := yield.Writer{Writer: &to}
	text := strings.Repeat("0123456789", 3000)
	for _, part := range []string{text, "", "a", text} {
		if n, err := io.WriteString(&w, part); err != nil || n != len(part) {
			t.Errorf("%d bytes of %d, %v", n, len(part), err)
		}
	}
	if to.String() != text+"a"+text {
		t.Errorf("%d other bytes", to.Len())
	}
}
