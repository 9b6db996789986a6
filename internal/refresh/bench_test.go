package refresh_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/refresh"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// noon is the time of the benchmarks: all figures are available by then.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, datacube.China)

const benchDays = 30

// instant answers all calls at once.
type instant struct{}

func (instant) InterfaceSummary(_ context.Context, _, end datacube.Date) (weixin.DailyResponse, error) {
	return weixin.DailyResponse{Days: []datacube.Day{{Date: end, Figures: datacube.Figures{Callbacks: 1000, TimeCostMillis: 90_000, MaxTimeCostMillis: 4000}}}}, nil
}

func (instant) InterfaceSummaryHour(context.Context, datacube.Date) (weixin.HourlyResponse, error) {
	said := weixin.HourlyResponse{Rows: datacube.HoursPerDay}
	for h := range said.Hours {
		said.Hours[h] = datacube.Figures{Callbacks: int64(h + 1), TimeCostMillis: 90, MaxTimeCostMillis: 40}
	}
	return said, nil
}

func (instant) Quota(context.Context, datacube.API) (weixin.CallQuota, error) {
	return weixin.CallQuota{}, nil
}

// loaded is a store with prepared content. It counts saved records.
type loaded struct {
	known map[string]*store.Account
	*sqlite.Store
	wanted int
	saved  chan struct{} // closed when enough records are saved
}

func (l *loaded) Load(context.Context, datacube.Date, ...string) (map[string]*store.Account, error) {
	return l.known, nil
}

func (*loaded) Holds(context.Context, ...string) ([]store.Hold, error) { return nil, nil }

func (l *loaded) Save(ctx context.Context, records []store.Record) ([]store.Revision, error) {
	revisions, err := l.Store.Save(ctx, records)
	if l.wanted -= len(records); l.wanted == 0 {
		close(l.saved)
	}
	return revisions, err
}

// firstSeen is a Publisher that signals the first snapshot.
type firstSeen chan struct{}

func (f firstSeen) Publish(*snapshot.Snapshot) {
	select {
	case f <- struct{}{}:
	default:
	}
}

// allKnown returns the stored state of n accounts for which nothing is due.
func allKnown(n int) map[string]*store.Account {
	known := make(map[string]*store.Account, n)
	yesterday := datacube.DateOf(noon) - 1
	for i := range n {
		a := &store.Account{Daily: &datacube.Day{Date: yesterday}, Hourly: &datacube.HourlyDay{Date: yesterday}}
		for api := range a.States {
			for date := yesterday - benchDays + 1; date <= yesterday; date++ {
				at := date.End().Add(9 * time.Hour)
				a.States[api].Set(date, store.State{Status: store.Known, AskedAt: at, KnownAt: at, Rechecked: true})
			}
		}
		known[account(i).AppID] = a
	}
	return known
}

func benchConfig(n, days int) refresh.Config {
	c := refresh.Config{
		Settings:    refresh.Settings{HistoryDays: days, RecheckAfter: 24 * time.Hour},
		Interval:    15 * time.Minute,
		Concurrency: 16,
	}
	for i := range n {
		c.Accounts = append(c.Accounts, refresh.Account{Name: fmt.Sprintf("account%05d", i), AppID: account(i).AppID, Caller: instant{}})
	}
	return c
}

// running starts a refresher; the returned function stops it.
func running(b *testing.B, s refresh.Store, publisher refresh.Publisher, c refresh.Config) (*refresh.Refresher, func()) {
	b.Helper()
	r := refresh.New(refresh.Options{Store: s, Publisher: publisher, Logger: log.NewNopLogger(), Now: func() time.Time { return noon }})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, c) }()
	return r, func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkFirstSnapshot plans and publishes the content of the store.
func BenchmarkFirstSnapshot(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			config := benchConfig(n, benchDays)
			for b.Loop() {
				b.StopTimer()
				known := &loaded{known: allKnown(n)}
				seen := make(firstSeen, 1)
				b.StartTimer()
				_, end := running(b, known, seen, config)
				<-seen
				b.StopTimer()
				end()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkReload applies a configuration again: all accounts are planned and a snapshot is built.
func BenchmarkReload(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			config := benchConfig(n, benchDays)
			r, end := running(b, &loaded{known: allKnown(n)}, snapshot.NewLatest(), config)
			defer end()
			for b.Loop() {
				if err := r.ApplyConfig(b.Context(), config); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAbsorb handles a call of each account, all answered at once: it plans, stores and publishes.
func BenchmarkAbsorb(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("answers=%d", 2*n), func(b *testing.B) {
			config := benchConfig(n, 1)
			for b.Loop() {
				b.StopTimer()
				s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
				if err != nil {
					b.Fatal(err)
				}
				kept := &loaded{Store: s, wanted: 2 * n, saved: make(chan struct{})}
				b.StartTimer()
				_, end := running(b, kept, snapshot.NewLatest(), config)
				<-kept.saved
				b.StopTimer()
				end()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(2*n*b.N)/b.Elapsed().Seconds(), "answers/s")
		})
	}
}
