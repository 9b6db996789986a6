// Package query answers PromQL and remote read from the store: the history, in which each hour and day has
// its own time, and the gauges that describe the latest day, as they stood at each moment.
package query

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"golang.org/x/sync/semaphore"

	"weixin_exporter/internal/history"
	"weixin_exporter/weixin/datacube"
)

// StorageOptions are the options of a Storage.
type StorageOptions struct {
	Source Source
	// Accounts returns the accounts that have series. The slice is not changed; as long as it is the same one, queries share
	// what is made of it.
	Accounts func() []Account
	Now      func() time.Time
}

// Storage adapts the store to Prometheus' query engine. It caches what was read last, up to a limit.
type Storage struct {
	o       StorageOptions
	metrics []*metric
	cache   *cache
	// matching is for those who match regular expressions for long. One processor is left to all others.
	matching *semaphore.Weighted

	mu     sync.Mutex
	given  []Account  // the last one of StorageOptions.Accounts
	sorted []*Account // the same, by name
}

// NewStorage returns a Storage. Nothing is read yet.
func NewStorage(o StorageOptions) *Storage {
	return &Storage{
		o: o, metrics: metrics(), cache: newCache(o.Source),
		matching: semaphore.NewWeighted(int64(max(1, runtime.GOMAXPROCS(0)-1))),
	}
}

// Forget drops what is kept in memory. It must be called when the source has become another one, such as a store that was
// reopened with another file.
func (s *Storage) Forget() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.clear()
}

// Querier implements storage.Queryable. The querier sees everything that was saved before it is first used.
func (s *Storage) Querier(mint, maxt int64) (storage.Querier, error) {
	return s.newQuerier(mint, maxt), nil
}

func (s *Storage) newQuerier(mint, maxt int64) *querier {
	return &querier{storage: s, accounts: s.accounts(), mint: mint, maxt: maxt, now: s.o.Now().UnixMilli()}
}

// accounts returns the accounts by name, for all queries.
func (s *Storage) accounts() []*Account {
	given := s.o.Accounts()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(given) == len(s.given) && len(given) > 0 && &given[0] == &s.given[0] {
		return s.sorted
	}
	sorted := make([]*Account, len(given))
	for i, a := range given {
		// Prometheus rejects labels that are not UTF-8.
		sorted[i] = &Account{Name: strings.ToValidUTF8(a.Name, "\uFFFD"), AppID: a.AppID}
	}
	slices.SortFunc(sorted, func(a, b *Account) int { return strings.Compare(a.Name, b.Name) })
	s.given, s.sorted = given, sorted
	return sorted
}

// querier is for one query.
type querier struct {
	storage    *Storage
	accounts   []*Account // by name; shared, so they are not changed
	mint, maxt int64
	now        int64
	updated    bool
	known      map[existenceKey]bool // for all selectors
}

// existenceKey is what it depends on whether an account has samples of a metric in a time.
type existenceKey struct {
	kind       kind
	api        datacube.API
	appID      string
	mint, maxt int64
}

// Close implements storage.Querier.
func (*querier) Close() error { return nil }

// update brings the cache up to date once.
func (q *querier) update(ctx context.Context) error {
	if q.updated {
		return nil
	}
	err := q.storage.cache.update(ctx)
	q.updated = err == nil
	return err
}

// window returns the part of a time in which there can be samples of the metric.
func (q *querier) window(m *metric, mint, maxt int64) (from, to int64) { //nolint:nonamedreturns // two of a kind need names
	to = q.now
	if m.kind == ofHistory {
		to += day // in case the clock was set back
	}
	return max(mint, startOf(datacube.FirstDate)), min(maxt, to)
}

// Select implements storage.Querier. The series are sorted in any case.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	checked := false
	if hints != nil {
		mint, maxt = hints.Start, hints.End
		checked = hints.Func == "series"
	}
	selection, err := q.match(ctx, matchers)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	if len(selection.metrics) == 0 || len(selection.accounts) == 0 {
		return storage.EmptySeriesSet()
	}
	if err := q.update(ctx); err != nil {
		return storage.ErrSeriesSet(err)
	}
	set := &seriesSet{ctx: ctx, pace: pace{ctx: ctx}, querier: q, selection: selection, mint: mint, maxt: maxt}
	if checked {
		set.existence = q.existence(ctx, selection.accounts, mint, maxt)
	}
	return set
}

// selection is what matchers select.
type selection struct {
	metrics  []*metric
	accounts []*Account
	matchers []*labels.Matcher // the remaining ones, of labels that not all metrics have
	effort   int64             // of these, as of effortOf
}

// match finds the metrics and accounts that matchers select, without reading anything. The error is that of the context.
func (q *querier) match(ctx context.Context, matchers []*labels.Matcher) (selection, error) {
	p, effort := &pace{ctx: ctx}, effortOf(matchers, history.AccountLabel)
	var s selection
	all := effort*int64(len(q.accounts)) + effortOf(matchers, model.MetricNameLabel)*int64(len(q.storage.metrics))
	if all*usualValue > someMatching {
		if err := q.storage.matching.Acquire(ctx, 1); err != nil {
			return s, fmt.Errorf("looking for the series: %w", err)
		}
		defer q.storage.matching.Release(1)
	}
	if err := s.matchMetrics(p, q.storage.metrics, matchers); err != nil {
		return s, fmt.Errorf("looking for the series: %w", err)
	}
	if len(s.metrics) == 0 {
		return s, nil
	}
	if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == history.AccountLabel }) {
		s.accounts = q.accounts
		return s, nil
	}
	for _, a := range q.accounts {
		if err := p.step(effort, len(a.Name)); err != nil {
			return s, fmt.Errorf("looking for the series: %w", err)
		}
		if matches(matchers, history.AccountLabel, a.Name) {
			s.accounts = append(s.accounts, a)
		}
	}
	return s, nil
}

// matchMetrics finds the metrics that can have series which the matchers select, and the matchers that depend on the series.
func (s *selection) matchMetrics(p *pace, all []*metric, matchers []*labels.Matcher) error {
	for _, matcher := range matchers {
		if matcher.Name != model.MetricNameLabel && matcher.Name != history.AccountLabel {
			s.matchers = append(s.matchers, matcher)
			s.effort += effortOf([]*labels.Matcher{matcher}, matcher.Name)
		}
	}
	effort := effortOf(matchers, model.MetricNameLabel)
	for _, m := range all {
		if err := p.step(effort, len(m.name)); err != nil {
			return err
		}
		if !matches(matchers, model.MetricNameLabel, m.name) {
			continue
		}
		possible := true
		for _, matcher := range s.matchers {
			possible = possible && (m.hasLabel(matcher.Name) || matcher.Matches(""))
		}
		if possible {
			s.metrics = append(s.metrics, m)
		}
	}
	return nil
}

// matches reports whether all matchers of a label match its value.
func matches(matchers []*labels.Matcher, label, value string) bool {
	for _, m := range matchers {
		if m.Name == label && !m.Matches(value) {
			return false
		}
	}
	return true
}

// usualValue is more than the values of most labels but the account, in bytes.
const usualValue = 32

// includes reports whether the account's series with the number i is selected.
func (s *selection) includes(m *metric, a *Account, i int) bool {
	for _, matcher := range s.matchers {
		if m.hasLabel(matcher.Name) && !matcher.Matches(m.value(a, i, matcher.Name)) {
			return false
		}
	}
	return true
}

// LabelNames implements storage.Querier.
func (q *querier) LabelNames(ctx context.Context, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	found := make(map[string]bool)
	err := q.labelNames(ctx, found, matchers)
	return sortedKeys(found), nil, err
}

// labelNames adds the names of the labels of the selected series that have samples.
func (q *querier) labelNames(ctx context.Context, found map[string]bool, matchers []*labels.Matcher) error {
	return q.eachExisting(ctx, matchers, func(m *metric, _ *Account, _ int) {
		found[model.MetricNameLabel], found[history.AccountLabel] = true, true
		for _, name := range m.gauge.Labels {
			found[name] = true
		}
		if m.gauge.Own != "" {
			found[m.gauge.Own] = true
		}
	})
}

// LabelValues implements storage.Querier.
func (q *querier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	found := make(map[string]bool)
	err := q.labelValues(ctx, name, found, matchers)
	return sortedKeys(found), nil, err
}

// labelValues adds the values of a label of the selected series that have samples.
func (q *querier) labelValues(ctx context.Context, name string, found map[string]bool, matchers []*labels.Matcher) error {
	return q.eachExisting(ctx, matchers, func(m *metric, a *Account, i int) {
		if m.hasLabel(name) {
			found[m.value(a, i, name)] = true
		}
	})
}

func sortedKeys(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// eachExisting calls each with the selected series that have samples.
func (q *querier) eachExisting(ctx context.Context, matchers []*labels.Matcher, each func(*metric, *Account, int)) error {
	selection, err := q.match(ctx, matchers)
	if err != nil {
		return err
	}
	p := &pace{ctx: ctx}
	exists := q.existence(ctx, selection.accounts, q.mint, q.maxt)
	for _, m := range selection.metrics {
		for account, a := range selection.accounts {
			there, err := exists(m, account)
			if err != nil {
				return err
			}
			if !there {
				continue
			}
			for i := range m.gauge.Values {
				if err := p.step(selection.effort, usualValue); err != nil {
					return err
				}
				if selection.includes(m, a, i) {
					each(m, a, i)
				}
			}
		}
	}
	return nil
}

// existenceAhead is for how many accounts the store is asked at a time whether they have samples.
const existenceAhead = 100

// existence returns a function that reports whether one of the accounts has samples of a metric in a time. It is exact to the day.
func (q *querier) existence(ctx context.Context, accounts []*Account, mint, maxt int64) func(m *metric, account int) (bool, error) {
	if q.known == nil {
		q.known = make(map[existenceKey]bool)
	}
	return func(m *metric, account int) (bool, error) {
		from, to := q.window(m, mint, maxt)
		if from > to {
			return false, nil
		}
		if m.kind == ofAccount {
			return true, nil
		}
		k := existenceKey{m.kind, m.api, accounts[account].AppID, mint, maxt}
		if there, ok := q.known[k]; ok {
			return there, nil
		}
		found := make(map[string]bool)
		var appIDs []string
		for _, a := range accounts[account:min(account+existenceAhead, len(accounts))] {
			appIDs = append(appIDs, a.AppID)
		}
		err := q.storage.cache.read(ctx, func() error {
			return q.storage.o.Source.KnownDays(ctx, m.api, appIDs, dateOf(to), func(appID string, date datacube.Date, knownAt time.Time) bool {
				if m.kind == ofHistory {
					found[appID] = date >= dateEndingAt(from)
					return false
				}
				found[appID] = knownAt.IsZero() || knownAt.UnixMilli() <= to
				return !found[appID]
			})
		})
		if err != nil {
			return false, err
		}
		for _, appID := range appIDs {
			q.known[existenceKey{m.kind, m.api, appID, mint, maxt}] = found[appID]
		}
		return found[k.appID], nil
	}
}
