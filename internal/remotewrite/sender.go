// Package remotewrite sends what the store knows to endpoints of Prometheus' remote write, each hour
// and day at its own time. What an endpoint has is kept in the store.
package remotewrite

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

const (
	// pollInterval is how often a sender looks whether there is something new.
	pollInterval = 5 * time.Second
	// countInterval is how often a sender that waits counts what is pending.
	countInterval = 30 * time.Second
	// noteTime bounds noting what was accepted when the sender is to end.
	noteTime = 2 * time.Second
	// readAtOnce bounds the accounts that one look at the store is for.
	readAtOnce = 500
)

// Store keeps what is known and what each endpoint has of it; *store.Store is one.
type Store interface {
	// Changed returns the accounts about which something was saved after a mark, and the latest mark.
	Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error)
	// Undelivered returns the app ids of the accounts of which the endpoint may not have all.
	Undelivered(ctx context.Context, endpoint string) ([]string, error)
	// Due returns what the endpoint lacks of some accounts, as far as it holds about limit samples.
	Due(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]store.Due, error)
	// CountDue counts the days that the endpoint lacks.
	CountDue(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error)
	// Delivered notes that the endpoint needs nothing more of what Due returned.
	Delivered(ctx context.Context, endpoint string, at time.Time, dues ...store.Due) error
	// LastDelivery returns when the endpoint last accepted samples; zero if never.
	LastDelivery(ctx context.Context, endpoint string) (time.Time, error)
}

// Endpoint is a receiver and what it is to get.
type Endpoint struct {
	// Key is what the store calls the endpoint; it stays the same over restarts and holds no secret.
	Key string
	// Label is the endpoint's name in metrics and the log; it holds no secret.
	Label string
	// Client sends to the receiver. As long as nothing about how it does so changes, it is the same one.
	Client *Client
	// MaxSamples is how many samples a request holds at the most.
	MaxSamples int
	// MaxAge is how old a day may be, by its end, to be sent.
	MaxAge time.Duration
	// ExternalLabels are added to all series; their order matters to nobody but a group that compares them.
	ExternalLabels []Label
	// Accounts holds the label "account" of each account, by app id. Others are not sent.
	Accounts map[string]string
}

// same reports whether a sender of one endpoint is one of the other, too.
func (e *Endpoint) same(other *Endpoint) bool {
	return e.Key == other.Key && e.Label == other.Label && e.Client == other.Client && e.MaxSamples == other.MaxSamples &&
		e.MaxAge == other.MaxAge && slices.Equal(e.ExternalLabels, other.ExternalLabels) && maps.Equal(e.Accounts, other.Accounts)
}

// sender brings one endpoint up to date.
type sender struct {
	endpoint Endpoint
	store    Store
	metrics  *endpointMetrics
	logger   log.Logger
	now      func() time.Time
	writer   *Writer
	backoff  *backoff.ExponentialBackOff // for faults of the store alone
	losses   losses
	unnoted  *note // what the store could not note yet
	pending  int64 // samples, as last counted
	// counted and countedSince say as of which mark, and from which day on.
	counted      store.Mark
	countedSince datacube.Date
}

func newSender(e Endpoint, o Options) *sender {
	s := &sender{
		endpoint: e,
		store:    o.Store,
		metrics:  o.Metrics.of(e.Label),
		logger:   log.With(o.Logger, "endpoint", e.Label),
		now:      o.Now,
		backoff:  newBackoff(),
	}
	s.writer = NewWriter(e.Client, s.logger, o.Now)
	s.writer.sleep = s.sleep
	return s
}

// run sends until the context ends.
func (s *sender) run(ctx context.Context) {
	if at, err := s.store.LastDelivery(ctx, s.endpoint.Key); err == nil && !at.IsZero() {
		s.metrics.lastSuccess.Set(float64(at.Unix()))
	}
	var seen store.Mark
	behind := true // nothing is known of what the endpoint has
	for ctx.Err() == nil {
		changed, latest, err := s.store.Changed(ctx, seen)
		if err == nil && (behind || len(changed) > 0) {
			behind = true
			if err = s.catchUp(ctx); err == nil {
				behind, seen = false, latest
			}
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			wait := s.backoff.NextBackOff()
			level.Error(s.logger).Log("msg", "remote write cannot use the store", "err", err, "next", wait)
			s.sleep(ctx, wait)
		default:
			s.backoff.Reset()
			s.sleep(ctx, pollInterval)
		}
	}
}

// since returns the first day that is not too old to be sent.
func (s *sender) since() datacube.Date {
	// A day is as old as its last sample, that of its end.
	oldest := s.now().Add(-s.endpoint.MaxAge)
	date := datacube.DateOf(oldest)
	if date.Start().Equal(oldest) {
		return date - 1
	}
	return date
}

// catchUp sends all that the endpoint lacks. An error is one of the store, or the context's end.
func (s *sender) catchUp(ctx context.Context) error {
	defer s.logLosses()
	if err := s.keep(ctx); err != nil {
		return err
	}
	appIDs, err := s.store.Undelivered(ctx, s.endpoint.Key)
	if err != nil {
		return err
	}
	var queue []string
	for _, appID := range appIDs {
		if _, ok := s.endpoint.Accounts[appID]; ok {
			queue = append(queue, appID)
		}
	}
	if err := s.count(ctx); err != nil {
		return err
	}
	for len(queue) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		dues, err := s.store.Due(ctx, s.endpoint.Key, s.since(), s.endpoint.MaxSamples, queue[:min(len(queue), readAtOnce)]...)
		if err != nil {
			return err
		}
		done, err := s.deliver(ctx, s.endpoint.page(dues))
		if err != nil {
			return err
		}
		if !done {
			continue // it is read again, because time has passed
		}
		queue = queue[len(dues):]
		if last := len(dues) - 1; last >= 0 && dues[last].More {
			queue = append([]string{dues[last].AppID}, queue...)
		}
	}
	return s.count(ctx)
}

// deliver sends a page and notes that it is done. It returns false, after a wait, where the
// receiver could not be reached.
func (s *sender) deliver(ctx context.Context, p *page) (bool, error) {
	b := &batch{writer: s.writer}
	for first, rest := true, p.samples; len(rest) > 0; first = false {
		samples := rest[:min(len(rest), s.endpoint.MaxSamples)]
		rest = rest[len(samples):]
		if !first {
			if err := b.send(ctx, samples); err != nil {
				return false, err
			}
			continue
		}
		if done, err := s.begin(ctx, b, samples); !done || err != nil {
			return false, err
		}
	}
	return true, s.note(ctx, p, b)
}

// begin sends the first samples of a page, once. It returns false, after a wait, where the receiver
// cannot take them now.
func (s *sender) begin(ctx context.Context, b *batch, samples []Sample) (bool, error) {
	answer := s.endpoint.Client.Send(ctx, samples)
	if !s.writer.settled(ctx, answer) {
		return false, ctx.Err()
	}
	if answer.Verdict == Refused {
		return true, b.cutDown(ctx, samples, answer)
	}
	b.accepted += len(samples)
	return true, nil
}

// note is what the store is to keep of a page that is done.
type note struct {
	dues    []store.Due
	samples int
	at      time.Time // when samples were accepted; zero if none were
}

// note counts what came of the samples of a page and keeps that it is done.
func (s *sender) note(ctx context.Context, p *page, b *batch) error {
	s.unnoted = &note{dues: p.dues, samples: len(p.samples)}
	if b.accepted > 0 {
		s.unnoted.at = s.now()
		s.metrics.succeeded(b.accepted, s.unnoted.at)
	}
	s.lose(p, b)
	return s.keep(ctx)
}

// keep has the store note what is not noted yet. If it cannot, this comes first the next time, since
// what was accepted is not to be sent again.
func (s *sender) keep(ctx context.Context) error {
	n := s.unnoted
	if n == nil {
		return nil
	}
	// It is noted even if the sender is to end now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := s.store.Delivered(ctx, s.endpoint.Key, n.at, n.dues...); err != nil {
		return err
	}
	s.unnoted = nil
	s.pending = max(0, s.pending-int64(n.samples)) // some may have come since they were counted
	s.metrics.pending.Set(float64(s.pending))
	return nil
}

// lose counts what was given up and has it logged, together with what follows soon.
func (s *sender) lose(p *page, b *batch) {
	for _, r := range b.refused {
		s.metrics.failed[r.Reason].Inc()
		s.losses.refuse(r)
	}
	for appID, samples := range p.tooOld {
		s.metrics.failed[MaxAge].Add(float64(samples))
		s.losses.byReason[MaxAge].add(samples, s.endpoint.Accounts[appID])
	}
	switch {
	case len(b.refused)+len(p.tooOld) == 0:
	case s.losses.since.IsZero():
		s.losses.since = s.now()
	case s.now().Sub(s.losses.since) >= logEvery:
		s.logLosses()
	}
}

// sleep waits, and meanwhile shows what becomes pending.
func (s *sender) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	ticker := time.NewTicker(countInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-ticker.C:
			_ = s.recount(ctx) // whoever needs the store next says what is wrong with it
		}
	}
}

// recount counts again if that can lead to another number.
func (s *sender) recount(ctx context.Context) error {
	changed, _, err := s.store.Changed(ctx, s.counted)
	if err != nil || len(changed) == 0 && s.since() == s.countedSince {
		return err
	}
	return s.count(ctx)
}

// count shows how many samples are pending.
func (s *sender) count(ctx context.Context) error {
	since := s.since()
	_, latest, err := s.store.Changed(ctx, s.counted)
	if err != nil {
		return err
	}
	lacking, err := s.store.CountDue(ctx, s.endpoint.Key, since)
	if err != nil {
		return err
	}
	s.counted, s.countedSince = latest, since
	var samples int64
	for appID, days := range lacking {
		if _, ok := s.endpoint.Accounts[appID]; !ok {
			continue
		}
		for api, count := range days {
			samples += count * samplesPerDay(datacube.API(api))
		}
	}
	s.pending = samples
	s.metrics.pending.Set(float64(samples))
	return nil
}
