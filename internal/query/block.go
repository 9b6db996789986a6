package query

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"

	"weixin_exporter/internal/history"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// block holds the known days of one account and call within a fixed range of dates. It does not change
// once it is made. Most are small, and there are many: in one slice the values of all figures take less memory.
type block struct {
	dates   []datacube.Date // ascending
	values  []byte          // of all columns, one after the other
	columns [history.FigureCount]column
}

// column is where a block has the values of a figure: one for each period of each of its dates.
type column struct {
	first int32 // byte
	width int8  // of a value, in bytes: the narrowest that fits all of them
}

// noDays is a block without a known day, of which there may be many.
var noDays = &block{}

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
	if b == noDays {
		return 0
	}
	const rounding = 8 // a slice takes up to an eighth more than it was made for
	slices := 4*cap(b.dates) + cap(b.values)
	return int(unsafe.Sizeof(*b)) + slices + slices/rounding
}

// at returns a value of a figure: that with the number i.
func (b *block) at(figure history.Figure, i int) int64 {
	c := b.columns[figure]
	from := b.values[int(c.first)+i*int(c.width):]
	switch c.width {
	case 1:
		return int64(from[0])
	case 2: //nolint:mnd // bytes
		return int64(binary.LittleEndian.Uint16(from))
	case 4: //nolint:mnd // bytes
		return int64(binary.LittleEndian.Uint32(from))
	default:
		return int64(binary.LittleEndian.Uint64(from))
	}
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
			Callbacks:         b.at(history.Callbacks, i*n+p),
			Failures:          b.at(history.Failures, i*n+p),
			TimeCostMillis:    b.at(history.TimeCost, i*n+p),
			MaxTimeCostMillis: b.at(history.MaxTimeCost, i*n+p),
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
	if len(b.dates) == 0 {
		return noDays
	}
	built := &block{dates: slices.Clone(b.dates)}
	size := 0
	for i, values := range b.columns {
		width := widthOf(values)
		built.columns[i] = column{int32(size), int8(width)}
		size += width * len(values)
	}
	built.values = make([]byte, 0, size)
	for i, values := range b.columns {
		for _, v := range values {
			built.values = appendWidth(built.values, built.columns[i].width, v)
		}
		b.columns[i] = values[:0]
	}
	b.dates = b.dates[:0]
	return built
}

// widthOf returns how many bytes each of the values needs.
func widthOf(values []int64) int {
	var low, high int64
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	switch {
	case low < 0 || high > math.MaxUint32:
		return 8
	case high > math.MaxUint16:
		return 4
	case high > math.MaxUint8:
		return 2
	default:
		return 1
	}
}

// appendWidth appends a value in so many bytes, which fit it.
func appendWidth(to []byte, width int8, v int64) []byte {
	switch width {
	case 1:
		return append(to, uint8(v))
	case 2: //nolint:mnd // bytes
		return binary.LittleEndian.AppendUint16(to, uint16(v))
	case 4: //nolint:mnd // bytes
		return binary.LittleEndian.AppendUint32(to, uint32(v))
	default:
		return binary.LittleEndian.AppendUint64(to, uint64(v))
	}
}
