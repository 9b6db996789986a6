package query

import (
	"bufio"
	"encoding/json"
	"io"
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"weixin_exporter/internal/yield"
)

// encoder writes JSON as Prometheus' API does, without holding all of it in memory. The first error ends it.
type encoder struct {
	w       *bufio.Writer
	scratch []byte
	err     error
}

// The sizes of an encoder's buffer, in bytes.
const (
	largeBuffer = 64 << 10
	smallBuffer = 1 << 10
)

// newEncoder returns an encoder that writes as soon as so many bytes are there.
func newEncoder(w io.Writer, size int) *encoder {
	return &encoder{w: bufio.NewWriterSize(w, size)}
}

func (e *encoder) flush() error {
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.err
}

func (e *encoder) raw(text string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(text)
	}
}

func (e *encoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

// any writes a value of any other kind.
func (e *encoder) any(value any) {
	if e.err != nil {
		return
	}
	var text []byte
	if text, e.err = json.Marshal(value); e.err == nil {
		e.bytes(text)
	}
}

func (e *encoder) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			e.any(s)
			return
		}
	}
	e.raw(`"`)
	e.raw(s)
	e.raw(`"`)
}

func (e *encoder) labels(l labels.Labels) {
	e.raw("{")
	first := true
	l.Range(func(l labels.Label) {
		if !first {
			e.raw(",")
		}
		first = false
		e.text(l.Name)
		e.raw(":")
		e.text(l.Value)
	})
	e.raw("}")
}

// point writes a sample: its time in seconds, and its value as a string, because JSON has no NaN.
func (e *encoder) point(t int64, v float64) {
	b := append(e.scratch[:0], '[')
	b = appendTime(b, t)
	b = append(b, ',', '"')
	b = appendValue(b, v)
	b = append(b, '"', ']')
	e.scratch = b
	e.bytes(b)
}

func appendTime(b []byte, t int64) []byte {
	if t < 0 {
		b, t = append(b, '-'), -t
	}
	b = strconv.AppendInt(b, t/1000, 10)
	if millis := t % 1000; millis != 0 {
		b = append(b, '.', byte('0'+millis/100), byte('0'+millis/10%10), byte('0'+millis%10))
	}
	return b
}

func appendValue(b []byte, v float64) []byte {
	const smallest, largest = 1e-6, 1e21 // outside of these, the exponent is written
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < smallest || abs >= largest) {
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, 64)
}

// result writes the result of a query.
func (e *encoder) result(value parser.Value, stats any) {
	e.raw(`{"resultType":`)
	e.text(string(value.Type()))
	e.raw(`,"result":`)
	switch v := value.(type) {
	case promql.Matrix:
		e.list(len(v), func(i int) {
			e.raw(`{"metric":`)
			e.labels(v[i].Metric)
			e.raw(`,"values":`)
			e.list(len(v[i].Floats), func(p int) { e.point(v[i].Floats[p].T, v[i].Floats[p].F) })
			e.raw("}")
		})
	case promql.Vector:
		e.list(len(v), func(i int) {
			e.raw(`{"metric":`)
			e.labels(v[i].Metric)
			e.raw(`,"value":`)
			e.point(v[i].T, v[i].F)
			e.raw("}")
		})
	case promql.Scalar:
		e.point(v.T, v.V)
	case promql.String:
		e.raw("[")
		e.bytes(appendTime(nil, v.T))
		e.raw(",")
		e.text(v.V)
		e.raw("]")
	}
	if stats != nil {
		e.raw(`,"stats":`)
		e.any(stats)
	}
	e.raw("}")
}

func (e *encoder) list(length int, element func(int)) {
	e.raw("[")
	for i := range length {
		if i > 0 {
			e.raw(",")
		}
		element(i)
		if i%someSteps == someSteps-1 {
			yield.Now()
		}
	}
	e.raw("]")
}
