package refresh_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weixin_exporter/internal/racetest"
	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
)

// outside does work outside of a synctest bubble. A goroutine that waits for a channel from there is not durably blocked, so
// that the clock of the bubble stands still while a database works in real time.
type outside struct {
	mu   sync.Mutex
	work chan func()
	done chan struct{}
}

// newOutside must be called outside of the bubble.
func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{work: make(chan func()), done: make(chan struct{})}
	go func() {
		for f := range o.work {
			f()
			o.done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(o.work) })
	return o
}

func (o *outside) do(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.work <- f
	<-o.done
}

// result returns what f returns outside of the bubble. Its context is not that of the bubble, whose end would have no effect
// there.
func result[T any](o *outside, f func(context.Context) (T, error)) (T, error) {
	var value T
	var err error
	o.do(func() { value, err = f(context.Background()) })
	return value, err
}

func failure(o *outside, f func(context.Context) error) error {
	_, err := result(o, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

// database is a store in PostgreSQL that is used from within a bubble.
type database struct {
	*outside
	store *postgres.Store
}

var _ refresh.Store = database{}

func (d database) Load(_ context.Context, since datacube.Date, appIDs ...string) (map[string]*store.Account, error) {
	return result(d.outside, func(ctx context.Context) (map[string]*store.Account, error) {
		return d.store.Load(ctx, since, appIDs...)
	})
}

func (d database) Save(_ context.Context, records []store.Record) ([]store.Revision, error) {
	return result(d.outside, func(ctx context.Context) ([]store.Revision, error) { return d.store.Save(ctx, records) })
}

func (d database) Prune(_ context.Context, before datacube.Date) (int64, error) {
	return result(d.outside, func(ctx context.Context) (int64, error) { return d.store.Prune(ctx, before) })
}

func (d database) SaveHolds(_ context.Context, holds []store.Hold) error {
	return failure(d.outside, func(ctx context.Context) error { return d.store.SaveHolds(ctx, holds) }) //nolint:contextcheck // that of a bubble cannot be used outside
}

func (d database) Holds(_ context.Context, appIDs ...string) ([]store.Hold, error) {
	return result(d.outside, func(ctx context.Context) ([]store.Hold, error) { return d.store.Holds(ctx, appIDs...) })
}

func (d database) RecordedTime(context.Context) (time.Time, error) {
	return result(d.outside, d.store.RecordedTime)
}

func (d database) RecordTime(_ context.Context, at time.Time) error {
	return failure(d.outside, func(ctx context.Context) error { return d.store.RecordTime(ctx, at) }) //nolint:contextcheck // as above
}

func (d database) Version(context.Context) (int64, error) { return result(d.outside, d.store.Version) }

func (d database) Changed(_ context.Context, after store.Mark) (changed []string, mark store.Mark, err error) { //nolint:nonamedreturns // set by the function
	d.do(func() { changed, mark, err = d.store.Changed(context.Background(), after) }) //nolint:contextcheck // as above
	return changed, mark, err
}

func (d database) ReadFigures(_ context.Context, read func(*store.FigureReader) error) error {
	return failure(d.outside, func(ctx context.Context) error { return d.store.ReadFigures(ctx, read) }) //nolint:contextcheck // as above
}

func (d database) Close() error {
	return failure(d.outside, func(context.Context) error { return d.store.Close() }) //nolint:contextcheck // Close has no context
}

// TestYearInPostgres is TestYear with the store in PostgreSQL: a year, and then each fault alone. One year at a
// time waits outside of its bubble.
func TestYearInPostgres(t *testing.T) {
	t.Parallel()
	server, err := postgrestest.Start(t.Context())
	if errors.Is(err, postgrestest.ErrNotInstalled) && os.Getenv("E2E_REQUIRED") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Remove(); err != nil {
			t.Error(err)
		}
	})
	first, n := setting(t, "TORTURE_SEED", 1), setting(t, "TORTURE_ACCOUNTS", 1)
	years := setting(t, "TORTURE_YEARS", 1)
	came := map[int]bool{}
	pass := func(i, n, days int) {
		seed := uint64(first + i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			url := secret.NewURL(server.URL(server.Create(t, "template1")))
			o := newOutside(t)
			reopen := func(context.Context, *year) (yearStore, error) {
				db, err := result(o, func(ctx context.Context) (*postgres.Store, error) {
					return postgres.Open(ctx, url, postgres.Options{})
				})
				return database{o, db}, err
			}
			synctest.Test(t, func(t *testing.T) {
				y := newYear(t, seed, n, days, reopen)
				y.run(func(each func(*store.FigureReader) error) error {
					db, err := reopen(t.Context(), y)
					if err != nil {
						return err
					}
					return errors.Join(db.ReadFigures(t.Context(), each), db.Close())
				})
				for _, kind := range y.alone {
					came[kind] = true
				}
			})
		})
	}
	for i := range years {
		pass(i, n, mostRounds)
	}
	if os.Getenv("TORTURE_YEARS") != "" || racetest.Enabled() {
		return
	}
	// Further seeds have the other faults alone, in as many days as that takes.
	kinds := len(yearFaults())
	for i := years; i*faultDays < kinds; i++ {
		pass(i, 1, faultDays+quietEnd)
	}
	if len(came) != kinds && !t.Failed() {
		t.Errorf("%d of %d faults have come alone", len(came), kinds)
	}
}
