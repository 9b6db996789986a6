package query_test

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"weixin_exporter/internal/query"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// steadySource has the same figures on every so many days of all accounts.
type steadySource struct {
	query.Source

	every   datacube.Date
	figures []datacube.Figures // for each period
}

func (s *steadySource) Changed(context.Context, store.Mark) ([]string, store.Mark, error) {
	return nil, 1, nil
}

func (s *steadySource) ReadFigures(ctx context.Context, read func(*store.FigureReader) error) error {
	return read(store.NewFigureReader(ctx, s))
}

// AppIDs implements store.FigureSource.
func (*steadySource) AppIDs(context.Context) ([]string, error) { return nil, nil }

// Days implements store.FigureSource.
func (s *steadySource) Days(_ context.Context, q store.FigureQuery, each func(datacube.Date, []datacube.Figures) error) error {
	for date := (q.From + s.every - 1) / s.every * s.every; date <= q.To; date += s.every {
		if err := each(date, s.figures); err != nil {
			return err
		}
	}
	return nil
}

// Failed implements store.FigureSource.
func (*steadySource) Failed(err error) error { return err }

// TestCacheSize: what is kept of figures takes the memory that the documentation says, however small its parts are.
func TestCacheSize(t *testing.T) {
	const (
		promised = 64 << 20
		little   = 128 << 20 // of memory, of which an eighth is for what is kept
	)
	hour := datacube.Figures{Callbacks: 100_000, Failures: 3, TimeCostMillis: 5_000_000_000, MaxTimeCostMillis: 5000}
	many := make([]datacube.Figures, datacube.HoursPerDay)
	for i := range many {
		many[i] = hour
	}
	for name, c := range map[string]struct {
		metric   string
		source   *steadySource
		accounts int
		weeks    int
		memory   int64
		want     int64
	}{
		"nothing known": {"weixin_history_hourly_callbacks", &steadySource{every: 1 << 20, figures: many}, 2000, 340, math.MaxInt64, promised},
		"few days":      {"weixin_history_daily_callbacks", &steadySource{every: 100, figures: []datacube.Figures{hour}}, 12_000, 548, math.MaxInt64, promised},
		"hours":         {"weixin_history_hourly_callbacks", &steadySource{every: 1, figures: many}, 600, 52, math.MaxInt64, promised},
		"little memory": {"weixin_history_hourly_callbacks", &steadySource{every: 1, figures: many}, 200, 52, little, little / 8},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{now: firstDay.Start()}
			for i := range c.accounts {
				name := strconv.Itoa(i)
				w.accounts = append(w.accounts, query.Account{Name: name, AppID: "wx-" + name})
			}
			given := debug.SetMemoryLimit(c.memory)
			w.over(c.source)
			debug.SetMemoryLimit(given)
			before := heap()
			w.readWeekly(t, c.metric, c.weeks)
			took := heap() - before
			if took > c.want*21/20 || took < c.want/2 {
				t.Errorf("%d bytes are kept, want about %d", took, c.want)
			}
			t.Logf("%d bytes", took)
			runtime.KeepAlive(w)
		})
	}
}

// readWeekly reads a sample of each of the last weeks of each account, so that everything in between is kept as well.
func (w *world) readWeekly(t *testing.T, metric string, weeks int) {
	t.Helper()
	const week = 7 * 24 * time.Hour
	first, last := firstDay.Start().Add(-time.Duration(weeks)*week), firstDay.Start()
	set := w.selected(t.Context(), t, first, last, named(metric))
	var it chunkenc.Iterator
	for set.Next() {
		it = set.At().Iterator(it)
		for at := first; at.Before(last) && it.Seek(at.UnixMilli()) != chunkenc.ValNone; at = at.Add(week) {
			_, _ = it.At()
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
}

// heap returns how much memory the objects take that are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // frees what pools have
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
