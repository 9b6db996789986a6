package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// through opens the store in a database through a proxy.
func through(t *testing.T, proxy *postgrestest.Proxy, database string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), secret.NewURL(proxy.URL(database)), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestABrokenConnection: a Save whose connection breaks at any point stores all or nothing, and can be repeated.
func TestABrokenConnection(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	proxy := postgrestest.NewProxy(t, server)
	s, direct := through(t, proxy, database), open(t, database)
	version := func(n int64) []store.Record {
		var hours datacube.Hours
		hours[3].Callbacks = n
		return []store.Record{
			storetest.Daily(storetest.Shop, storetest.FirstDay, n), storetest.Hourly(storetest.Bot, storetest.FirstDay, hours),
		}
	}
	storetest.Save(t, s, version(1)...)
	broken := 0
	for writes := 0; ; writes++ {
		before := storetest.Load(t, direct, storetest.FirstDay)
		next := before[storetest.Shop].Daily.Figures.Callbacks + 1
		proxy.BreakAfter(writes)
		_, err := s.Save(t.Context(), version(next))
		proxy.BreakAfter(-1)
		if err == nil {
			break
		}
		broken++
		if kind := store.KindOf(err); kind != store.Unreachable {
			t.Errorf("after %d writes: %v, of the kind %s", writes, err, kind)
		}
		if s.Fault() == nil {
			t.Errorf("after %d writes there is no fault", writes)
		}
		after := storetest.Load(t, direct, storetest.FirstDay)
		stored := after[storetest.Shop].Daily.Figures.Callbacks
		if hour := after[storetest.Bot].Hourly.Hours[3].Callbacks; hour != stored || stored != next && stored != next-1 {
			t.Fatalf("after %d writes the versions %d and %d are stored", writes, stored, hour)
		}
		if stored == next-1 {
			if diff := cmp.Diff(before, after); diff != "" {
				t.Fatalf("after %d writes, stored in part (-before +after):\n%s", writes, diff)
			}
		}
		if done, err := s.Recover(t.Context()); done != "" || err != nil || s.Fault() != nil {
			t.Fatalf("recover: %q, %v, %v", done, err, s.Fault())
		}
	}
	if broken < 4 {
		t.Errorf("broken at %d points only", broken)
	}
}

// TestASilentNetwork: without an answer an access ends with its context, and what is known of the fault is shown.
func TestASilentNetwork(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	proxy := postgrestest.NewProxy(t, server)
	s := through(t, proxy, database)
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	proxy.Silence()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Load(ctx, storetest.FirstDay); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	proxy.Resume()
	if got := storetest.Load(t, s, storetest.FirstDay); len(got) != 1 {
		t.Errorf("afterwards: %v", got)
	}
}

// TestAServerThatIsAway: all accesses fail until the server is back, and then succeed without anything being done.
func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	own := newServer(t)
	s, err := postgres.Open(t.Context(), secret.NewURL(own.URL("postgres")), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	for range 2 {
		if err := own.Kill(); err != nil {
			t.Fatal(err)
		}
		_, err := s.Save(t.Context(), []store.Record{storetest.Daily(storetest.Shop, storetest.FirstDay, 2)})
		if store.KindOf(err) != store.Unreachable || !strings.Contains(err.Error(), "the database cannot be reached; check the server and store.url") {
			t.Errorf("save: %v, of the kind %s", err, store.KindOf(err))
		}
		if _, err := s.Recover(t.Context()); err == nil {
			t.Error("recovered without a server")
		}
		if fault := s.Fault(); fault == nil || strings.Contains(fault.Error(), "\n") {
			t.Errorf("fault: %v", fault)
		}
		if err := own.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := storetest.Load(t, s, storetest.FirstDay)[storetest.Shop]; got.Daily.Figures.Callbacks != 1 || s.Fault() != nil {
			t.Errorf("afterwards: %+v, %v", got.Daily, s.Fault())
		}
	}
}

// TestErrorsHideThePassword opens URLs that are wrong in many ways.
func TestErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	const password = "hush-hush-0815"
	for name, test := range map[string]struct{ url, want string }{
		"another scheme":    {"mysql://u:" + password + "@db/x", "must begin with postgres://"},
		"not a URL":         {"postgres://u:" + password + "@ db:port/x", "is not valid"},
		"a wrong port":      {"postgres://u:" + password + "@db:99999/x", "is not valid"},
		"a wrong parameter": {"postgres://u@db/x?sslmode=" + password, "is not valid"},
		"not reachable":     {"postgres://u:" + password + "@/x?host=/nowhere", `store "x" on /nowhere: open: the database cannot be reached`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := postgres.Open(t.Context(), secret.NewURL(test.url), postgres.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), password) {
				t.Errorf("got %v, want …%s…", err, test.want)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				if strings.Contains(err.Error(), password) {
					t.Errorf("a cause contains the password: %v", err)
				}
			}
		})
	}
}

// newServer starts a server of a test's own.
func newServer(t *testing.T) *postgrestest.Server {
	t.Helper()
	own, err := postgrestest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Remove(); err != nil {
			t.Error(err)
		}
	})
	return own
}
