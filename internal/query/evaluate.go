package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"
)

// maxPoints is how many steps a range query may have, as in Prometheus.
const maxPoints = 11000

// instant evaluates an expression at one moment.
func (a *API) instant(ctx context.Context, r *request) (answer, error) {
	at, err := r.time("time", r.now)
	if err != nil {
		return answer{}, err
	}
	return a.evaluate(ctx, r, at, at, 0)
}

// queryRange evaluates an expression at equal steps.
func (a *API) queryRange(ctx context.Context, r *request) (answer, error) {
	start, err := r.time("start", time.Time{})
	if err != nil {
		return answer{}, err
	}
	end, err := r.time("end", time.Time{})
	if err != nil {
		return answer{}, err
	}
	if end.Before(start) {
		return answer{}, errorAbout("end", errors.New("end timestamp must not be before start time"))
	}
	if r.FormValue("step") == "" {
		return answer{}, errorAbout("step", errors.New(`cannot parse "" to a valid duration`))
	}
	step, err := r.duration("step")
	if err != nil {
		return answer{}, err
	}
	if step <= 0 {
		return answer{}, errorAbout("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	step = step.Truncate(time.Millisecond) // as the engine counts
	if step == 0 {
		return answer{}, errorAbout("step", errors.New("a step must have a millisecond or more"))
	}
	if within := end.Sub(start); within == math.MaxInt64 || within/step > maxPoints { // times may be further apart than a duration can say
		return answer{}, &apiError{badData, errors.New("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")}
	}
	return a.evaluate(ctx, r, start, end, step)
}

// evaluate runs a query; a step of 0 means one moment.
func (a *API) evaluate(ctx context.Context, r *request, start, end time.Time, step time.Duration) (answer, error) {
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	lookback, err := parseDuration(r.FormValue("lookback_delta"))
	if err != nil {
		return answer{}, &apiError{badData, fmt.Errorf("error parsing lookback delta duration: %w", err)}
	}
	expr, err := a.expression(r)
	if err != nil {
		return answer{}, err
	}
	permit, err := a.acquire(ctx, expr, start, end, step)
	if err != nil {
		return answer{}, err
	}
	options := promql.NewPrometheusQueryOpts(false, lookback, nil)
	var query promql.Query
	if step == 0 {
		query, err = a.engine.NewInstantQuery(ctx, a.storage, options, r.FormValue("query"), start)
	} else {
		query, err = a.engine.NewRangeQuery(ctx, a.storage, options, r.FormValue("query"), start, end, step)
	}
	if err != nil {
		permit.release()
		return answer{}, errorAbout("query", err)
	}
	given := answer{release: func() { query.Close(); permit.release() }}
	result := query.Exec(ctx)
	permit.executed()
	if result.Err != nil {
		return given, a.queryError(ctx, result.Err)
	}
	value := result.Value
	given.warnings = result.Warnings
	if truncated, ok := truncate(value, limit); ok {
		value = truncated
		given.warnings.Add(errTruncated)
	}
	var statistics any
	if r.FormValue("stats") != "" {
		statistics = stats.NewQueryStats(query.Stats())
	}
	given.write = func(e *encoder) { e.result(value, statistics) }
	return given, nil
}

// queryError explains errors of the engine that only name a phase.
func (a *API) queryError(ctx context.Context, err error) error {
	if _, ok := errors.AsType[promql.ErrTooManySamples](err); ok {
		return fmt.Errorf("%w: more than --query.max-samples=%d", err, a.limits.MaxSamples)
	}
	// The time that the client allows ends as if the query were canceled.
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &apiError{timedOut, err}
	}
	return err
}

// expression parses the parameter query.
func (a *API) expression(r *request) (parser.Expr, error) {
	expr, err := a.parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return nil, errorAbout("query", err)
	}
	return expr, nil
}

// acquire waits until a query may be executed, and rejects one with too many series or labels.
func (a *API) acquire(ctx context.Context, expr parser.Expr, start, end time.Time, step time.Duration) (*permit, error) {
	steps := int64(1)
	if step > 0 {
		steps += int64(end.Sub(start) / step)
	}
	q := a.storage.newQuerier(start.UnixMilli(), end.UnixMilli())
	e := estimator{ctx: ctx, querier: q, name: q.longestName()}
	e.query(expr, steps, end.Sub(start))
	if e.err != nil {
		return nil, e.err
	}
	estimate, err := e.cost.estimate(a.limiter.max)
	if err != nil {
		return nil, err
	}
	return a.limiter.acquire(ctx, estimate)
}

// truncate returns the first series of a result, and whether there are more.
func truncate(value parser.Value, limit int) (parser.Value, bool) {
	switch v := value.(type) {
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	}
	return value, false
}

// format writes an expression in the usual form.
func (a *API) format(_ context.Context, r *request) (answer, error) {
	expr, err := a.expression(r)
	if err != nil {
		return answer{}, err
	}
	if depth := depthOf(expr); depth*depth*len(r.FormValue("query")) > formatRoom {
		return answer{}, errorAbout("query", fmt.Errorf("the expression has %d levels of operators, functions and brackets, too many to format one of its length", depth))
	}
	return answer{data: expr.Pretty(0)}, nil
}

// depthOf returns how many levels an expression has.
func depthOf(expr parser.Expr) int {
	deepest := 0
	parser.Inspect(expr, func(_ parser.Node, above []parser.Node) error {
		deepest = max(deepest, len(above)+1)
		return nil
	})
	return deepest
}

// parse returns the tree of an expression.
func (a *API) parse(_ context.Context, r *request) (answer, error) {
	expr, err := a.expression(r)
	if err != nil {
		return answer{}, err
	}
	return answer{data: treeOf(expr)}, nil
}

// exemplars answers that there are none.
func (a *API) exemplars(_ context.Context, r *request) (answer, error) {
	start, end, err := r.between()
	if err != nil {
		return answer{}, err
	}
	if end.Before(start) {
		return answer{}, &apiError{badData, errors.New("end timestamp must not be before start timestamp")}
	}
	if _, err := a.parser.ParseExpr(r.FormValue("query")); err != nil {
		return answer{}, &apiError{badData, err}
	}
	return answer{data: []any{}}, nil
}
