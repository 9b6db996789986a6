package query

import (
	"math"
	"slices"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// block holds the known days of one account and call within a fixed range of dates. It does not change
// once it is made.
type block struct {
	dates []datacube.Date // ascending
	// columns have one value for each period of each of the dates.
	columns [history.FigureCount]column
}

// blockDays returns how many days a block covers.
func blockDays(api datacube.API) datacube.Date {
	if api == datacube.Hourly {
		return 8
	}
	return 128
}

// periods returns how many samples a day has.
func periods(api datacube.API) int {
	if api == datacube.Hourly {
		return datacube.HoursPerDay
	}
	return 1
}

// blockOf returns the number of the block that a date is in.
func blockOf(api datacube.API, date datacube.Date) int32 {
	return int32(date / blockDays(api))
}

// blockRange returns the first and the last date of the blocks with these numbers.
func blockRange(api datacube.API, first, last int32) (from, to datacube.Date) { //nolint:nonamedreturns // two of a kind need names
	days := blockDays(api)
	return datacube.Date(first) * days, datacube.Date(last+1)*days - 1
}

// size estimates the memory that the block takes, in bytes.
func (b *block) size() int {
	const overhead = 400 // of the entry in the cache and the slices
	size := overhead + 4*cap(b.dates)
	for i := range b.columns {
		size += b.columns[i].size()
	}
	return size
}

// day returns the figures of a date, one element for each period; false if it is not known.
func (b *block) day(api datacube.API, date datacube.Date) ([]datacube.Figures, bool) {
	i, found := slices.BinarySearch(b.dates, date)
	if !found {
		return nil, false
	}
	n := periods(api)
	figures := make([]datacube.Figures, n)
	for p := range figures {
		figures[p] = datacube.Figures{
			Callbacks:         b.columns[history.Callbacks].at(i*n + p),
			Failures:          b.columns[history.Failures].at(i*n + p),
			TimeCostMillis:    b.columns[history.TimeCost].at(i*n + p),
			MaxTimeCostMillis: b.columns[history.MaxTimeCost].at(i*n + p),
		}
	}
	return figures, true
}

// blockBuilder collects days for a block.
type blockBuilder struct {
	dates   []datacube.Date
	columns [history.FigureCount][]int64
}

func (b *blockBuilder) add(day *store.DayFigures) {
	b.dates = append(b.dates, day.Date)
	for i := range b.columns {
		for _, figures := range day.Figures {
			b.columns[i] = append(b.columns[i], history.Figure(i).Of(figures))
		}
	}
}

// build returns the block and empties the builder.
func (b *blockBuilder) build() *block {
	built := &block{dates: slices.Clone(b.dates)}
	b.dates = b.dates[:0]
	for i, values := range b.columns {
		built.columns[i] = pack(values)
		b.columns[i] = values[:0]
	}
	return built
}

// column holds integers in the narrowest type that fits all of them: one of the slices is used.
type column struct {
	small  []uint8
	medium []uint16
	large  []uint32
	any    []int64
}

func pack(values []int64) column {
	var low, high int64
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	switch {
	case low < 0 || high > math.MaxUint32:
		return column{any: slices.Clone(values)}
	case high > math.MaxUint16:
		return column{large: narrow[uint32](values)}
	case high > math.MaxUint8:
		return column{medium: narrow[uint16](values)}
	default:
		return column{small: narrow[uint8](values)}
	}
}

func narrow[T uint8 | uint16 | uint32](values []int64) []T {
	narrowed := make([]T, len(values))
	for i, v := range values {
		narrowed[i] = T(v)
	}
	return narrowed
}

// at returns the value with the number i.
func (c *column) at(i int) int64 {
	switch {
	case c.medium != nil:
		return int64(c.medium[i])
	case c.small != nil:
		return int64(c.small[i])
	case c.large != nil:
		return int64(c.large[i])
	default:
		return c.any[i]
	}
}

func (c *column) size() int {
	return len(c.small) + 2*len(c.medium) + 4*len(c.large) + 8*len(c.any)
}
