package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"golang.org/x/sync/semaphore"
)

// seriesCost is the memory of a series without its samples, in samples of 16 bytes.
const seriesCost = 24

// errQueued means that the time of a query was over before its turn came.
var errQueued = errors.New("query timed out while it waited for other queries")

// limiter bounds how many queries are executed at a time, and how many samples they have in memory together:
// as many as one query may have. A query is let in by its estimate.
type limiter struct {
	queries *semaphore.Weighted
	samples *semaphore.Weighted
	max     int64
}

func newLimiter(queries, samples int) *limiter {
	return &limiter{
		queries: semaphore.NewWeighted(int64(queries)),
		samples: semaphore.NewWeighted(int64(samples)),
		max:     int64(samples),
	}
}

// enter waits for a turn, which ends when leave is called. An estimate above the limit counts as the limit: the
// engine refuses the query when it comes to that.
func (l *limiter) enter(ctx context.Context, estimate int64) (leave func(), err error) { //nolint:nonamedreturns // says what is returned
	weight := min(max(estimate, 1), l.max)
	if err := l.queries.Acquire(ctx, 1); err != nil {
		return nil, queued(err)
	}
	if err := l.samples.Acquire(ctx, weight); err != nil {
		l.queries.Release(1)
		return nil, queued(err)
	}
	return func() {
		l.samples.Release(weight)
		l.queries.Release(1)
	}, nil
}

func queued(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errQueued
	}
	return err
}

// tooManySeriesError refuses a query before anything is read for it.
type tooManySeriesError struct{ series, limit int64 }

func (e *tooManySeriesError) Error() string {
	return fmt.Sprintf("the query selects up to %d series, more than the %d that --query.max-samples leaves room for: select fewer metrics or accounts",
		e.series, e.limit)
}

// cost is an upper bound of what a query has in memory.
type cost struct {
	series, samples int64
}

func (c *cost) add(series, samples int64) {
	c.series = saturated(c.series, series)
	c.samples = saturated(c.samples, samples)
}

// estimate returns the cost in samples, that of series included, or an error if their number alone is too much.
func (c *cost) estimate(most int64) (int64, error) {
	if limit := most / seriesCost; c.series > limit {
		return 0, &tooManySeriesError{c.series, limit}
	}
	return saturated(c.samples, c.series*seriesCost), nil
}

// estimator estimates the cost of expressions.
type estimator struct {
	querier *querier
	cost    cost
}

// expression adds the cost of an expression that is evaluated that many times within a time. An operator has
// the results of its operands and its own in memory, which is not larger than theirs together.
func (e *estimator) expression(node parser.Node, steps int64, within time.Duration) {
	const results = 2
	switch n := node.(type) {
	case *parser.VectorSelector:
		series := e.querier.count(n.LabelMatchers)
		e.cost.add(series, results*times(series, steps))
	case *parser.MatrixSelector:
		selector, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return
		}
		// The samples of one series in one window are in memory at a time. A bare range selector, which can be
		// evaluated only once, has those of all series.
		series, densest := e.querier.count(selector.LabelMatchers), e.querier.densest(selector.LabelMatchers)
		window := n.Range.Milliseconds()/densest + 1
		e.cost.add(series, saturated(results*times(series, steps), window))
	case *parser.SubqueryExpr:
		step := n.Step
		if step <= 0 {
			step = subqueryStep
		}
		e.expression(n.Expr, int64((within+n.Range)/step)+1, within+n.Range)
	default:
		for child := range parser.ChildrenIter(node) {
			e.expression(child, steps, within)
		}
	}
}

// query adds the cost of a whole query.
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
			series, densest := e.querier.count(selector.LabelMatchers), e.querier.densest(selector.LabelMatchers)
			e.cost.add(series, times(series, n.Range.Milliseconds()/densest+1))
			return
		}
	}
	e.expression(node, steps, within)
}

// count returns how many series the matchers select, without reading anything.
func (q *querier) count(matchers []*labels.Matcher) int64 {
	selection := q.match(matchers)
	if len(selection.accounts) == 0 {
		return 0
	}
	var series int64
	for _, m := range selection.metrics {
		if m.gauge.Own != "" {
			series += int64(len(selection.accounts))
			continue
		}
		for i := range m.gauge.Values {
			if selection.includes(m, selection.accounts[0], i) {
				series += int64(len(selection.accounts))
			}
		}
	}
	return series
}

// densest returns the shortest interval between samples of a series that the matchers select.
func (q *querier) densest(matchers []*labels.Matcher) int64 {
	densest := day
	for _, m := range q.match(matchers).metrics {
		densest = min(densest, m.interval())
	}
	return densest
}

func times(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/4/a {
		return math.MaxInt64 / 4
	}
	return a * b
}

func saturated(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
