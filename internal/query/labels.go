package query

import (
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// longestLabel limits the labels that a query makes, in bytes: calls of label_replace within one another double their length each time,
	// and the encoding of Prometheus has room for 16 MB.
	longestLabel = 64 << 10
	// longestOther is longer than any label that is there but the names of accounts, in bytes.
	longestOther = 64
	// longestNumber is longer than any number that count_values writes, in bytes.
	longestNumber = 330
	// mostMatching limits the states of the regular expressions of label_replace, times the bytes of the labels that they are matched
	// with: the engine matches them, for half a minute at most, without looking whether the query has ended.
	mostMatching = 1 << 30
	// bytesPerSample is what a sample takes, by which --query.max-samples counts.
	bytesPerSample = 16
)

// call adds the labels that a call makes, of which the engine counts none, and returns the bound of its result.
func (e *estimator) call(n *parser.Call, operand bound) bound {
	var made int64
	switch n.Func.Name {
	case "label_replace": // vector, name, replacement, source, pattern
		replacement := literal(n.Args[2])
		made = int64(len(literal(n.Args[1])) + len(replacement) + strings.Count(replacement, "$")*int(operand.longest))
		e.matching = saturated(e.matching, times(operand.series, times(operand.longest, statesOf(literal(n.Args[4])))))
		if e.matching > mostMatching {
			e.fail(errorAbout("query", errors.New("label_replace has regular expressions that are too complex for so many series: make them simpler, or select fewer accounts")))
		}
	case "label_join": // vector, name, separator, sources
		sources := len(n.Args) - 3 //nolint:mnd // those before them
		made = int64(len(literal(n.Args[1])) + sources*(len(literal(n.Args[2]))+int(operand.longest)))
	case "absent", "absent_over_time":
		return absent(n.Args[0])
	case "scalar", "vector":
		return one()
	default:
		return e.computed(operand)
	}
	if made > longestLabel {
		e.fail(errorAbout("query", fmt.Errorf("%s may make labels of %d bytes; at most %d", n.Func.Name, made, longestLabel)))
		return operand
	}
	e.copies(max(operand.series, 1), made)
	operand.set(literal(n.Args[1]), operand.series)
	operand.longest, operand.made = max(operand.longest, made), operand.made+made
	return operand
}

// absent is the bound of the series that absent makes of the labels that a selector wants.
func absent(argument parser.Expr) bound {
	result := one()
	parser.Inspect(argument, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		for _, m := range selector.LabelMatchers {
			if m.Type == labels.MatchEqual {
				result.set(m.Name, 1)
				result.longest = max(result.longest, int64(len(m.Value)))
				result.made += int64(len(m.Name) + len(m.Value))
			}
		}
		return nil
	})
	return result
}

// copies adds labels of so many bytes for each of so many series.
func (e *estimator) copies(series, bytes int64) {
	if bytes > 0 { // all others are part of the cost of a series
		e.cost.labels = saturated(e.cost.labels, times(series, bytes/bytesPerSample+1))
	}
}

// literal returns the text of an argument that the parser accepts as a text.
func literal(argument parser.Expr) string {
	for {
		switch n := argument.(type) {
		case *parser.ParenExpr:
			argument = n.Expr
		case *parser.StringLiteral:
			return n.Val
		default:
			return ""
		}
	}
}

// longestName returns the length of the longest name of an account, in bytes.
func (q *querier) longestName() int64 {
	longest := 0
	for _, a := range q.accounts {
		longest = max(longest, len(a.Name))
	}
	return int64(longest)
}
