package postgres_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

// hostClock is the clock of an exporter, which a test sets.
type hostClock struct{ seconds atomic.Int64 }

func (c *hostClock) now() time.Time {
	return storetest.Asked().Add(time.Duration(c.seconds.Load()) * time.Second)
}
func (c *hostClock) advance(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }

// serve opens the store in a database for an exporter.
func serve(t *testing.T, url string, clock *hostClock, lease time.Duration) (*postgres.Store, error) {
	t.Helper()
	s, err := postgres.Serve(t.Context(), secret.NewURL(url), postgres.ServeOptions{Now: clock.now, Lease: lease})
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func mustServe(t *testing.T, url string, clock *hostClock, lease time.Duration) *postgres.Store {
	t.Helper()
	s, err := serve(t, url, clock, lease)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStandby: a second exporter reads, but writes nothing while the first one renews its lease, and takes over when the
// first one has given it back.
func TestStandby(t *testing.T) {
	t.Parallel()
	url := server.URL(newDatabase(t))
	var clock hostClock
	first, second := mustServe(t, url, &clock, time.Hour), mustServe(t, url, &clock, time.Hour)
	if !first.Held() || second.Held() {
		t.Errorf("held by the first: %v, by the second: %v", first.Held(), second.Held())
	}
	// A command may write beside it.
	storetest.Save(t, open(t, databaseOf(url)), storetest.Daily(storetest.Bot, storetest.FirstDay, 1))
	storetest.Save(t, first, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	for _, s := range []*postgres.Store{first, second} {
		if done, err := s.Recover(t.Context()); done != "" || err != nil {
			t.Errorf("%q, %v", done, err)
		}
	}
	if got := storetest.Load(t, second, storetest.FirstDay); len(got) != 2 {
		t.Errorf("the second one sees %v", got)
	}
	_, err := second.Save(t.Context(), []store.Record{storetest.Daily(storetest.Shop, storetest.FirstDay, 2)})
	if err == nil || errors.Is(err, store.ErrTaken) || !strings.Contains(err.Error(), "another exporter writes to it (process ") {
		t.Errorf("a write of the second one: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if done, err := second.Recover(t.Context()); done == "" || err != nil || !second.Held() {
		t.Errorf("the second one did not take over: %q, %v", done, err)
	}
	storetest.Save(t, second, storetest.Daily(storetest.Shop, storetest.FirstDay, 2))
}

// databaseOf returns the name of the database of a URL.
func databaseOf(url string) string {
	_, path, _ := strings.Cut(url, "@/")
	name, _, _ := strings.Cut(path, "?")
	return name
}

// TestAnExporterThatWasSuspended: once another exporter has taken over, the former one can write nothing.
func TestAnExporterThatWasSuspended(t *testing.T) {
	t.Parallel()
	url := server.URL(newDatabase(t))
	var clock hostClock
	first := mustServe(t, url, &clock, 100*time.Millisecond)
	storetest.Save(t, first, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	second := mustServe(t, url, &clock, time.Hour)
	for !second.Held() { // until the lease of the first one has ended
		if _, err := second.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Save(t, second, storetest.Daily(storetest.Shop, storetest.FirstDay, 2))
	for name, write := range map[string]func() error{
		"save": func() error {
			_, err := first.Save(t.Context(), []store.Record{storetest.Daily(storetest.Shop, storetest.FirstDay, 3)})
			return err
		},
		"holds":     func() error { return first.SaveHolds(t.Context(), []store.Hold{{AppID: storetest.Shop}}) },
		"prune":     func() error { _, err := first.Prune(t.Context(), storetest.FirstDay+1); return err },
		"delivered": func() error { return first.MarkDelivered(t.Context(), "endpoint", storetest.Asked()) },
		"renew":     func() error { _, err := first.Recover(t.Context()); return err },
	} {
		if err := write(); !errors.Is(err, store.ErrTaken) || store.KindOf(err) != store.Locked {
			t.Errorf("%s: %v, of the kind %s", name, err, store.KindOf(err))
		}
	}
	if first.Held() || !second.Held() {
		t.Errorf("held by the first: %v, by the second: %v", first.Held(), second.Held())
	}
	if got := storetest.Load(t, first, storetest.FirstDay)[storetest.Shop]; got.Daily.Figures.Callbacks != 2 {
		t.Errorf("stored: %+v", got.Daily)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	storetest.Save(t, second, storetest.Daily(storetest.Shop, storetest.FirstDay, 4)) // the first one gave nothing back
}

// TestALeaseThatCannotBeRenewed: the exporter trusts it a little less than it lasts, and goes on if no one has taken over.
func TestALeaseThatCannotBeRenewed(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	proxy := postgrestest.NewProxy(t, server)
	var clock hostClock
	s := mustServe(t, proxy.URL(database), &clock, 14*time.Second)
	proxy.BreakAfter(0)
	for _, step := range []struct {
		after time.Duration
		held  bool
	}{{6 * time.Second, true}, {5 * time.Second, true}, {time.Second, false}, {time.Hour, false}} {
		clock.advance(step.after)
		if _, err := s.Recover(t.Context()); err == nil || errors.Is(err, store.ErrTaken) {
			t.Errorf("renewed without a connection: %v", err)
		}
		if s.Held() != step.held {
			t.Errorf("after another %v it is held: %v", step.after, s.Held())
		}
	}
	proxy.BreakAfter(-1)
	if _, err := s.Recover(t.Context()); err != nil || !s.Held() {
		t.Errorf("with a connection again: %v, held: %v", err, s.Held())
	}
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
}
