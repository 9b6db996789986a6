package remotewrite

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

const (
	// minBackoff and maxBackoff limit the wait after a temporary failure.
	minBackoff = 500 * time.Millisecond
	maxBackoff = time.Minute
	// maxRetryAfter limits the wait that a receiver may ask for.
	maxRetryAfter = time.Hour
	// unusableWait is the wait after a failure that only a change of settings can resolve.
	unusableWait = 5 * time.Minute
)

// Writer sends samples to one receiver. It waits as the receiver demands, retries without limit, and
// splits requests that are refused. It is not safe for concurrent use.
type Writer struct {
	client  *Client
	logger  log.Logger
	now     func() time.Time
	backoff *backoff.ExponentialBackOff
	problem problem
	// requests counts the requests that were accepted or refused. workedAt is the number of the last one whose
	// response shows that the receiver works: it accepted something, or named what is wrong with samples.
	requests, workedAt int
	// proven is false while nothing shows that the endpoint accepts anything.
	proven bool
	// control is the latest sample that was accepted; nil if none was.
	control *Sample
	// unwritten counts samples since unwrittenLogged, when their number was last logged.
	unwritten       int
	unwrittenLogged time.Time
}

// NewWriter returns a Writer. It sends nothing by itself.
func NewWriter(client *Client, logger log.Logger, now func() time.Time) *Writer {
	return &Writer{client: client, logger: logger, now: now, backoff: newBackoff()}
}

func newBackoff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: minBackoff, MaxInterval: maxBackoff, Multiplier: 2, RandomizationFactor: 0.1,
	}
	b.Reset()
	return b
}

// sleep waits until the time is over or the context ends.
func sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Refusal is a sample that was given up.
type Refusal struct {
	Sample Sample
	Reason Reason
	// Text is the receiver's response.
	Text string
}

// Write sends samples, those of each series in the order of their times, in one request. It returns those
// that the receiver refuses, because of the samples or because it refuses everything. All others are
// accepted, unless the context ends.
func (w *Writer) Write(ctx context.Context, samples []Sample) ([]Refusal, error) {
	b := newBisection(w, samples, max(1, len(samples)))
	for {
		state, err := b.run(ctx)
		switch {
		case err != nil || state == finished:
			return b.refused, err
		case state == paused:
			sleep(ctx, bisectPause)
		case state == blocked:
			for _, s := range slices.Concat(b.left, b.deferred) {
				b.giveUp(s.Sample, b.last)
			}
			return b.refused, nil
		}
	}
}

// decides reports whether a result accepts or refuses the samples. If not, it waits as the result demands.
func (w *Writer) decides(ctx context.Context, result Result) bool {
	var wait time.Duration
	switch {
	case result.Outcome == Accepted || result.Outcome == Refused:
		w.backoff.Reset()
		w.requests++
		if result.Outcome == Accepted || result.OfSamples {
			w.proven, w.workedAt = true, w.requests
			w.logRecovered()
		}
		w.logUnwritten(result)
		return true
	case ctx.Err() != nil:
		return false
	case result.Outcome == Later:
		wait = max(w.backoff.NextBackOff(), result.RetryAfter)
	default:
		wait = unusableWait
	}
	w.wait(ctx, result, wait)
	return false
}

// works sends a sample again that was accepted before, and reports whether the receiver still accepts it or
// refuses it with a text that is about samples. That is unknown after a wait.
func (w *Writer) works(ctx context.Context) (works, known bool) { //nolint:nonamedreturns // two booleans need names
	if w.control == nil {
		return false, true
	}
	known = w.decides(ctx, w.client.Send(ctx, []Sample{*w.control}))
	return known && w.workedAt == w.requests, known
}

// waitBlocked waits because the receiver refuses everything. result is the last one.
func (w *Writer) waitBlocked(ctx context.Context, result Result) {
	w.proven = false
	w.wait(ctx, result, unusableWait)
}

func (w *Writer) wait(ctx context.Context, result Result, wait time.Duration) {
	w.logProblem(result, wait)
	sleep(ctx, wait)
}

// repeatAfter is how long the same problem is not logged again.
const repeatAfter = time.Hour

// problem is what prevents samples from being sent to an endpoint; the zero value means that nothing does.
type problem struct {
	since, logged time.Time
	outcome       Outcome
}

// stamp returns a time as it is logged: in UTC, like the time of the line.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// logProblem logs a problem when it begins or changes its kind, and then once an hour.
func (w *Writer) logProblem(result Result, wait time.Duration) {
	now := w.now()
	next := stamp(now.Add(wait))
	p := &w.problem
	if p.since.IsZero() {
		p.since = now
	} else if result.Outcome == p.outcome && now.Sub(p.logged) < repeatAfter {
		level.Debug(w.logger).Log("msg", "remote write is still failing", "response", result.Text, "next", next)
		return
	}
	p.logged, p.outcome = now, result.Outcome
	line := level.Warn(w.logger)
	if result.Outcome != Later {
		line = level.Error(w.logger)
	}
	line.Log("msg", "remote write is failing", "response", result.Text, "advice", result.advice().String()+"; samples wait in the store",
		"next", next, "failing_since", stamp(p.since))
}

func (w *Writer) logRecovered() {
	if w.problem.since.IsZero() {
		return
	}
	level.Info(w.logger).Log("msg", "remote write has recovered", "after", w.now().Sub(w.problem.since).Round(time.Second))
	w.problem = problem{}
}

// logUnwritten logs, at once and then at most once an hour, that a receiver does not write all samples that it
// accepts. The specification forbids that, so it is unknown which samples these are, and none are sent again.
func (w *Writer) logUnwritten(result Result) {
	w.unwritten += result.Unwritten
	now := w.now()
	if w.unwritten == 0 || now.Sub(w.unwrittenLogged) < repeatAfter {
		return
	}
	level.Warn(w.logger).Log("msg", "the receiver accepted samples but reports that it did not write them", "samples", w.unwritten,
		"advice", "see the receiver's log; the samples count as accepted and are not sent again")
	w.unwritten, w.unwrittenLogged = 0, now
}
