package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"golang.org/x/sync/semaphore"
)

// seriesCost is the memory of a series without its samples, in samples of 16 bytes.
const seriesCost = 24

// errQueued means that a query timed out before it could start.
var errQueued = errors.New("query timed out while it waited for other queries")

// largeRead is the number of samples read from which a query counts as large: about half a second of work.
const largeRead = 500_000

// limiter limits the number of concurrent queries and the samples that they have in memory, by an estimate for each. The
// limit of samples is the same for all queries together as for one. Large queries leave one processor to scrapes,
// the refresh and other queries.
type limiter struct {
	large   *semaphore.Weighted
	queries *semaphore.Weighted
	samples *semaphore.Weighted
	max     int64
}

func newLimiter(queries, samples int) *limiter {
	return &limiter{
		large:   semaphore.NewWeighted(int64(max(1, runtime.GOMAXPROCS(0)-1))),
		queries: semaphore.NewWeighted(int64(queries)),
		samples: semaphore.NewWeighted(int64(samples)),
		max:     int64(samples),
	}
}

// permit allows a query to be executed until release is called.
type permit struct {
	limiter *limiter
	large   bool
	weight  int64
}

// acquire waits for a permit. An estimate above the limit counts as the limit, since the engine refuses a query that
// exceeds it. The order of the semaphores lets small queries overtake large ones.
func (l *limiter) acquire(ctx context.Context, e estimate) (*permit, error) {
	t := &permit{limiter: l, large: e.read >= largeRead, weight: min(max(e.samples, 1), l.max)}
	if t.large {
		if err := l.large.Acquire(ctx, 1); err != nil {
			return nil, queued(err)
		}
	}
	if err := l.queries.Acquire(ctx, 1); err != nil {
		t.executed()
		return nil, queued(err)
	}
	if err := l.samples.Acquire(ctx, t.weight); err != nil {
		l.queries.Release(1)
		t.executed()
		return nil, queued(err)
	}
	return t, nil
}

// executed lets the next large query start: only the result remains to be sent.
func (p *permit) executed() {
	if p.large {
		p.large = false
		p.limiter.large.Release(1)
	}
}

// release returns the permit.
func (p *permit) release() {
	p.executed()
	p.limiter.samples.Release(p.weight)
	p.limiter.queries.Release(1)
}

func queued(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errQueued
	}
	return err
}

// stepShare is the part of the samples that may be steps of subqueries: the engine keeps two numbers for each before it counts
// anything.
const stepShare = 8

// tooManyStepsError rejects a query before anything is read for it.
type tooManyStepsError struct{ steps, limit int64 }

func (e *tooManyStepsError) Error() string {
	return fmt.Sprintf("the subqueries have up to %d steps, more than the %d that --query.max-samples leaves room for: choose longer steps or shorter ranges",
		e.steps, e.limit)
}

// rankedCost is the memory of a sample that topk and bottomk rank, in samples of 16 bytes.
const rankedCost = 3

// tooManyRankedError rejects a query before anything is read for it.
type tooManyRankedError struct{ samples, limit int64 }

func (e *tooManyRankedError) Error() string {
	return fmt.Sprintf("topk and bottomk have room for as much as %d samples, more than --query.max-samples=%d: give them a smaller number, in digits, or fewer groups",
		e.samples, e.limit)
}

// tooManySeriesError rejects a query before anything is read for it.
type tooManySeriesError struct{ series, limit int64 }

func (e *tooManySeriesError) Error() string {
	return fmt.Sprintf("the query selects up to %d series, more than the %d that --query.max-samples leaves room for: select fewer metrics or accounts",
		e.series, e.limit)
}

// cost is an upper bound of what a query has in memory, series, samples, those that it ranks and steps of subqueries, and of the
// samples that it reads.
type cost struct {
	series, samples, ranked, steps, read int64
}

func (c *cost) add(series, samples, read int64) {
	c.series = saturated(c.series, series)
	c.samples = saturated(c.samples, samples)
	c.read = saturated(c.read, read)
}

// estimate is a cost with that of the series in samples.
type estimate struct{ samples, read int64 }

// estimate returns an error if the series alone are too many, or the steps or what is ranked.
func (c *cost) estimate(most int64) (estimate, error) {
	if limit := most / stepShare; c.steps > limit {
		return estimate{}, &tooManyStepsError{c.steps, limit}
	}
	if limit := most / seriesCost; c.series > limit {
		return estimate{}, &tooManySeriesError{c.series, limit}
	}
	if c.ranked > most {
		return estimate{}, &tooManyRankedError{c.ranked, most}
	}
	return estimate{saturated(saturated(c.samples, c.ranked), c.series*seriesCost), c.read}, nil
}

// estimator estimates the cost of expressions.
type estimator struct {
	ctx     context.Context // of the query
	querier *querier
	cost    cost
	err     error // of the context
}

// expression adds the cost of an expression that is evaluated for that many steps within a duration. An operator has
// the results of its operands in memory and its own, which is at most as large as theirs together.
func (e *estimator) expression(node parser.Node, steps int64, within time.Duration) {
	const results = 2
	switch n := node.(type) {
	case *parser.VectorSelector:
		series, interval := e.selector(n)
		e.cost.add(series, results*times(series, steps), times(series, min(steps, within.Milliseconds()/interval+1)))
	case *parser.MatrixSelector:
		selector, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return
		}
		// The samples of one series in one window are in memory at a time.
		series, interval := e.selector(selector)
		window := n.Range.Milliseconds()/interval + 1
		e.cost.add(series, saturated(results*times(series, steps), window), times(series, longer(within, n.Range).Milliseconds()/interval+1))
	case *parser.SubqueryExpr:
		step := n.Step
		if step <= 0 {
			step = subqueryStep
		}
		within = longer(within, n.Range)
		steps = int64(within/step) + 1
		e.cost.steps = saturated(e.cost.steps, steps)
		e.cost.add(0, steps, steps)
		e.expression(n.Expr, steps, within)
	case *parser.AggregateExpr:
		before := e.cost.series
		for child := range parser.ChildrenIter(node) {
			e.expression(child, steps, within)
		}
		e.aggregation(n, e.cost.series-before, steps)
	default:
		leaf := true
		for child := range parser.ChildrenIter(node) {
			leaf = false
			e.expression(child, steps, within)
		}
		if leaf { // such as a number: a sample for each step
			e.cost.add(0, results*times(1, steps), steps)
		}
	}
}

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
	e.err = err
	return series, selection.densest()
}

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
