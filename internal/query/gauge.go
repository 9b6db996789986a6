package query

import (
	"context"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// snapshot returns the account without any figures.
func (a *Account) snapshot() *snapshot.Account {
	return &snapshot.Account{Name: a.Name, AppID: a.AppID}
}

// segment is a time during which one day was the latest one known. It ends where the next one begins.
type segment struct {
	start int64 // in milliseconds
	date  datacube.Date
}

// segmentsOf returns which days were the latest ones known between mint and maxt, in the order of time. The
// first of them may have begun before.
func segmentsOf(ctx context.Context, c *cache, api datacube.API, appID string, mint, maxt int64) ([]segment, error) {
	var segments []segment
	until := int64(math.MaxInt64) // when the earliest known of the later days became known
	err := c.read(ctx, func() error {
		return c.source.KnownDays(ctx, api, []string{appID}, dateOf(maxt), func(_ string, date datacube.Date, knownAt time.Time) bool {
			start := knownAt.UnixMilli()
			if knownAt.IsZero() {
				start = date.End().UnixMilli() // at the earliest
			}
			if start > maxt || start >= until {
				return true
			}
			segments = append(segments, segment{start, date})
			until = start
			return until > mint
		})
	})
	slices.Reverse(segments)
	return segments, err
}

// gaugeIterator iterates over a gauge as it stood at each moment: it has a sample whenever another day became the latest one,
// and one at each full minute. When the gauge becomes absent, it has a stale marker.
type gaugeIterator struct {
	floats

	ctx        context.Context // of the query that the iterator belongs to
	cache      *cache
	span       *span
	account    int // index in span
	metric     *metric
	index      int // of the series among those of the account
	mint, maxt int64
	segments   []segment
	values     []gaugeValue // of segments, as far as they were needed

	at      int // index of the segment of the present sample
	started bool
}

type gaugeValue struct {
	read, present bool
	v             float64
}

// Next implements chunkenc.Iterator.
func (it *gaugeIterator) Next() chunkenc.ValueType {
	switch {
	case !it.started:
		return it.Seek(it.mint)
	case it.state == chunkenc.ValNone:
		return chunkenc.ValNone
	default:
		return it.find(it.t + 1)
	}
}

// Seek implements chunkenc.Iterator.
func (it *gaugeIterator) Seek(t millis) chunkenc.ValueType {
	if it.started && (it.state == chunkenc.ValNone || t <= it.t) {
		return it.state
	}
	if t = max(t, it.mint); !it.started || t >= it.endOf(it.at) {
		it.at = max(0, sort.Search(len(it.segments), func(i int) bool { return it.segments[i].start > t })-1)
	}
	it.started = true
	return it.find(t)
}

// find goes to the first sample at t or after it. The segment at is not after it.
func (it *gaugeIterator) find(t int64) chunkenc.ValueType {
	for ; it.at < len(it.segments); it.at++ {
		start, end := it.segments[it.at].start, it.endOf(it.at)
		v, err := it.value(it.at)
		if err != nil {
			return it.end(err)
		}
		at := start
		switch {
		case t <= start && v.present:
		case t <= start && it.at > 0:
			former, err := it.value(it.at - 1)
			if err != nil {
				return it.end(err)
			}
			if !former.present {
				continue
			}
			v.v = math.Float64frombits(value.StaleNaN)
		case t > start && v.present:
			at = (t + gaugeInterval - 1) / gaugeInterval * gaugeInterval
		default:
			continue
		}
		if at > it.maxt {
			break
		}
		if at >= end {
			continue
		}
		it.t, it.v, it.state = at, v.v, chunkenc.ValFloat
		return chunkenc.ValFloat
	}
	return it.end(nil)
}

// endOf returns where a segment ends.
func (it *gaugeIterator) endOf(i int) int64 {
	if i+1 < len(it.segments) {
		return it.segments[i+1].start
	}
	return math.MaxInt64
}

// value returns the gauge's value during a segment.
func (it *gaugeIterator) value(i int) (gaugeValue, error) {
	if len(it.values) != len(it.segments) {
		it.values = append(it.values[:0], make([]gaugeValue, len(it.segments))...)
	}
	if known := it.values[i]; known.read {
		return known, nil
	}
	account := it.span.accounts[it.account].snapshot()
	if it.metric.kind == ofDay {
		date := it.segments[i].date
		b, err := it.cache.block(it.ctx, it.span, it.account, blockOf(it.span.api, date))
		if err != nil {
			return gaugeValue{}, err
		}
		if figures, ok := b.day(it.span.api, date); ok {
			show(account, it.span.api, date, figures)
		}
	}
	it.values[i] = gaugeValue{read: true}
	it.values[i].v, it.values[i].present = it.metric.gauge.Read(account, it.index)
	return it.values[i], nil
}

// show makes a day the latest one of the account.
func show(a *snapshot.Account, api datacube.API, date datacube.Date, figures []datacube.Figures) {
	if api == datacube.Daily {
		a.Daily = &datacube.Day{Date: date, Figures: figures[0]}
		return
	}
	a.Hourly = &datacube.HourlyDay{Date: date, Hours: datacube.Hours(figures)}
}
