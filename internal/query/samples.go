package query

import (
	"context"
	"errors"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

// millis is a time in milliseconds since 1970. It is int64 under another name: go vet expects a Seek with an int64
// to be that of io.Seeker.
type millis = int64

// floats is what all iterators here share: their samples are floats without a start timestamp.
type floats struct {
	t     int64
	v     float64
	state chunkenc.ValueType // ValFloat while there is a sample
	err   error
}

func (f *floats) At() (int64, float64) { return f.t, f.v }
func (f *floats) AtT() int64           { return f.t }
func (f *floats) AtST() int64          { return 0 }
func (f *floats) Err() error           { return f.err }

// AtHistogram implements chunkenc.Iterator. It is never called, since Next returns only floats.
func (f *floats) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) { return f.t, nil }

// AtFloatHistogram implements chunkenc.Iterator. It is never called, since Next returns only floats.
func (f *floats) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return f.t, nil
}

// end ends the iteration. What the source fails with is an error of the storage for the engine.
func (f *floats) end(err error) chunkenc.ValueType {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		err = promql.ErrStorage{Err: err}
	}
	f.state, f.err = chunkenc.ValNone, err
	return chunkenc.ValNone
}

// historyIterator iterates over the hours or days of an account. Blocks are read when they are reached.
type historyIterator struct {
	floats

	ctx        context.Context // of the query that the iterator belongs to
	cache      *cache
	span       *span
	account    int // index in span
	figure     history.Figure
	mint, maxt int64

	number  int32 // of the block
	block   *block
	day     int // index in block.dates
	period  int
	periods int
	started bool
}

func (it *historyIterator) reset(ctx context.Context, c *cache, s *span, account int, figure history.Figure, mint, maxt int64) {
	*it = historyIterator{
		ctx: ctx, cache: c, span: s, account: account, figure: figure, mint: mint, maxt: maxt, periods: periods(s.api),
	}
}

// Next implements chunkenc.Iterator.
func (it *historyIterator) Next() chunkenc.ValueType {
	if !it.started {
		return it.Seek(it.mint)
	}
	if it.state == chunkenc.ValNone {
		return chunkenc.ValNone
	}
	if it.period++; it.period == it.periods {
		it.period = 0
		it.day++
	}
	return it.settle()
}

// Seek implements chunkenc.Iterator.
func (it *historyIterator) Seek(t millis) chunkenc.ValueType {
	if it.started && (it.state == chunkenc.ValNone || t <= it.t) {
		return it.state
	}
	t = max(t, it.mint)
	date := dateEndingAt(t)
	number := max(blockOf(it.span.api, date), it.span.first)
	if !it.started || number != it.number {
		it.started = true
		if number > it.span.last {
			return it.end(nil)
		}
		if !it.load(number) {
			return chunkenc.ValNone
		}
	}
	it.day = sort.Search(len(it.block.dates), func(i int) bool { return it.block.dates[i] >= date })
	it.period = 0
	if it.day < len(it.block.dates) && it.block.dates[it.day] == date && it.periods > 1 {
		// The hour that ends at t or after it.
		it.period = int((t - date.Start().UnixMilli() - 1) / hour)
	}
	return it.settle()
}

// dateEndingAt returns the first date whose last sample is not before t. A sample at midnight belongs to
// the day that ends there.
func dateEndingAt(t int64) datacube.Date { return dateOf(t - 1) }

// load goes to the beginning of a block.
func (it *historyIterator) load(number int32) bool {
	b, err := it.cache.block(it.ctx, it.span, it.account, number)
	if err != nil {
		it.end(err)
		return false
	}
	it.number, it.block, it.day, it.period = number, b, 0, 0
	return true
}

// settle takes the sample at the present position, or the next one there is.
func (it *historyIterator) settle() chunkenc.ValueType {
	for it.day >= len(it.block.dates) {
		if it.number >= it.span.last {
			return it.end(nil)
		}
		if !it.load(it.number + 1) {
			return chunkenc.ValNone
		}
	}
	it.t = startOf(it.block.dates[it.day]) + int64(it.period+1)*day/int64(it.periods)
	if it.t > it.maxt {
		return it.end(nil)
	}
	value := it.block.at(it.figure, it.day*it.periods+it.period)
	if it.v = float64(value); it.figure.InMillis() {
		it.v /= 1000
	}
	it.state = chunkenc.ValFloat
	return chunkenc.ValFloat
}

const chinaOffset = 8 * hour

// dateOf returns the day in China that an instant in milliseconds lies in.
func dateOf(t int64) datacube.Date {
	days := (t + chinaOffset) / day
	if (t+chinaOffset)%day < 0 {
		days--
	}
	return datacube.Date(days)
}

// startOf returns when a day begins in China, in milliseconds.
func startOf(date datacube.Date) int64 { return int64(date)*day - chinaOffset }
