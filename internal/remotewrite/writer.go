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
	backoff *backoff.ExponentialBackOff
	trouble trouble
	// requests counts those that were accepted or refused. soundAt is the number of the last one by whose answer the
	// endpoint is a receiver that works: it accepted something, or named what is wrong with samples.
	requests, soundAt int
	// proven is false while nothing shows that the endpoint accepts anything.
	proven bool
	// control is a sample that was accepted; nil if none was.
	control *Sample
	// unwritten counts samples since unwrittenLogged, when their number was last logged.
	unwritten       int
	unwrittenLogged time.Time
}

// NewWriter returns a writer; it sends nothing by itself.
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
	// Text is what the receiver answered.
	Text string
}

// Write sends samples, those of each series in the order of their times, in one request, and
// returns those that the receiver refuses: for good, or because it refuses everything. All others are
// accepted, unless the context ends.
func (w *Writer) Write(ctx context.Context, samples []Sample) ([]Refusal, error) {
	b := newBatch(w, samples, max(1, len(samples)))
	for {
		came, err := b.run(ctx)
		switch {
		case err != nil || came == finished:
			return b.refused, err
		case came == paused:
			sleep(ctx, cutPause)
		case came == stuck:
			for _, s := range slices.Concat(b.left, b.doubted) {
				b.giveUp(s.Sample, b.last)
			}
			return b.refused, nil
		}
	}
}

// settle reports whether an answer decides on the samples. If not, it waits as the answer demands.
func (w *Writer) settle(ctx context.Context, answer Answer) bool {
	var wait time.Duration
	switch {
	case answer.Verdict == Accepted || answer.Verdict == Refused:
		w.backoff.Reset()
		w.requests++
		if answer.Verdict == Accepted || answer.OfSamples {
			w.proven, w.soundAt = true, w.requests
			w.logRecovered()
		}
		w.logUnwritten(answer)
		return true
	case ctx.Err() != nil:
		return false
	case answer.Verdict == Later:
		wait = max(w.backoff.NextBackOff(), answer.RetryAfter)
	default:
		wait = unusableWait
	}
	w.wait(ctx, answer, wait)
	return false
}

// works sends a sample that was accepted before once more, and reports whether the receiver still accepts it, or
// refuses it by a text that is about samples. It is undecided after a wait.
func (w *Writer) works(ctx context.Context) (works, decided bool) { //nolint:nonamedreturns // two that need names
	if w.control == nil {
		return false, true
	}
	decided = w.settle(ctx, w.client.Send(ctx, []Sample{*w.control}))
	return decided && w.soundAt == w.requests, decided
}

// refusesAll waits because the receiver refuses everything, answer being the last.
func (w *Writer) refusesAll(ctx context.Context, answer Answer) {
	w.proven = false
	w.wait(ctx, answer, unusableWait)
}

func (w *Writer) wait(ctx context.Context, answer Answer, wait time.Duration) {
	w.logTrouble(answer, wait)
	sleep(ctx, wait)
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
