package exposition

import (
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"

	"weixin_exporter/internal/families"
	"weixin_exporter/internal/snapshot"
)

// Field numbers of the messages in io.prometheus.client, from metrics.proto of client_model.
const (
	familyName, familyHelp, familyType, familyMetric protowire.Number = 1, 2, 3, 4
	metricLabel, metricGauge, metricCounter          protowire.Number = 1, 2, 3
	labelName, labelValue                            protowire.Number = 1, 2
	sampleValue                                      protowire.Number = 1 // of Gauge and of Counter
)

// protobuf is a family as a delimited message of io.prometheus.client.MetricFamily. The length of a
// message precedes it, so a family is processed twice: the lengths of all metrics are added up before
// the first one is written.
type protobuf struct {
	families.Family

	head   []byte   // the fields before the metrics
	sample []byte   // tag and length of a metric's sample, and the tag of its value
	ends   [][]byte // the fields of the labels after the account's own, for each of Values
}

func newProtobuf(described families.Family) *protobuf {
	kind, sample := dto.MetricType_GAUGE, metricGauge
	if described.Counter {
		kind, sample = dto.MetricType_COUNTER, metricCounter
	}
	made := &protobuf{Family: described}
	made.head = appendText(made.head, familyName, described.Name)
	made.head = appendText(made.head, familyHelp, described.Help)
	made.head = protowire.AppendTag(made.head, familyType, protowire.VarintType)
	made.head = protowire.AppendVarint(made.head, uint64(kind))
	value := protowire.AppendTag(nil, sampleValue, protowire.Fixed64Type)
	made.sample = protowire.AppendTag(made.sample, sample, protowire.BytesType)
	made.sample = protowire.AppendVarint(made.sample, uint64(len(value)+protowire.SizeFixed64()))
	made.sample = append(made.sample, value...)
	for _, values := range described.Values {
		var end []byte
		for i, value := range values {
			end = appendLabel(end, described.Labels[i], value)
		}
		made.ends = append(made.ends, end)
	}
	return made
}

func (f *protobuf) name() string { return f.Name }

func (f *protobuf) appendHead(b []byte, accounts []*snapshot.Account) ([]byte, bool) {
	size := 0
	for _, a := range accounts {
		common := f.sizeCommon(a)
		for i := range f.ends {
			if _, ok := f.Read(a, i); ok {
				size += sizeField(familyMetric, common+len(f.ends[i]))
			}
		}
	}
	if size == 0 {
		return b, false
	}
	b = protowire.AppendVarint(b, uint64(len(f.head)+size))
	return append(b, f.head...), true
}

func (f *protobuf) appendTail(b []byte) []byte { return b }

func (f *protobuf) appendAccount(b []byte, a *snapshot.Account) []byte {
	common := f.sizeCommon(a)
	for i, end := range f.ends {
		value, ok := f.Read(a, i)
		if !ok {
			continue
		}
		b = protowire.AppendTag(b, familyMetric, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(common+len(end)))
		b = appendLabel(b, "account", a.Name)
		if f.Own != "" {
			b = appendLabel(b, f.Own, f.OwnValue(a))
		}
		b = append(append(b, end...), f.sample...)
		b = protowire.AppendFixed64(b, math.Float64bits(value))
	}
	return b
}

// sizeCommon returns how many bytes of a metric do not depend on the labels in Values.
func (f *protobuf) sizeCommon(a *snapshot.Account) int {
	size := sizeLabel("account", a.Name) + len(f.sample) + protowire.SizeFixed64()
	if f.Own != "" {
		size += sizeLabel(f.Own, f.OwnValue(a))
	}
	return size
}

func appendLabel(b []byte, name, value string) []byte {
	b = protowire.AppendTag(b, metricLabel, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizeField(labelName, len(name))+sizeField(labelValue, len(value))))
	return appendText(appendText(b, labelName, name), labelValue, value)
}

func sizeLabel(name, value string) int {
	return sizeField(metricLabel, sizeField(labelName, len(name))+sizeField(labelValue, len(value)))
}

func appendText(b []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
}

// sizeField returns the size of a field whose content has so many bytes.
func sizeField(number protowire.Number, content int) int {
	return protowire.SizeTag(number) + protowire.SizeBytes(content)
}
