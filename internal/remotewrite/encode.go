package remotewrite

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Both messages are encoded with protowire: no library provides the type of version 1.0, and a request holds
// nothing but series of floats.

// encodeV1 encodes samples as a prometheus.WriteRequest. Those of a series keep their order.
func encodeV1(samples []Sample) []byte {
	var request, series, part []byte
	for _, group := range bySeries(samples) {
		series = series[:0]
		for _, label := range group[0].Series.Labels {
			part = protowire.AppendTag(part[:0], 1, protowire.BytesType)
			part = protowire.AppendString(part, label.Name)
			part = protowire.AppendTag(part, 2, protowire.BytesType)
			part = protowire.AppendString(part, label.Value)
			series = appendMessage(series, 1, part)
		}
		for _, s := range group {
			part = appendSample(part[:0], s)
			series = appendMessage(series, 2, part)
		}
		request = appendMessage(request, 1, series)
	}
	return request
}

// encodeV2 encodes samples as an io.prometheus.write.v2.Request. Those of a series keep their order.
func encodeV2(samples []Sample) []byte {
	symbols := symbolTable{index: map[string]uint64{"": 0}, list: []string{""}}
	var all, series, part []byte
	for _, group := range bySeries(samples) {
		s := group[0].Series
		part = part[:0]
		for _, label := range s.Labels {
			part = protowire.AppendVarint(part, symbols.ref(label.Name))
			part = protowire.AppendVarint(part, symbols.ref(label.Value))
		}
		series = appendMessage(series[:0], 1, part)
		for _, sample := range group {
			part = appendSample(part[:0], sample)
			series = appendMessage(series, 2, part)
		}
		part = protowire.AppendTag(part[:0], 1, protowire.VarintType)
		part = protowire.AppendVarint(part, uint64(s.Metadata.Type))
		part = protowire.AppendTag(part, 3, protowire.VarintType)
		part = protowire.AppendVarint(part, symbols.ref(s.Metadata.Help))
		series = appendMessage(series, 5, part)
		all = appendMessage(all, 5, series)
	}
	var request []byte
	for _, symbol := range symbols.list {
		request = protowire.AppendTag(request, 4, protowire.BytesType)
		request = protowire.AppendString(request, symbol)
	}
	return append(request, all...)
}

// symbolTable numbers the strings of a request; 0 is the empty one.
type symbolTable struct {
	index map[string]uint64
	list  []string
}

func (t *symbolTable) ref(text string) uint64 {
	ref, ok := t.index[text]
	if !ok {
		ref = uint64(len(t.list))
		t.index[text] = ref
		t.list = append(t.list, text)
	}
	return ref
}

// appendSample appends a sample, which is the same in both versions: field 1 is the value, field 2 the time in
// milliseconds.
func appendSample(b []byte, s Sample) []byte {
	b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(s.Value))
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(s.Time))
}

func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, message)
}
