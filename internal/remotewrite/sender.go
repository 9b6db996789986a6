// Package remotewrite sends the history in the store to remote write endpoints of Prometheus, each hour and
// day with its own time. The store keeps track of what each endpoint has.
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
	// pollInterval is how often a sender checks the store for something new. It is shorter than the time for which a slot
	// that was renewed is owned, so that none is overlooked, however often it is lost and owned again.
	pollInterval = 5 * time.Second
	// saveTimeout limits saving what was delivered when the sender has to stop.
	saveTimeout = 2 * time.Second
	// maxAccounts limits the accounts for which the store is read at once.
	maxAccounts = 500
)

// Store holds the history and what each endpoint has of it. store.Store implements it.
type Store interface {
	// Changed returns the accounts for which something was saved after a mark, and the latest mark.
	Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error)
	// Undelivered returns the app ids of the accounts for which the endpoint may lack something.
	Undelivered(ctx context.Context, endpoint string) ([]string, error)
	// ReadPending returns what the endpoint lacks of some accounts, up to about limit samples.
	ReadPending(ctx context.Context, endpoint string, since datacube.Date, limit int, appIDs ...string) ([]store.Pending, error)
	// CountPending counts the days that the endpoint lacks.
	CountPending(ctx context.Context, endpoint string, since datacube.Date) (map[string][datacube.APIs]int64, error)
	// MarkDelivered records that the endpoint lacks nothing of what ReadPending returned.
	MarkDelivered(ctx context.Context, endpoint string, at time.Time, accounts ...store.Pending) error
	// LastDelivery returns when the endpoint last accepted samples; zero if never.
	LastDelivery(ctx context.Context, endpoint string) (time.Time, error)
}

// Endpoint is a receiver and the samples that it must have.
type Endpoint struct {
	// Key identifies the endpoint in the store. It stays the same over restarts and holds no secret.
	Key string
	// Label is the endpoint's name in metrics and the log. It holds no secret.
	Label string
	// Client sends to the receiver. It must be the same pointer as long as its options do not change.
	Client *Client
	// MaxSamples is the maximum number of samples in a request.
	MaxSamples int
	// MaxAge is how old a day may be to be sent, by its end.
	MaxAge time.Duration
	// ExternalLabels are added to all series. The same labels in another order count as a change.
	ExternalLabels []Label
	// Accounts holds the value of the label "account" by app id. Other accounts are not sent.
	Accounts map[string]string
}

// equal reports whether the sender of one endpoint can go on as that of the other.
func (e *Endpoint) equal(other *Endpoint) bool {
	return e.Key == other.Key && e.Label == other.Label && e.Client == other.Client && e.MaxSamples == other.MaxSamples &&
		e.MaxAge == other.MaxAge && slices.Equal(e.ExternalLabels, other.ExternalLabels) && maps.Equal(e.Accounts, other.Accounts)
}

// sender keeps one endpoint up to date.
type sender struct {
	endpoint   Endpoint
	store      Store
	metrics    *endpointMetrics
	logger     log.Logger
	now        func() time.Time
	trustedNow func() time.Time
	sharing    Sharing
	// looked are the epochs of the slots that have been owned since it was last found out what the endpoint lacks.
	looked  store.Epochs
	writer  *Writer
	backoff *backoff.ExponentialBackOff // for failures of the store only
	losses  losses
	unsaved *delivered // what the store could not save yet
	pending *pending
	// held is a delivery that cannot go on at once, perhaps for a reason of its own; nil if there is none.
	held *delivery
}

func newSender(e Endpoint, o Options) *sender {
	s := &sender{
		endpoint:   e,
		store:      o.Store,
		metrics:    o.Metrics.of(e.Label),
		logger:     log.With(o.Logger, "endpoint", e.Label),
		now:        o.Now,
		trustedNow: o.TrustedNow,
		sharing:    o.Sharing,
		backoff:    newBackoff(),
	}
	if s.trustedNow == nil {
		s.trustedNow = o.Now
	}
	s.pending = &pending{endpoint: &s.endpoint, store: o.Store, sharing: o.Sharing, since: s.since, show: s.metrics.setPending}
	s.writer = NewWriter(e.Client, s.logger, o.Now)
	return s
}

// run sends until the context ends, and keeps the number of pending samples up to date.
func (s *sender) run(ctx context.Context) {
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		s.pending.run(ctx)
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
	behind := true // it is unknown what the endpoint has
	for ctx.Err() == nil {
		behind = s.gained() || behind
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
			level.Error(s.logger).Log("msg", "remote write cannot use the store", "err", err, "next", stamp(s.now().Add(wait)))
			sleep(ctx, wait)
		default:
			s.backoff.Reset()
			sleep(ctx, pollInterval)
		}
	}
}

// gained reports whether slots were gained: their accounts may have days that the former owner has not sent.
func (s *sender) gained() bool {
	former := s.looked
	s.looked = s.sharing.Owned()
	for slot, epoch := range s.looked {
		if epoch != 0 && epoch != former[slot] {
			return true
		}
	}
	return false
}

// stillOwned returns the slots whose accounts may be sent. Those that were lost are not among them even if they are gained
// again, until gained has noticed.
func (s *sender) stillOwned() *store.Epochs {
	for slot, epoch := range s.sharing.Owned() {
		if epoch != s.looked[slot] {
			s.looked[slot] = 0
		}
	}
	return &s.looked
}

// since returns the first day that is not too old to be sent. Older ones are given up, so it uses the earlier of two clocks,
// one of which may be wrong.
func (s *sender) since() datacube.Date {
	now := s.now()
	if trusted := s.trustedNow(); trusted.Before(now) {
		now = trusted
	}
	return FirstDay(now, s.endpoint.MaxAge)
}

// FirstDay returns the first day that is not older than maxAge. A day is as old as its last sample, that of its end.
func FirstDay(now time.Time, maxAge time.Duration) datacube.Date {
	oldest := now.Add(-maxAge)
	date := datacube.DateOf(oldest)
	if date.Start().Equal(oldest) {
		return date - 1
	}
	return date
}

// catchUp sends everything that the endpoint lacks. It returns errors of the store, or the context's.
func (s *sender) catchUp(ctx context.Context) error {
	defer s.logLosses()
	s.held = nil
	if err := s.saveDelivered(ctx); err != nil {
		return err
	}
	queue, err := s.undelivered(ctx)
	for err == nil && (len(queue) > 0 || s.held != nil) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.held == nil:
			queue, err = s.sendNext(ctx, queue)
		case s.held.since != s.since() || !s.owns(s.held.accounts):
			// Days that have become too old in the meantime are left out when it is read again, and so are those of
			// slots that were lost.
			s.held = nil
			queue, err = s.undelivered(ctx)
		case len(queue) > 0 && s.now().Before(s.held.next):
			queue, err = s.sendNext(ctx, queue)
		default:
			queue, err = s.resume(ctx, queue)
		}
	}
	if err != nil {
		return err
	}
	return s.pending.count(ctx)
}

// owns reports whether this process may send the days of all of the accounts.
func (s *sender) owns(accounts []store.Pending) bool {
	owned := s.stillOwned()
	return !slices.ContainsFunc(accounts, func(p store.Pending) bool { return owned[store.SlotOf(p.AppID)] == 0 })
}

// dropOthers removes the accounts in slots of other processes from a queue.
func (s *sender) dropOthers(queue []string) []string {
	owned := s.stillOwned()
	return slices.DeleteFunc(queue, func(appID string) bool { return owned[store.SlotOf(appID)] == 0 })
}

// undelivered returns the accounts for which the endpoint may lack something, except those of the held delivery.
func (s *sender) undelivered(ctx context.Context) ([]string, error) {
	appIDs, err := s.store.Undelivered(ctx, s.endpoint.Key)
	return slices.DeleteFunc(s.dropOthers(appIDs), func(appID string) bool {
		_, ok := s.endpoint.Accounts[appID]
		return !ok || s.held != nil && slices.ContainsFunc(s.held.accounts, func(p store.Pending) bool { return p.AppID == appID })
	}), err
}

// delivery is a batch that is being sent.
type delivery struct {
	*batch
	bisection *bisection
	since     datacube.Date // days before it were left out
	next      time.Time     // when the next request should follow
}

// sendNext sends the batch of the first accounts in the queue, and returns the rest of the queue. A batch that
// cannot go on at once is held: others do not wait for it, and show whether the batch or the endpoint is at fault.
func (s *sender) sendNext(ctx context.Context, queue []string) ([]string, error) {
	if queue = s.dropOthers(queue); len(queue) == 0 {
		return nil, nil
	}
	since := s.since()
	accounts, err := s.store.ReadPending(ctx, s.endpoint.Key, since, s.endpoint.MaxSamples, queue[:min(len(queue), maxAccounts)]...)
	if err != nil {
		return queue, err
	}
	b := s.endpoint.newBatch(accounts)
	d := &delivery{batch: b, bisection: newBisection(s.writer, b.samples, s.endpoint.MaxSamples), since: since}
	proven := s.writer.proven
	state, err := d.bisection.run(ctx)
	for err == nil && state == paused && s.held != nil { // only one can be held
		sleep(ctx, bisectPause)
		state, err = d.bisection.run(ctx)
	}
	if err != nil || state == waited {
		return queue, err // after a wait it is read again, because time has passed
	}
	rest := queue[len(accounts):]
	switch {
	case state == finished:
		return d.remaining(rest), s.complete(ctx, d)
	case s.held == nil:
		return rest, s.hold(ctx, d, state, proven && len(rest) > 0)
	}
	// The receiver refuses two whole batches, so the endpoint is at fault.
	for i := range accounts {
		rest = append(rest, accounts[i].AppID)
	}
	s.writer.waitBlocked(ctx, d.bisection.last)
	return rest, nil
}

// resume sends the next request of the held delivery when it is due, and returns the rest of the queue.
func (s *sender) resume(ctx context.Context, queue []string) ([]string, error) {
	d := s.held
	sleep(ctx, d.next.Sub(s.now()))
	state, err := d.bisection.run(ctx)
	if err != nil {
		return queue, err
	}
	if state == finished {
		s.held = nil
		return d.remaining(queue), s.complete(ctx, d)
	}
	if len(queue) == 0 {
		// Days that were saved in the meantime do not wait for it either.
		if queue, err = s.undelivered(ctx); err != nil {
			return queue, err
		}
	}
	return queue, s.hold(ctx, d, state, len(queue) > 0)
}

// hold holds a delivery that cannot go on at once. While there are others to try, it is not reported yet that
// the endpoint refuses everything.
func (s *sender) hold(ctx context.Context, d *delivery, state progress, others bool) error {
	s.held = d
	switch {
	case state == paused:
		d.next = s.now().Add(bisectPause)
	case others:
		s.writer.proven = false
		d.next = s.now().Add(unusableWait)
	default:
		s.writer.waitBlocked(ctx, d.bisection.last)
		d.next = s.now()
	}
	return ctx.Err()
}

// remaining returns the queue with the account of which the delivery does not hold everything.
func (d *delivery) remaining(queue []string) []string {
	if last := len(d.accounts) - 1; last >= 0 && d.accounts[last].More {
		return append([]string{d.accounts[last].AppID}, queue...)
	}
	return queue
}

// delivered is what the store must save of a completed delivery.
type delivered struct {
	accounts []store.Pending
	samples  int
	at       time.Time // when samples were accepted; zero if none were
}

// complete counts the samples of a delivery and saves that the endpoint has them.
func (s *sender) complete(ctx context.Context, d *delivery) error {
	s.unsaved = &delivered{accounts: d.accounts, samples: len(d.samples)}
	if d.bisection.accepted > 0 {
		s.unsaved.at = s.now()
		s.metrics.succeeded(d.bisection.accepted, s.unsaved.at)
	}
	s.countLosses(d)
	return s.saveDelivered(ctx)
}

// saveDelivered saves what is not saved yet. If the store cannot, it is tried again before anything is
// sent, since accepted samples must not be sent again.
func (s *sender) saveDelivered(ctx context.Context) error {
	d := s.unsaved
	if d == nil {
		return nil
	}
	// It is saved even if the sender has to stop now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	err := s.pending.subtract(d.samples, func() error { return s.store.MarkDelivered(ctx, s.endpoint.Key, d.at, d.accounts...) })
	if err != nil {
		return err
	}
	s.unsaved = nil
	return nil
}

// countLosses counts the samples that were given up. They are logged together with those that follow soon.
func (s *sender) countLosses(d *delivery) {
	for _, r := range d.bisection.refused {
		s.metrics.failed[r.Reason].Inc()
		s.losses.refuse(r)
	}
	for appID, samples := range d.tooOld {
		s.metrics.failed[MaxAge].Add(float64(samples))
		s.losses.byReason[MaxAge].add(samples, s.endpoint.Accounts[appID])
	}
	switch {
	case len(d.bisection.refused)+len(d.tooOld) == 0:
	case s.losses.since.IsZero():
		s.losses.since = s.now()
	case s.now().Sub(s.losses.since) >= logInterval:
		s.logLosses()
	}
}
