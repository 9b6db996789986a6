package gate_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/gate"
)

func TestNoLimit(t *testing.T) {
	for _, requests := range []int{0, -1} {
		g := gate.New(requests)
		for range 100 {
			if !g.Enter(t.Context()) {
				t.Fatalf("a gate for %d requests refuses one", requests)
			}
		}
		g.Leave()
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(2)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if g.Enter(canceled) {
			t.Error("a request that has ended takes a place")
		}
		for range 2 {
			if !g.Enter(t.Context()) {
				t.Error("a request within the limit is refused")
			}
		}
		began := time.Now()
		if g.Enter(t.Context()) || time.Since(began) != 10*time.Second {
			t.Errorf("a third request is admitted, or refused after %v, want 10s", time.Since(began))
		}
		if began = time.Now(); g.Enter(canceled) || time.Since(began) != 0 {
			t.Errorf("a request whose context has ended is admitted, or refused after %v", time.Since(began))
		}
		time.AfterFunc(4*time.Second, g.Leave)
		if began = time.Now(); !g.Enter(t.Context()) || time.Since(began) != 4*time.Second {
			t.Errorf("a request is refused after another one has left, or admitted after %v, want 4s", time.Since(began))
		}
	})
}

// TestWaiting has as many requests wait as may.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiting = 128
		g := gate.New(1)
		g.Enter(t.Context())
		admitted := make(chan bool, waiting)
		for range waiting {
			go func() { admitted <- g.Enter(t.Context()) }()
		}
		synctest.Wait()
		if began := time.Now(); g.Enter(t.Context()) || time.Since(began) != 0 {
			t.Errorf("one more is admitted, or refused after %v", time.Since(began))
		}
		for range waiting {
			g.Leave()
			if !<-admitted {
				t.Error("a request that waits is refused")
			}
		}
		g.Leave()
		if !g.Enter(t.Context()) {
			t.Error("a request is refused after all others have left")
		}
	})
}
