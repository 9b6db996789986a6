package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// longestLabel limits the labels that a query makes, in bytes: calls of label_replace within one another double their length each time,
	// and the encoding of Prometheus has room for 16 MB.
	longestLabel = 64 << 10
	// longestOther is longer than any label that is there but the names of accounts, in bytes.
	longestOther = 64
	// mostMatching limits the states of the regular expressions of label_replace, times the bytes of the labels that they are matched
	// with: the engine matches them, for half a minute at most, without looking whether the query has ended.
	mostMatching = 1 << 30
	// bytesPerSample is what a sample takes, by which --query.max-samples counts.
	bytesPerSample = 16
)

// labelMaker estimates the labels that label_replace and label_join make. The engine counts samples alone.
type labelMaker struct {
	ctx      context.Context // of the query
	querier  *querier
	samples  int64 // what the labels take in memory
	matching int64 // see mostMatching
	err      error
}

// expression adds the labels that an expression makes, and returns how many series its result has and how long their labels are,
// at most.
func (m *labelMaker) expression(node parser.Node) (series, longest int64) { //nolint:nonamedreturns // two of a kind need names
	if n, ok := node.(*parser.VectorSelector); ok {
		series, _, err := m.querier.count(m.ctx, n.LabelMatchers)
		m.err = cmp.Or(m.err, err)
		return series, max(longestOther, m.querier.longestName())
	}
	for child := range parser.ChildrenIter(node) {
		s, l := m.expression(child)
		series, longest = saturated(series, s), max(longest, l)
	}
	call, ok := node.(*parser.Call)
	if !ok || m.err != nil {
		return series, longest
	}
	var made int64
	switch call.Func.Name {
	case "label_replace": // vector, name, replacement, source, pattern
		replacement := literal(call.Args[2])
		made = int64(len(literal(call.Args[1])) + len(replacement) + strings.Count(replacement, "$")*int(longest))
		m.matching = saturated(m.matching, times(max(series, 1), times(longest, statesOf(literal(call.Args[4])))))
	case "label_join": // vector, name, separator, sources
		sources := len(call.Args) - 3 //nolint:mnd // those before them
		made = int64(len(literal(call.Args[1])) + sources*(len(literal(call.Args[2]))+int(longest)))
	default:
		return series, longest
	}
	if made > longestLabel {
		m.err = errorAbout("query", fmt.Errorf("%s may make labels of %d bytes; at most %d", call.Func.Name, made, longestLabel))
		return series, longest
	}
	if m.matching > mostMatching {
		m.err = errorAbout("query", errors.New("label_replace has regular expressions that are too complex for so many series: make them simpler, or select fewer accounts"))
		return series, longest
	}
	m.samples = saturated(m.samples, times(max(series, 1), made/bytesPerSample+1))
	return series, max(longest, made)
}

// makesLabels reports whether an expression has a call that makes labels.
func makesLabels(expr parser.Expr) bool {
	makes := false
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		call, ok := node.(*parser.Call)
		makes = makes || ok && (call.Func.Name == "label_replace" || call.Func.Name == "label_join")
		return nil
	})
	return makes
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

// tooManyLabelsError rejects a query before anything is read for it.
type tooManyLabelsError struct{ samples, limit int64 }

func (e *tooManyLabelsError) Error() string {
	return fmt.Sprintf("label_replace and label_join may make labels that take as much as %d samples, more than --query.max-samples=%d: select fewer metrics or accounts",
		e.samples, e.limit)
}

// labelsOf returns what the labels that an expression makes take in memory, in samples.
func labelsOf(ctx context.Context, expr parser.Expr, q *querier, most int64) (int64, error) {
	m := labelMaker{ctx: ctx, querier: q}
	if !makesLabels(expr) {
		return 0, nil // without counting the series, as few queries make any
	}
	m.expression(expr)
	if m.err == nil && m.samples > most {
		m.err = &tooManyLabelsError{m.samples, most}
	}
	return m.samples, m.err
}

// longestName returns the length of the longest name of an account, in bytes.
func (q *querier) longestName() int64 {
	longest := 0
	for _, a := range q.accounts {
		longest = max(longest, len(a.Name))
	}
	return int64(longest)
}
