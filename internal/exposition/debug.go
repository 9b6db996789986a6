package exposition

import (
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/prototext"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

// debug is a family in one of the two text forms of the protobuf message, which are for people
// rather than scrapers. Both can be written in parts: the text of a message is the concatenated text
// of its fields.
type debug struct {
	families.Family
	options prototext.MarshalOptions
	kind    dto.MetricType
}

func newDebug(described families.Family, multiline bool) *debug {
	kind := dto.MetricType_GAUGE
	if described.Counter {
		kind = dto.MetricType_COUNTER
	}
	return &debug{described, prototext.MarshalOptions{Multiline: multiline}, kind}
}

func (f *debug) name() string { return f.Name }

func (f *debug) appendHead(b []byte, accounts []*snapshot.Account) ([]byte, bool) {
	if !hasSamples(&f.Family, accounts) {
		return b, false
	}
	return f.append(b, &dto.MetricFamily{Name: new(f.Name), Help: new(f.Help), Type: f.kind.Enum()}), true
}

func (f *debug) appendAccount(b []byte, a *snapshot.Account) []byte {
	for i := range f.Values {
		value, ok := f.Read(a, i)
		if !ok {
			continue
		}
		m := &dto.Metric{}
		values := f.LabelValues(a, i)
		for j, name := range f.LabelNames() {
			m.Label = append(m.Label, &dto.LabelPair{Name: new(name), Value: new(values[j])})
		}
		if f.Counter {
			m.Counter = &dto.Counter{Value: new(value)}
		} else {
			m.Gauge = &dto.Gauge{Value: new(value)}
		}
		b = f.append(b, &dto.MetricFamily{Metric: []*dto.Metric{m}})
	}
	return b
}

// appendTail ends the family as expfmt does: with an empty line, or with the end of its line.
func (f *debug) appendTail(b []byte) []byte { return append(b, '\n') }

func (f *debug) append(b []byte, part *dto.MetricFamily) []byte {
	b = append(b, f.options.Format(part)...)
	if !f.options.Multiline {
		b = append(b, ' ')
	}
	return b
}
