package query

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// series lists the label sets of series that have samples.
func (a *API) series(ctx context.Context, r *request) (answer, error) {
	if len(r.Form["match[]"]) == 0 {
		return answer{}, &apiError{badData, errors.New("no match[] parameter provided")}
	}
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	start, end, err := r.between()
	if err != nil {
		return answer{}, err
	}
	sets, err := a.matchers(r)
	if err != nil {
		return answer{}, errorAbout("match[]", err)
	}
	q := a.storage.newQuerier(start.UnixMilli(), end.UnixMilli())
	permit, err := a.acquireSeries(ctx, q, sets)
	if err != nil {
		return answer{}, err
	}
	given := answer{release: permit.release}
	hints := &storage.SelectHints{Start: q.mint, End: q.maxt, Func: "series"}
	selected := make([]storage.SeriesSet, len(sets))
	for i, set := range sets {
		selected[i] = q.Select(ctx, true, hints, set...)
	}
	merged := storage.NewMergeSeriesSet(selected, 0, storage.ChainedSeriesMerge)
	var found []labels.Labels
	for merged.Next() {
		if err := ctx.Err(); err != nil {
			return given, err
		}
		if limit > 0 && len(found) == limit {
			given.warnings.Add(errTruncated)
			break
		}
		found = append(found, merged.At().Labels())
	}
	if err := merged.Err(); err != nil {
		return given, storageError(err)
	}
	given.write = func(e *encoder) { e.list(len(found), func(i int) { e.labels(found[i]) }) }
	return given, nil
}

// acquireSeries is acquire for requests that need no samples.
func (a *API) acquireSeries(ctx context.Context, q *querier, sets [][]*labels.Matcher) (*permit, error) {
	var c cost
	for _, set := range sets {
		selected, _, err := q.count(ctx, set)
		if err != nil {
			return nil, err
		}
		c.add(selected.series, 0, 0)
	}
	estimate, err := c.estimate(a.limiter.max)
	if err != nil {
		return nil, err
	}
	return a.limiter.acquire(ctx, estimate)
}

func storageError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &apiError{internalError, err}
}

// labelNames lists the names of labels.
func (a *API) labelNames(ctx context.Context, r *request) (answer, error) {
	return a.labels(ctx, r, func(q *querier, found map[string]bool, set []*labels.Matcher) error {
		return q.labelNames(ctx, found, set)
	})
}

// labelValues lists the values of the label in the path.
func (a *API) labelValues(ctx context.Context, r *request) (answer, error) {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return answer{}, &apiError{badData, fmt.Errorf("invalid label name: %q", name)}
	}
	return a.labels(ctx, r, func(q *querier, found map[string]bool, set []*labels.Matcher) error {
		return q.labelValues(ctx, name, found, set)
	})
}

// labels lists what add finds for the selectors together.
func (a *API) labels(ctx context.Context, r *request, add func(*querier, map[string]bool, []*labels.Matcher) error) (answer, error) {
	limit, err := r.limit()
	if err != nil {
		return answer{}, err
	}
	start, end, err := r.between()
	if err != nil {
		return answer{}, err
	}
	sets, err := a.matchers(r)
	if err != nil {
		return answer{}, err
	}
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	permit, err := a.limiter.acquire(ctx, estimate{})
	if err != nil {
		return answer{}, err
	}
	defer permit.release()
	q := a.storage.newQuerier(start.UnixMilli(), end.UnixMilli())
	found := make(map[string]bool)
	for _, set := range sets {
		if err := add(q, found, set); err != nil {
			return answer{}, storageError(err)
		}
	}
	given := answer{}
	all := sortedKeys(found)
	if limit > 0 && len(all) > limit {
		all = all[:limit]
		given.warnings.Add(errTruncated)
	}
	given.data = all
	return given, nil
}

// metadata lists the metrics with their types and help texts.
func (a *API) metadata(_ context.Context, r *request) (answer, error) {
	limit := -1
	for _, name := range []string{"limit", "limit_per_metric"} {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		number, err := strconv.Atoi(text)
		if err != nil {
			return answer{}, &apiError{badData, fmt.Errorf("%s must be a number", name)}
		}
		if name == "limit" {
			limit = number // each metric has one entry, so the other changes nothing
		}
	}
	type entry struct {
		Type string `json:"type"`
		Help string `json:"help"`
		Unit string `json:"unit"`
	}
	found := make(map[string][]entry)
	wanted := r.FormValue("metric")
	for _, m := range a.storage.metrics {
		if limit >= 0 && len(found) >= limit {
			break
		}
		if wanted == "" || wanted == m.name {
			found[m.name] = []entry{{"gauge", m.help, m.unit}}
		}
	}
	return answer{data: found}, nil
}
