package query

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

const (
	// results is how many results of an operator are in memory: one of its operands and its own.
	results = 2
	// mostPoints is for how many samples the engine makes room at once in a series whose samples it finds one after the other.
	mostPoints = 5000
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
			selected, interval := e.selector(selector)
			samples := times(selected.series, n.Range.Milliseconds()/interval+1)
			e.cost.add(selected.series, samples, samples)
			return
		}
	}
	e.expression(node, steps, within)
}

// expression adds the cost of an expression that is evaluated for that many steps within a duration, and returns the bound of its
// result. An operator has the results of its operands in memory and its own, which is at most as large as theirs together, unless
// its method says otherwise.
func (e *estimator) expression(node parser.Node, steps int64, within time.Duration) bound {
	switch n := node.(type) {
	case *parser.VectorSelector:
		selected, interval := e.selector(n)
		series := selected.series
		e.cost.add(series, results*times(series, steps), times(series, min(steps, within.Milliseconds()/interval+1)))
		return selected
	case *parser.MatrixSelector:
		selector, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return bound{}
		}
		// The samples of one series in one window are in memory at a time.
		selected, interval := e.selector(selector)
		series, window := selected.series, n.Range.Milliseconds()/interval+1
		e.cost.add(series, saturated(results*times(series, steps), window), times(series, longer(within, n.Range).Milliseconds()/interval+1))
		return selected
	case *parser.SubqueryExpr:
		return e.subquery(n, within)
	case *parser.AggregateExpr:
		if n.Param != nil {
			e.expression(n.Param, steps, within)
		}
		operand := e.expression(n.Expr, steps, within)
		return e.aggregation(n, &operand, steps)
	case *parser.Call:
		operand := one()
		for _, argument := range n.Args {
			b := e.expression(argument, steps, within)
			if kind := argument.Type(); kind == parser.ValueTypeVector || kind == parser.ValueTypeMatrix {
				operand = b
			}
		}
		if len(n.Args) == 0 { // such as time(): a sample for each step
			e.cost.add(0, results*times(1, steps), steps)
		}
		return e.call(n, operand)
	case *parser.BinaryExpr:
		lhs, rhs := e.expression(n.LHS, steps, within), e.expression(n.RHS, steps, within)
		return e.binary(n, &lhs, &rhs, steps)
	case *parser.ParenExpr:
		return e.expression(n.Expr, steps, within)
	case *parser.UnaryExpr:
		operand := e.expression(n.Expr, steps, within)
		return e.computed(operand)
	default: // such as a number: a sample for each step
		e.cost.add(0, results*times(1, steps), steps)
		return one()
	}
}

func (e *estimator) subquery(n *parser.SubqueryExpr, within time.Duration) bound {
	step := n.Step.Truncate(time.Millisecond) // as the engine counts
	switch {
	case n.Step == 0:
		step = subqueryStep
	case step <= 0:
		e.fail(errorAbout("query", errors.New("the steps of a subquery must have a millisecond or more")))
		return bound{}
	}
	within = longer(within, n.Range)
	steps := int64(within/step) + 1
	e.cost.steps = saturated(e.cost.steps, steps)
	e.cost.add(0, steps, steps)
	return e.expression(n.Expr, steps, within)
}

// computed is the bound of a result whose samples have other values than those of the operand. The engine copies labels without the
// name of the metric.
func (e *estimator) computed(operand bound) bound {
	e.copies(operand.series, operand.made)
	operand.numbers = many
	return operand
}

// aggregation adds what an aggregation has in memory besides samples.
func (e *estimator) aggregation(n *parser.AggregateExpr, operand *bound, steps int64) bound {
	groups := operand.groups(n.Grouping, n.Without)
	switch n.Op {
	case parser.COUNT_VALUES:
		return e.countValues(n, operand, groups, steps)
	case parser.TOPK, parser.BOTTOMK: // the engine makes room for all that are wanted in each group
		wanted := operand.series
		if k, ok := number(n.Param); ok && k < float64(wanted) {
			wanted = int64(max(k, 0))
		}
		e.cost.ranked = saturated(e.cost.ranked, times(groups, times(rankedCost, wanted)))
		return *operand
	}
	result := bound{groups, operand.grouped(n.Grouping, n.Without), many, operand.longest, operand.made}
	if n.Op == parser.MIN || n.Op == parser.MAX {
		result.numbers = operand.numbers
	}
	e.copies(result.series, result.made)
	return result
}

// countValues adds what count_values has in memory: at each step a series for each value that is new, with room for samples of
// all steps.
func (e *estimator) countValues(n *parser.AggregateExpr, operand *bound, groups, steps int64) bound {
	label := literal(n.Param)
	series := min(times(operand.series, steps), times(groups, operand.numbers))
	result := bound{series, operand.grouped(n.Grouping, n.Without), many, max(operand.longest, longestNumber), operand.made + int64(len(label)) + longestNumber}
	result.values[label] = min(series, operand.numbers)
	e.cost.values = saturated(e.cost.values, series)
	e.cost.counted = saturated(e.cost.counted, times(series, seriesCost+results*min(steps, mostPoints)))
	e.copies(series, result.made)
	return result
}

// binary adds what an operator between vectors has in memory besides samples.
func (e *estimator) binary(n *parser.BinaryExpr, lhs, rhs *bound, steps int64) bound {
	switch l, r := n.LHS.Type(), n.RHS.Type(); {
	case l == parser.ValueTypeScalar && r == parser.ValueTypeScalar:
		return one()
	case r == parser.ValueTypeScalar:
		return e.computed(*lhs)
	case l == parser.ValueTypeScalar:
		return e.computed(*rhs)
	}
	e.copies(lhs.series, lhs.made) // of the labels that are matched
	e.copies(rhs.series, rhs.made)
	switch n.Op {
	case parser.LAND, parser.LUNLESS:
		return *lhs
	case parser.LOR:
		return lhs.union(rhs)
	}
	return e.join(n.VectorMatching, lhs, rhs, steps)
}

// join adds what an operator with pairs of series has in memory: the engine keeps the labels of both and of the result for each
// pair that it finds at any step.
func (e *estimator) join(m *parser.VectorMatching, lhs, rhs *bound, steps int64) bound {
	from, to := lhs, rhs
	if m.Card == parser.CardOneToMany {
		from, to = rhs, lhs
	}
	sharing := min(to.sharing(m), steps)
	pairs := times(from.series, sharing)
	e.cost.pairs = max(e.cost.pairs, pairs) // those of one operator are in memory at a time
	e.copies(pairs, results*(from.made+to.made))
	result := bound{from.series, from.values, many, max(from.longest, to.longest), from.made}
	switch {
	case m.Card == parser.CardOneToOne:
		result.values = from.grouped(m.MatchingLabels, !m.On)
	case len(m.Include) > 0: // of which the series may have other values at other steps
		result.series = pairs
		result.made += to.made
		for _, label := range m.Include {
			result.set(label, to.series)
			if sharing > 1 {
				result.values[label] = to.series
			}
		}
		e.cost.joined = saturated(e.cost.joined, times(pairs-from.series, results*min(steps, mostPoints)))
	}
	return result
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

// selector returns the bound of what is selected, and the shortest interval between the samples of a series, in milliseconds.
func (e *estimator) selector(n *parser.VectorSelector) (selected bound, interval int64) { //nolint:nonamedreturns // says what is returned
	if e.err != nil {
		return bound{}, day
	}
	selected, selection, err := e.querier.count(e.ctx, n.LabelMatchers)
	e.fail(err)
	selected.longest = max(longestOther, e.name)
	return selected, selection.densest()
}

// count returns the bound of what the matchers select, and what they select, without reading anything. The error is that of the
// context.
func (q *querier) count(ctx context.Context, matchers []*labels.Matcher) (bound, selection, error) {
	selection, err := q.match(ctx, matchers)
	if err != nil || len(selection.accounts) == 0 {
		return bound{}, selection, err
	}
	p, accounts := &pace{ctx: ctx}, int64(len(selection.accounts))
	selected := bound{numbers: 1, values: map[string]int64{model.MetricNameLabel: int64(len(selection.metrics)), history.AccountLabel: accounts}}
	type value struct{ label, value string }
	seen := make(map[value]bool)
	for _, m := range selection.metrics {
		selected.numbers = max(selected.numbers, q.numbers(m))
		if m.gauge.Own != "" {
			selected.series += accounts
			selected.values[m.gauge.Own] = 0
			continue
		}
		for i := range m.gauge.Values {
			if err := p.step(selection.effort, usualValue); err != nil {
				return bound{}, selection, err
			}
			if !selection.includes(m, selection.accounts[0], i) {
				continue
			}
			selected.series += accounts
			for n, label := range m.gauge.Labels {
				seen[value{label, m.gauge.Values[i][n]}] = true
			}
		}
	}
	for v := range seen {
		selected.values[v.label]++
	}
	for label, values := range selected.values {
		if values > 0 && !selection.allHave(label) {
			selected.values[label]++
		}
	}
	return selected, selection, nil
}

// allHave reports whether all series that are selected have a label.
func (s *selection) allHave(label string) bool {
	for _, m := range s.metrics {
		if !m.hasLabel(label) {
			return false
		}
	}
	return true
}

// numbers returns how many different values the samples of a metric have.
func (q *querier) numbers(m *metric) int64 {
	switch {
	case m.kind == ofAccount:
		return 1
	case strings.HasSuffix(m.name, "_data_timestamp_seconds"): // days
		return max(1, int64(dateOf(q.now)-datacube.FirstDate)+1)
	default:
		return many
	}
}

// densest returns the shortest interval between samples of a series that is selected, in milliseconds.
func (s *selection) densest() int64 {
	densest := day
	for _, m := range s.metrics {
		densest = min(densest, m.interval())
	}
	return densest
}
