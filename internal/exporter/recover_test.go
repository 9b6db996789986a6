package exporter

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/testlog"
)

// failingStore is a store whose Recover returns an error that is set.
type failingStore struct {
	store.Store

	err error
}

func (s *failingStore) Recover(context.Context) (string, error) { return "", s.err }

// TestOneFaultOfTheStoreIsLoggedOnce: a server that starts again gives several reasons in turn why it cannot be reached.
func TestOneFaultOfTheStoreIsLoggedOnce(t *testing.T) {
	var out strings.Builder
	x := &exporter{Options: Options{Logger: log.NewLogfmtLogger(&out)}}
	db := &failingStore{}
	for _, step := range []struct {
		err  error
		want string // the log line, or a part of it
	}{
		{nil, ""},
		{store.WithKind(errors.New("connection refused"), store.Unreachable), `err="connection refused"`},
		{store.WithKind(errors.New("starting up"), store.Unreachable), ""},
		{store.WithKind(errors.New("a standby"), store.ReadOnly), `err="a standby"`},
		{nil, "can be used again"},
		{nil, ""},
	} {
		db.err = step.err
		if _, usable := x.recoverStore(t.Context(), db); usable != (step.err == nil) {
			t.Errorf("usable %t after %v", usable, step.err)
		}
		if got := out.String(); !strings.Contains(got, step.want) || step.want == "" && got != "" {
			t.Errorf("after %v logged %q, want %q", step.err, got, step.want)
		}
		if known := x.knownFault(); !errors.Is(known, step.err) {
			t.Errorf("shown %v, want %v", known, step.err)
		}
		out.Reset()
	}
}

// troubledStore is a store that is reopened, cannot be read, or is damaged, as is set.
type troubledStore struct {
	store.Store

	mu               sync.Mutex
	reopened, damage string // "" if it is not
	unreadable       error
	reads            int
}

func (s *troubledStore) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *troubledStore) Recover(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := s.reopened
	s.reopened = ""
	return done, nil
}

func (s *troubledStore) Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.unreadable != nil {
		return nil, 0, s.unreadable
	}
	return s.Store.Changed(ctx, after)
}

func (s *troubledStore) Damage() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damage == "" {
		return nil
	}
	return errors.New(s.damage)
}

// keeping runs keepStore and a Refresher with a store, and returns a function that waits for a round and returns the lines that
// it has logged.
func keeping(t *testing.T, db store.Store) func() []string {
	t.Helper()
	out := testlog.New(t)
	x := &exporter{
		Options: Options{Logger: log.NewLogfmtLogger(out)}, sharing: db, history: query.NewStorage(query.StorageOptions{Source: db}),
		refresher: refresh.New(refresh.Options{
			Store: db, Changes: db, Sharing: db, Logger: log.NewNopLogger(), Now: time.Now, Publisher: publisher{Latest: snapshot.NewLatest()},
		}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- x.refresher.Run(ctx, refresh.Config{Interval: time.Hour, Concurrency: 1}) }()
	go func() { x.keepStore(ctx, db); done <- nil }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
	seen := 0
	return func() []string {
		<-time.After(store.KeepSlotsEvery) // of the bubble's clock
		synctest.Wait()
		lines := out.Lines()
		lines, seen = lines[seen:], len(lines)
		return lines
	}
}

// inMemory returns a store.
func inMemory(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), "", sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestAReopenedStoreIsReadUntilThatSucceeds: the days of the previous file would otherwise count as known for ever.
func TestAReopenedStoreIsReadUntilThatSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &troubledStore{Store: inMemory(t)}
		round := keeping(t, db)
		if got := round(); len(got) > 0 {
			t.Errorf("logged at first: %q", got)
		}
		locked, broken := store.WithKind(errors.New("busy"), store.Locked), store.WithKind(errors.New("broken"), store.IO)
		db.set(func() { db.reopened, db.reads = "another file", 0 })
		for i, step := range []struct {
			unreadable error
			want       string // in the last line; "" if there is none
			reads      int
		}{{locked, ": busy", 1}, {locked, "", 2}, {broken, ": broken", 3}, {broken, "", 4}, {nil, "has been read", 5}, {nil, "", 5}} {
			db.set(func() { db.unreadable = step.unreadable })
			got := append(round(), "")
			if last := got[max(0, len(got)-2)]; !strings.Contains(last, step.want) || (step.want == "") != (last == "") {
				t.Errorf("round %d logged %q, want %q", i, got, step.want)
			}
			db.set(func() {
				if db.reads != step.reads {
					t.Errorf("round %d: read %d times, want %d", i, db.reads, step.reads)
				}
			})
		}
	})
}

func TestDamageIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &troubledStore{Store: inMemory(t)}
		round := keeping(t, db)
		for i, step := range []struct{ damage, want string }{
			{"", ""}, {"a day", `err="a day"`}, {"a day", ""}, {"another day", `err="another day"`}, {"", "no damaged days"}, {"", ""},
		} {
			db.set(func() { db.damage = step.damage })
			if got := strings.Join(round(), "\n"); !strings.Contains(got, step.want) || (step.want == "") != (got == "") {
				t.Errorf("round %d logged %q, want %q", i, got, step.want)
			}
		}
	})
}
