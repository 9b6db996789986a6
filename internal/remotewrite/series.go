package remotewrite

import (
	"cmp"
	"slices"
)

// Label is a name and its value.
type Label struct{ Name, Value string }

// Metadata describes a series. The zero value says nothing about it.
type Metadata struct {
	Type Type
	Help string
}

// Type is a metric's type, by the number that it has in both versions of the protocol.
type Type uint8

const (
	// Unknown is a type that is not specified.
	Unknown Type = 0
	// Counter is a value that only rises.
	Counter Type = 1
	// Gauge is a value that can rise and fall. The series of the history are gauges.
	Gauge Type = 2
)

// Series is what all samples of a series have in common. It must not be modified once a sample refers to it.
type Series struct {
	// Labels are sorted by name. Names are unique and values are not empty. The label __name__ is the metric's name.
	Labels   []Label
	Metadata Metadata
}

// NewSeries returns a series with the metric's name and the labels, sorted. Labels with an empty value are
// omitted: to Prometheus they do not exist.
func NewSeries(name string, metadata Metadata, labels ...Label) *Series {
	all := append([]Label{{"__name__", name}}, labels...)
	all = slices.DeleteFunc(all, func(l Label) bool { return l.Value == "" })
	slices.SortFunc(all, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	return &Series{Labels: all, Metadata: metadata}
}

// Sample is a value at a time.
type Sample struct {
	Series *Series
	// Time is in milliseconds since the Unix epoch.
	Time  int64
	Value float64
}

// bySeries groups samples by series, in the order in which these first appear.
func bySeries(samples []Sample) [][]Sample {
	index := make(map[*Series]int)
	var groups [][]Sample
	for _, s := range samples {
		i, ok := index[s.Series]
		if !ok {
			i = len(groups)
			index[s.Series] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], s)
	}
	return groups
}
