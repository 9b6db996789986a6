package remotewrite

import (
	"context"

	"github.com/go-kit/log/level"
)

const (
	// doubtAfter is how many times in a row a receiver may fail before the samples are suspected.
	doubtAfter = 10
	// proofs is how often samples must make a receiver fail that works at the same time, to be at fault.
	proofs = 3
	// probes is how many samples are tried to find one with which the receiver works.
	probes = 16
)

// A receiver that answers 5xx is taken for one that will work again later. Some, however, stumble over a
// sample and say no more than "internal server error": they would be sent the same for ever.

// doubtful reports whether it is time to ask whether the receiver or the samples are at fault.
func (w *Writer) doubtful(answer Answer) bool {
	return answer.Verdict == Later && answer.Status >= 500 && w.failures > 0 && w.failures%doubtAfter == 0
}

// isolate asks whether a receiver that keeps failing with these samples works with another one. If
// so, the samples are cut down like a batch that is refused, and those that make it fail are given up.
func (w *Writer) isolate(ctx context.Context, b *batch, samples []Sample, answer Answer) (bool, error) {
	if w.good == nil {
		w.search(ctx, samples)
	}
	if !w.works(ctx) {
		return false, ctx.Err()
	}
	level.Warn(w.logger).Log("msg", "the receiver fails with some samples and works with others: those at fault are searched for", "answer", answer.Text)
	b.post = w.prove
	return true, b.cutDown(ctx, samples, Answer{Verdict: Refused, Reason: Rejected, Text: answer.Text, Status: answer.Status})
}

// works sends a sample that the receiver has accepted before.
func (w *Writer) works(ctx context.Context) bool {
	if w.good == nil {
		return false
	}
	answer := w.client.Send(ctx, w.good)
	// That it is out of order now says the same.
	return answer.Verdict == Accepted || answer.Verdict == Refused
}

// search looks among the samples for one that is accepted.
func (w *Writer) search(ctx context.Context, samples []Sample) {
	step := max(1, len(samples)/probes)
	for i := 0; i < len(samples) && w.good == nil && ctx.Err() == nil; i += step {
		w.send(ctx, samples[i:i+1])
	}
}

// prove sends samples until they are accepted or refused, where a failure counts as refusal once
// it has come back while the receiver worked.
func (w *Writer) prove(ctx context.Context, samples []Sample) (Answer, error) {
	for failed := 0; ; {
		answer := w.send(ctx, samples)
		if answer.Verdict == Later && answer.Status >= 500 && ctx.Err() == nil && w.works(ctx) {
			if failed++; failed == proofs {
				answer.Verdict, answer.Reason = Refused, Rejected
				return answer, nil
			}
			w.sleep(ctx, minBackoff)
			continue
		}
		failed = 0
		if w.settled(ctx, answer) {
			return answer, nil
		}
		if err := ctx.Err(); err != nil {
			return answer, err
		}
	}
}
