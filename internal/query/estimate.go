package query

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// estimator estimates the cost of expressions.
type estimator struct {
	ctx      context.Context // of the query
	querier  *querier
	name     int64 // the length of the longest name of an account
	cost     cost
	matching int64 // see mostMatching
	err      error // the first one
}

// bound is what the result of an expression has at most.
type bound struct {
	series  int64
	longest int64 // label, in bytes
}

// with returns the bound of two results together.
func (b bound) with(other bound) bound {
	return bound{saturated(b.series, other.series), max(b.longest, other.longest)}
}

// expression adds the cost of an expression that is evaluated for that many steps within a duration. An operator has
// the results of its operands in memory and its own, which is at most as large as theirs together.
func (e *estimator) expression(node parser.Node, steps int64, within time.Duration) bound {
	const results = 2
	switch n := node.(type) {
	case *parser.VectorSelector:
		series, interval := e.selector(n)
		e.cost.add(series, results*times(series, steps), times(series, min(steps, within.Milliseconds()/interval+1)))
		return e.selected(series)
	case *parser.MatrixSelector:
		selector, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return bound{}
		}
		// The samples of one series in one window are in memory at a time.
		series, interval := e.selector(selector)
		window := n.Range.Milliseconds()/interval + 1
		e.cost.add(series, saturated(results*times(series, steps), window), times(series, longer(within, n.Range).Milliseconds()/interval+1))
		return e.selected(series)
	case *parser.SubqueryExpr:
		step := n.Step
		if step <= 0 {
			step = subqueryStep
		}
		within = longer(within, n.Range)
		steps = int64(within/step) + 1
		e.cost.steps = saturated(e.cost.steps, steps)
		e.cost.add(0, steps, steps)
		return e.expression(n.Expr, steps, within)
	case *parser.AggregateExpr:
		before := e.cost.series
		operands := e.operands(node, steps, within)
		e.aggregation(n, e.cost.series-before, steps)
		return operands
	case *parser.Call:
		operands := e.operands(node, steps, within)
		if len(n.Args) == 0 { // such as time(): a sample for each step
			e.cost.add(0, results*times(1, steps), steps)
		}
		return e.call(n, operands)
	case *parser.NumberLiteral, *parser.StringLiteral: // the same
		e.cost.add(0, results*times(1, steps), steps)
		return bound{}
	default:
		return e.operands(node, steps, within)
	}
}

// operands adds the costs of the operands of an operator.
func (e *estimator) operands(node parser.Node, steps int64, within time.Duration) bound {
	var together bound
	for child := range parser.ChildrenIter(node) {
		together = together.with(e.expression(child, steps, within))
	}
	return together
}

// selected is the bound of series that are in the store.
func (e *estimator) selected(series int64) bound { return bound{series, max(longestOther, e.name)} }

// aggregation adds what an aggregation of so many series has in memory besides samples.
func (e *estimator) aggregation(n *parser.AggregateExpr, series, steps int64) {
	switch n.Op {
	case parser.COUNT_VALUES: // a series for each value
		e.cost.add(times(series, steps), 0, 0)
	case parser.TOPK, parser.BOTTOMK: // the engine makes room for all that are wanted in each group
		groups, wanted := int64(1), series
		if n.Without || len(n.Grouping) > 0 {
			groups = series
		}
		if k, ok := number(n.Param); ok && k < float64(series) {
			wanted = int64(max(k, 0))
		}
		e.cost.ranked = saturated(e.cost.ranked, times(groups, times(rankedCost, wanted)))
	}
}

// number returns a parameter that is written as a number.
func number(parameter parser.Expr) (float64, bool) {
	for {
		switch n := parameter.(type) {
		case *parser.ParenExpr:
			parameter = n.Expr
		case *parser.NumberLiteral:
			return n.Val, true
		default:
			return 0, false
		}
	}
}

// longer adds durations, up to the longest that there is.
func longer(a, b time.Duration) time.Duration { return time.Duration(saturated(int64(a), int64(b))) }

// selector returns how many series are selected, and the shortest interval between their samples, in milliseconds.
func (e *estimator) selector(n *parser.VectorSelector) (series, interval int64) { //nolint:nonamedreturns // two of a kind need names
	if e.err != nil {
		return 0, day
	}
	series, selection, err := e.querier.count(e.ctx, n.LabelMatchers)
	e.fail(err)
	return series, selection.densest()
}

// fail keeps the first error.
func (e *estimator) fail(err error) { e.err = cmp.Or(e.err, err) }

// query adds the cost of a whole query. A bare range selector, which can be evaluated only once, has the samples of all
// series.
func (e *estimator) query(node parser.Expr, steps int64, within time.Duration) {
	for {
		inner, ok := node.(*parser.ParenExpr)
		if !ok {
			break
		}
		node = inner.Expr
	}
	if n, ok := node.(*parser.MatrixSelector); ok {
		if selector, ok := n.VectorSelector.(*parser.VectorSelector); ok {
			series, interval := e.selector(selector)
			samples := times(series, n.Range.Milliseconds()/interval+1)
			e.cost.add(series, samples, samples)
			return
		}
	}
	e.expression(node, steps, within)
}

// count returns how many series the matchers select, and what they select, without reading anything. The error is that of the
// context.
func (q *querier) count(ctx context.Context, matchers []*labels.Matcher) (int64, selection, error) {
	selection, err := q.match(ctx, matchers)
	if err != nil || len(selection.accounts) == 0 {
		return 0, selection, err
	}
	p, series := &pace{ctx: ctx}, int64(0)
	for _, m := range selection.metrics {
		if m.gauge.Own != "" {
			series += int64(len(selection.accounts))
			continue
		}
		for i := range m.gauge.Values {
			if err := p.step(selection.effort, usualValue); err != nil {
				return 0, selection, err
			}
			if selection.includes(m, selection.accounts[0], i) {
				series += int64(len(selection.accounts))
			}
		}
	}
	return series, selection, nil
}

// densest returns the shortest interval between samples of a series that is selected, in milliseconds.
func (s *selection) densest() int64 {
	densest := day
	for _, m := range s.metrics {
		densest = min(densest, m.interval())
	}
	return densest
}
