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
	// ReadPending returns what the endpoint lacks of some accounts, as far as it holds about limit samples.
	ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]store.Pending, error)
	// CountPending counts the days that the endpoint lacks.
	CountPending(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error)
	// MarkDelivered notes that the endpoint needs nothing more of what ReadPending returned.
	MarkDelivered(ctx context.Context, endpoint string, at time.Time, dues ...store.Pending) error
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
	believed func() time.Time
	writer   *Writer
	backoff  *backoff.ExponentialBackOff // for faults of the store alone
	losses   losses
	unnoted  *note // what the store could not note yet
	pending  *pending
	// held is a page that the receiver refuses whole, and may for a reason of its own; nil if there is none.
	held *job
}

func newSender(e Endpoint, o Options) *sender {
	s := &sender{
		endpoint: e,
		store:    o.Store,
		metrics:  o.Metrics.of(e.Label),
		logger:   log.With(o.Logger, "endpoint", e.Label),
		now:      o.Now,
		believed: o.Believed,
		backoff:  newBackoff(),
	}
	if s.believed == nil {
		s.believed = o.Now
	}
	s.pending = &pending{endpoint: &s.endpoint, store: o.Store, since: s.since, show: s.metrics.pend}
	s.writer = NewWriter(e.Client, s.logger, o.Now)
	return s
}

// run sends until the context ends, and meanwhile shows what is pending.
func (s *sender) run(ctx context.Context) {
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		s.pending.follow(ctx)
	}()
	s.send(ctx)
	<-counted
}

func (s *sender) send(ctx context.Context) {
	if at, err := s.store.LastDelivery(ctx, s.endpoint.Key); err == nil && !at.IsZero() {
		s.metrics.lastSuccess.Set(float64(at.Unix()))
		s.writer.proven = true
	}
	var seen store.Mark
	behind := true // nothing is known of what the endpoint has
	for ctx.Err() == nil {
		_, latest, err := s.store.Changed(ctx, seen)
		if err == nil && (behind || latest != seen) {
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
			sleep(ctx, wait)
		default:
			s.backoff.Reset()
			sleep(ctx, pollInterval)
		}
	}
}

// since returns the first day that is not too old to be sent. What is older is given up, so it goes by the
// time that is believed rather than by a clock that may be wrong.
func (s *sender) since() datacube.Date { return FirstDay(s.believed(), s.endpoint.MaxAge) }

// FirstDay returns the first day that is no older than maxAge. A day is as old as its last sample, that of its end.
func FirstDay(now time.Time, maxAge time.Duration) datacube.Date {
	oldest := now.Add(-maxAge)
	date := datacube.DateOf(oldest)
	if date.Start().Equal(oldest) {
		return date - 1
	}
	return date
}

// catchUp sends all that the endpoint lacks. An error is one of the store, or the context's end.
func (s *sender) catchUp(ctx context.Context) error {
	defer s.logLosses()
	s.held = nil
	if err := s.keep(ctx); err != nil {
		return err
	}
	queue, err := s.lacking(ctx)
	for err == nil && (len(queue) > 0 || s.held != nil) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.held == nil:
			queue, err = s.next(ctx, queue)
		case s.held.since != s.since():
			// What has become too old meanwhile is left out when it is read again.
			s.held = nil
			queue, err = s.lacking(ctx)
		case len(queue) > 0 && s.now().Before(s.held.next):
			queue, err = s.next(ctx, queue)
		default:
			queue, err = s.goOn(ctx, queue)
		}
	}
	if err != nil {
		return err
	}
	return s.pending.count(ctx)
}

// lacking returns the accounts of which the endpoint may not have all, without those of the page that is held.
func (s *sender) lacking(ctx context.Context) ([]string, error) {
	appIDs, err := s.store.Undelivered(ctx, s.endpoint.Key)
	return slices.DeleteFunc(appIDs, func(appID string) bool {
		_, ok := s.endpoint.Accounts[appID]
		return !ok || s.held != nil && slices.ContainsFunc(s.held.page.dues, func(d store.Pending) bool { return d.AppID == appID })
	}), err
}

// job is a page on its way.
type job struct {
	page  *page
	batch *batch
	since datacube.Date // days before it were left out
	next  time.Time     // when the next request is to follow
}

// next sends the page of the first accounts of the queue, and returns the queue that is left. A page that cannot go on at
// once is held, so that others do not wait for it, and show whether it is the page or the endpoint that is at fault.
func (s *sender) next(ctx context.Context, queue []string) ([]string, error) {
	since := s.since()
	dues, err := s.store.ReadPending(ctx, s.endpoint.Key, since, s.endpoint.MaxSamples, queue[:min(len(queue), readAtOnce)]...)
	if err != nil {
		return queue, err
	}
	p := s.endpoint.page(dues)
	j := &job{page: p, batch: newBatch(s.writer, p.samples, s.endpoint.MaxSamples), since: since}
	proven := s.writer.proven
	came, err := j.batch.run(ctx)
	for err == nil && came == paused && s.held != nil { // there is no place for a second one
		sleep(ctx, cutPause)
		came, err = j.batch.run(ctx)
	}
	if err != nil || came == waited {
		return queue, err // after a wait it is read again, because time has passed
	}
	rest := queue[len(dues):]
	switch {
	case came == finished:
		return j.remaining(rest), s.note(ctx, j)
	case s.held == nil:
		return rest, s.hold(ctx, j, came, proven && len(rest) > 0)
	}
	// The receiver refuses two pages whole, so it is the endpoint.
	for i := range dues {
		rest = append(rest, dues[i].AppID)
	}
	s.writer.refusesAll(ctx, j.batch.last)
	return rest, nil
}

// goOn sends the next request of the page that is held once its time has come, and returns the queue that is left.
func (s *sender) goOn(ctx context.Context, queue []string) ([]string, error) {
	j := s.held
	sleep(ctx, j.next.Sub(s.now()))
	came, err := j.batch.run(ctx)
	if err != nil {
		return queue, err
	}
	if came == finished {
		s.held = nil
		return j.remaining(queue), s.note(ctx, j)
	}
	if len(queue) == 0 {
		// What has become known meanwhile does not wait for it either.
		if queue, err = s.lacking(ctx); err != nil {
			return queue, err
		}
	}
	return queue, s.hold(ctx, j, came, len(queue) > 0)
}

// hold keeps a page that cannot go on at once. Where others can be tried, it is not said yet that the endpoint refuses everything.
func (s *sender) hold(ctx context.Context, j *job, came progress, others bool) error {
	s.held = j
	switch {
	case came == paused:
		j.next = s.now().Add(cutPause)
	case others:
		s.writer.proven = false
		j.next = s.now().Add(unusableWait)
	default:
		s.writer.refusesAll(ctx, j.batch.last)
		j.next = s.now()
	}
	return ctx.Err()
}

// remaining returns the queue with the account of which the job's page does not hold all.
func (j *job) remaining(queue []string) []string {
	if last := len(j.page.dues) - 1; last >= 0 && j.page.dues[last].More {
		return append([]string{j.page.dues[last].AppID}, queue...)
	}
	return queue
}

// note is what the store is to keep of a page that is done.
type note struct {
	dues    []store.Pending
	samples int
	at      time.Time // when samples were accepted; zero if none were
}

// note counts what came of the samples of a page and keeps that it is done.
func (s *sender) note(ctx context.Context, j *job) error {
	s.unnoted = &note{dues: j.page.dues, samples: len(j.page.samples)}
	if j.batch.accepted > 0 {
		s.unnoted.at = s.now()
		s.metrics.succeeded(j.batch.accepted, s.unnoted.at)
	}
	s.lose(j.page, j.batch)
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
	err := s.pending.less(n.samples, func() error { return s.store.MarkDelivered(ctx, s.endpoint.Key, n.at, n.dues...) })
	if err != nil {
		return err
	}
	s.unnoted = nil
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
