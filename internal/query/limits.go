package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

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

// tooManyValuesError rejects a query before anything is read for it.
type tooManyValuesError struct{ series, limit int64 }

func (e *tooManyValuesError) Error() string {
	return fmt.Sprintf("count_values may find up to %d values at all steps together, for whose series --query.max-samples=%d leaves no room: choose a longer step or a shorter range, or select fewer metrics or accounts",
		e.series, e.limit)
}

// tooManyPairsError rejects a query before anything is read for it.
type tooManyPairsError struct{ pairs, limit int64 }

func (e *tooManyPairsError) Error() string {
	return fmt.Sprintf("operators may find up to %d pairs of series at all steps together, for which --query.max-samples=%d leaves no room: match by more labels, choose a longer step or a shorter range, or select fewer metrics or accounts",
		e.pairs, e.limit)
}

// tooManyLabelsError rejects a query before anything is read for it.
type tooManyLabelsError struct{ samples, limit int64 }

func (e *tooManyLabelsError) Error() string {
	return fmt.Sprintf("the labels that the query makes may take as much as %d samples, more than --query.max-samples=%d: make fewer or shorter ones, or select fewer metrics or accounts",
		e.samples, e.limit)
}

// cost is an upper bound of what a query has in memory, and of the samples that it reads.
type cost struct {
	series, samples, read int64 // of selectors
	steps                 int64 // of subqueries
	ranked                int64 // samples
	values, counted       int64 // of count_values, and what their series take, in samples
	pairs, joined         int64 // of series, of one operator, and what the samples of their series take, in samples
	labels                int64 // what those that are made take, in samples
}

func (c *cost) add(series, samples, read int64) {
	c.series = saturated(c.series, series)
	c.samples = saturated(c.samples, samples)
	c.read = saturated(c.read, read)
}

// estimate is a cost with that of the series in samples.
type estimate struct{ samples, read int64 }

// estimate returns an error if something of the cost exceeds the limit alone.
func (c *cost) estimate(most int64) (estimate, error) {
	if limit := most / stepShare; c.steps > limit {
		return estimate{}, &tooManyStepsError{c.steps, limit}
	}
	if limit := most / seriesCost; c.series > limit {
		return estimate{}, &tooManySeriesError{c.series, limit}
	}
	paired := saturated(times(c.pairs, seriesCost), c.joined)
	switch {
	case c.ranked > most:
		return estimate{}, &tooManyRankedError{c.ranked, most}
	case c.counted > most:
		return estimate{}, &tooManyValuesError{c.values, most}
	case paired > most:
		return estimate{}, &tooManyPairsError{c.pairs, most}
	case c.labels > most:
		return estimate{}, &tooManyLabelsError{c.labels, most}
	}
	samples := c.series * seriesCost
	for _, more := range []int64{c.samples, c.ranked, c.counted, paired, c.labels} {
		samples = saturated(samples, more)
	}
	return estimate{samples, c.read}, nil
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
