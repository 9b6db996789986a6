package query

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"weixin_exporter/weixin/datacube"
)

// seriesSet yields the series of a selection in the order of their labels: by metric, account and hour.
type seriesSet struct {
	ctx        context.Context // of the query that the set belongs to
	pace       pace
	querier    *querier
	selection  selection
	mint, maxt int64
	// existence excludes series without samples; nil: they are not looked for.
	existence func(m *metric, account int) (bool, error)

	metric, account, index int // of the present series; index is -1 before the first of an account
	started                bool
	window                 *window
	segments               *segmentsMemo
	builder                labels.ScratchBuilder
	series                 series
	err                    error
}

// someSteps are so many small steps of a request that they take less than a millisecond.
const someSteps = 256

// window is the time of a metric's series, and the blocks in it.
type window struct {
	mint, maxt int64
	span       span
}

// segmentsMemo has the segments of the account that was asked for last: all of its series share them.
type segmentsMemo struct {
	window   *window
	account  int
	segments []segment
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool {
	if !s.started {
		s.started, s.index = true, -1
		s.begin()
	}
	for s.err == nil && s.metric < len(s.selection.metrics) {
		m := s.selection.metrics[s.metric]
		if s.index++; s.account < len(s.selection.accounts) && s.index < len(m.gauge.Values) {
			a := s.selection.accounts[s.account]
			if s.index == 0 && !s.exists(m) {
				s.index = len(m.gauge.Values)
				continue
			}
			if s.err = s.pace.step(s.selection.effort, usualValue); s.err != nil {
				return false
			}
			if s.selection.includes(m, a, s.index) {
				s.series = series{set: s, metric: m, window: s.window, account: s.account, index: s.index}
				s.series.labels = m.labels(&s.builder, a, s.index)
				return true
			}
			continue
		}
		s.index = -1
		if s.account++; s.account >= len(s.selection.accounts) {
			s.account = 0
			s.metric++
			s.begin()
		}
	}
	return false
}

// begin prepares the present metric.
func (s *seriesSet) begin() {
	if s.metric >= len(s.selection.metrics) {
		return
	}
	m := s.selection.metrics[s.metric]
	w := &window{span: span{api: m.api, accounts: s.selection.accounts}}
	w.mint, w.maxt = s.querier.window(m, s.mint, s.maxt)
	first := dateEndingAt(w.mint)
	if m.kind == ofDay {
		const usualAge = 3 // days between a moment and the latest day known then
		first -= usualAge
	}
	w.span.first, w.span.last = blockOf(m.api, first), blockOf(m.api, dateOf(w.maxt))
	// The metrics of one call share what is found out about an account.
	if s.window == nil || s.window.span.api != m.api || s.window.mint != w.mint || s.window.maxt != w.maxt {
		s.window = w
	}
}

// exists reports whether the present account has samples of a metric.
func (s *seriesSet) exists(m *metric) bool {
	if s.existence == nil {
		return true
	}
	there, err := s.existence(m, s.account)
	if err != nil {
		s.err = err
	}
	return there
}

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series {
	series := s.series
	return &series
}

// Err implements storage.SeriesSet.
func (s *seriesSet) Err() error { return s.err }

// Warnings implements storage.SeriesSet.
func (*seriesSet) Warnings() annotations.Annotations { return nil }

// series is one series. Its samples are read when they are needed.
type series struct {
	set     *seriesSet
	metric  *metric
	window  *window
	account int // index in window.span
	index   int // of the series among those of the account
	labels  labels.Labels
}

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s *series) Iterator(reused chunkenc.Iterator) chunkenc.Iterator {
	w := s.window
	if w.mint > w.maxt {
		return chunkenc.NewNopIterator()
	}
	c := s.set.querier.storage.cache
	if s.metric.kind == ofHistory {
		it, ok := reused.(*historyIterator)
		if !ok {
			it = &historyIterator{}
		}
		it.reset(s.set.ctx, c, &w.span, s.account, s.metric.figure, w.mint, w.maxt)
		return it
	}
	it, ok := reused.(*gaugeIterator)
	if !ok {
		it = &gaugeIterator{}
	}
	*it = gaugeIterator{
		ctx: s.set.ctx, cache: c, span: &w.span, account: s.account, metric: s.metric, index: s.index, mint: w.mint, maxt: w.maxt,
		values: it.values[:0],
	}
	segments, err := s.set.segmentsOf(s)
	if it.segments = segments; err != nil {
		it.started = true
		it.end(err)
	}
	return it
}

// segmentsOf returns the segments of a gauge.
func (s *seriesSet) segmentsOf(of *series) ([]segment, error) {
	if of.metric.kind == ofAccount {
		return []segment{{start: startOf(datacube.FirstDate)}}, nil
	}
	if memo := s.segments; memo != nil && memo.window == of.window && memo.account == of.account {
		return memo.segments, nil
	}
	w := of.window
	segments, err := segmentsOf(s.ctx, s.querier.storage.cache, w.span.api, w.span.accounts[of.account].AppID, w.mint, w.maxt)
	if err != nil {
		return nil, err
	}
	s.segments = &segmentsMemo{w, of.account, segments}
	return segments, nil
}
