package query

import (
	"maps"
	"math"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// many is more than any number that an estimate compares.
const many = math.MaxInt64 / 4

// bound is what the result of an expression has at most, at all steps together.
type bound struct {
	series int64
	// values are the labels that distinguish the series, with the number of their values. One with 0 is determined by the others.
	values map[string]int64
	// numbers is how many different values the samples have.
	numbers int64
	// longest is the length of the longest label, and made that of all labels of a series that the query makes, in bytes.
	longest, made int64
}

// one is the bound of a single series without labels.
func one() bound { return bound{series: 1, numbers: many} }

// groups returns how many groups an aggregation makes of the series.
func (b *bound) groups(grouping []string, without bool) int64 {
	groups := min(b.series, 1)
	for _, values := range b.grouped(grouping, without) {
		groups = min(times(groups, values), b.series)
	}
	return groups
}

// grouped returns the labels by which an aggregation distinguishes its groups, with the number of their values.
func (b *bound) grouped(grouping []string, without bool) map[string]int64 {
	grouped := b.distinct()
	maps.DeleteFunc(grouped, func(label string, _ int64) bool {
		if without {
			return label == model.MetricNameLabel || slices.Contains(grouping, label)
		}
		return !slices.Contains(grouping, label)
	})
	return grouped
}

// distinct returns the labels with the number of their values where none can be relied upon to be determined by the others.
func (b *bound) distinct() map[string]int64 {
	distinct := make(map[string]int64, len(b.values))
	for label, values := range b.values {
		if values == 0 {
			values = b.series
		}
		distinct[label] = values
	}
	return distinct
}

// sharing returns how many of the series may have the same values of the labels by which a binary operator matches them.
func (b *bound) sharing(m *parser.VectorMatching) int64 {
	sharing := min(b.series, 1)
	for label, values := range b.values {
		matched := slices.Contains(m.MatchingLabels, label) == m.On && (m.On || label != model.MetricNameLabel)
		if !matched && values > 0 {
			sharing = min(times(sharing, values), b.series)
		}
	}
	return sharing
}

// set gives all series a label with so many values, which the other labels determine.
func (b *bound) set(label string, values int64) {
	if b.values[label] > 0 { // the label that it replaces may have determined others
		b.values = b.distinct()
		b.values[label] = values
		return
	}
	b.values = maps.Clone(b.values)
	if b.values == nil {
		b.values = map[string]int64{}
	}
	b.values[label] = 0
}

// union returns the bound of the series of both.
func (b *bound) union(other *bound) bound {
	together := bound{saturated(b.series, other.series), b.distinct(), many, max(b.longest, other.longest), max(b.made, other.made)}
	others := other.distinct()
	for label := range together.values {
		if _, ok := others[label]; !ok {
			together.values[label]++ // it may be missing
		}
	}
	for label, values := range others {
		together.values[label] += max(values, 1)
		if _, ok := b.values[label]; !ok {
			together.values[label]++
		}
	}
	return together
}
