package remotewrite

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

const (
	// minBackoff and maxBackoff bound the wait after a fault that may pass.
	minBackoff = 500 * time.Millisecond
	maxBackoff = time.Minute
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = time.Hour
	// unusableWait is the wait after an answer that only a change of settings makes better.
	unusableWait = 5 * time.Minute
)

// Writer brings samples to one receiver: it waits as the receiver demands, tries again without
// end, and cuts down what is refused. Its methods are called from one goroutine at a time.
type Writer struct {
	client  *Client
	logger  log.Logger
	now     func() time.Time
	sleep   func(ctx context.Context, wait time.Duration)
	backoff *backoff.ExponentialBackOff
	trouble trouble
	// unwritten counts samples since unwrittenLogged, when their number was last logged.
	unwritten       int
	unwrittenLogged time.Time
}

// NewWriter returns a writer; it sends nothing by itself.
func NewWriter(client *Client, logger log.Logger, now func() time.Time) *Writer {
	return &Writer{client: client, logger: logger, now: now, sleep: sleep, backoff: newBackoff()}
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
	// Text is what the receiver answered.
	Text string
}

// Write sends samples, those of each series in the order of their times, in one request, and
// returns those that the receiver refuses for good. All others are accepted, unless the context ends.
func (w *Writer) Write(ctx context.Context, samples []Sample) ([]Refusal, error) {
	b := &batch{writer: w}
	err := b.send(ctx, samples)
	return b.refused, err
}

// insist sends samples until they are accepted or refused, or the context ends.
func (w *Writer) insist(ctx context.Context, samples []Sample) (Answer, error) {
	for {
		answer := w.client.Send(ctx, samples)
		if w.settled(ctx, answer) {
			return answer, nil
		}
		if err := ctx.Err(); err != nil {
			return answer, err
		}
	}
}

// settled reports whether an answer decides on the samples. If not, it waits as the answer demands.
func (w *Writer) settled(ctx context.Context, answer Answer) bool {
	var wait time.Duration
	switch {
	case answer.Verdict == Accepted || answer.Verdict == Refused:
		w.backoff.Reset()
		w.logRecovered()
		w.logUnwritten(answer)
		return true
	case ctx.Err() != nil:
		return false
	case answer.Verdict == Unusable:
		wait = unusableWait
	default:
		wait = max(w.backoff.NextBackOff(), answer.RetryAfter)
	}
	w.logTrouble(answer, wait)
	w.sleep(ctx, wait)
	return false
}

// repeatAfter is how long the same trouble is not logged again.
const repeatAfter = time.Hour

// trouble is what keeps an endpoint from being sent to.
type trouble struct {
	since, logged time.Time
	verdict       Verdict
}

// logTrouble logs what is wrong when it begins or becomes another kind of fault, and once an hour.
func (w *Writer) logTrouble(answer Answer, wait time.Duration) {
	now := w.now()
	t := &w.trouble
	if t.since.IsZero() {
		t.since = now
	} else if answer.Verdict == t.verdict && now.Sub(t.logged) < repeatAfter {
		level.Debug(w.logger).Log("msg", "remote write still waits", "answer", answer.Text, "next", wait)
		return
	}
	t.logged, t.verdict = now, answer.Verdict
	line := level.Warn(w.logger)
	if answer.Verdict != Later {
		line = level.Error(w.logger)
	}
	line.Log("msg", "remote write does not get through", "answer", answer.Text, "to_do", answer.advice()+"; samples wait in the store", "next", wait, "since", t.since.UTC().Format(time.RFC3339))
}

func (w *Writer) logRecovered() {
	if w.trouble.since.IsZero() {
		return
	}
	level.Info(w.logger).Log("msg", "remote write gets through again", "after", w.now().Sub(w.trouble.since).Round(time.Second))
	w.trouble = trouble{}
}

// logUnwritten logs, at once and then once an hour at the most, that a receiver does not write all that
// it accepts. The specification forbids that, so there is no telling which samples these are, and
// nothing to send again.
func (w *Writer) logUnwritten(answer Answer) {
	w.unwritten += answer.Unwritten
	now := w.now()
	if w.unwritten == 0 || now.Sub(w.unwrittenLogged) < repeatAfter {
		return
	}
	level.Warn(w.logger).Log("msg", "the receiver accepts samples and says that it did not write them", "samples", w.unwritten,
		"to_do", "see what the receiver logs; they count as accepted and are not sent again")
	w.unwritten, w.unwrittenLogged = 0, now
}
