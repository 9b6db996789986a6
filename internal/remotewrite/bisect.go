package remotewrite

import (
	"cmp"
	"context"
	"math/bits"
	"net/http"
	"slices"
	"time"
)

// bisectPause is the pause between requests once a bisection has taken as many as one sample at fault needs.
const bisectPause = 5 * time.Second

// bisection sends samples. If the receiver refuses a request, it sends smaller ones until the samples at fault
// are found.
//
// A sample is given up only if a request with it alone is refused, and either with a text that known receivers use
// for samples, or while the receiver accepts others: before that request, since the sample was last refused, and
// after it, within a few requests. If nothing else is accepted, one that was accepted before is sent again to find
// out. If that is refused as well, the endpoint is at fault rather than a sample, and everything is kept. Samples
// older than one of the same series that was too old need no request, since receivers compare times.
type bisection struct {
	writer   *Writer
	accepted int
	refused  []Refusal

	left []item // still to be sent, in the order of their times
	// candidates were refused alone and are given up once something else is accepted.
	candidates []candidate
	// deferred were refused alone and are kept: they are sent again once nothing else is left.
	deferred []item
	size     int // samples in the next request
	maxSize  int // samples in any request
	// faulty is the number of samples at the front of left, or at its end, of which at least one is known to be
	// at fault; 0 if nothing is known.
	faulty int
	// newest is true while the latest samples are sent first: the latest that is too old decides about those
	// before it. Otherwise the oldest are sent first, as a receiver may require.
	newest bool

	decided bool // the receiver accepted or refused a request
	active  bool // a request was refused, and its samples are not all decided yet
	from    int  // how many samples that request had
	quick   int  // requests that may still follow without a pause
	last    Result
}

// item is a sample and the number of the last refused request that had it; 0 if there was none.
type item struct {
	Sample
	refusedAt int
}

// candidate is a sample that was refused alone, and the result.
type candidate struct {
	item
	result Result
}

// progress is the state of a bisection.
type progress uint8

const (
	// finished means that every sample is accepted or given up.
	finished progress = iota
	// waited means that the receiver could not accept anything yet and that time has passed.
	waited
	// paused means that the next request must follow after bisectPause.
	paused
	// blocked means that the receiver refuses everything.
	blocked
)

// newBisection returns a bisection that sends requests of at most maxSize samples.
func newBisection(w *Writer, samples []Sample, maxSize int) *bisection {
	b := &bisection{writer: w, maxSize: maxSize, size: maxSize, left: make([]item, len(samples))}
	for i, s := range samples {
		b.left[i].Sample = s
	}
	return b
}

// run sends until it is finished, or until the next request must wait. The first request of a call is sent in
// any case, unless the context has ended.
func (b *bisection) run(ctx context.Context) (progress, error) {
	for first := true; len(b.left)+len(b.candidates)+len(b.deferred) > 0; first = false {
		if err := ctx.Err(); err != nil {
			return waited, err
		}
		switch {
		case first:
		case b.exhausted(), len(b.left) == 0 && b.writer.requests > b.writer.workedAt:
			works, known := b.writer.works(ctx)
			if !known {
				continue // it has waited
			}
			if !works {
				b.keepCandidates()
				return blocked, nil
			}
			if b.giveUpCandidates(); len(b.left)+len(b.deferred) == 0 {
				continue
			}
		case b.active && b.quick <= 0:
			return paused, nil
		}
		if b.active {
			b.quick--
		}
		if done := b.send(ctx); !done && !b.decided {
			return waited, ctx.Err()
		}
	}
	return finished, nil
}

// exhausted reports whether so many requests in a row were refused with unspecific texts that the endpoint
// must be taken to be at fault: one is enough if it never accepted anything.
func (b *bisection) exhausted() bool {
	if !b.active {
		return false
	}
	w := b.writer
	failed := w.requests - w.workedAt
	if w.proven || b.last.Status == http.StatusRequestEntityTooLarge {
		return failed > allowance(b.from)
	}
	return failed > 0
}

// allowance is how many requests it takes to find one sample at fault.
func allowance(samples int) int { return 2 * bits.Len(uint(max(samples, 1)-1)) }

// send sends one request. It returns false, after a wait, if the receiver neither accepted nor refused it.
func (b *bisection) send(ctx context.Context) bool {
	if len(b.left) == 0 {
		b.left, b.deferred = b.deferred, nil
		slices.SortStableFunc(b.left, func(a, c item) int { return cmp.Compare(a.Time, c.Time) })
		b.size, b.faulty = 1, 0
	}
	part := b.part(b.size)
	samples := make([]Sample, len(part))
	for i := range part {
		samples[i] = part[i].Sample
	}
	result := b.writer.client.Send(ctx, samples)
	if !b.writer.decides(ctx, result) {
		return false
	}
	b.decided = true
	if b.writer.workedAt == b.writer.requests {
		b.giveUpCandidates()
	}
	switch {
	case result.Outcome == Accepted:
		b.accept(len(part))
	case len(part) > 1:
		b.halve(part, result)
	default:
		b.refuse(part[0], result)
	}
	return true
}

// part returns the next n samples. It shares its memory with left.
func (b *bisection) part(n int) []item {
	n = min(n, len(b.left))
	if b.newest {
		return b.left[len(b.left)-n:]
	}
	return b.left[:n]
}

func (b *bisection) drop(n int) {
	if b.newest {
		b.left = b.left[:len(b.left)-n]
	} else {
		b.left = b.left[n:]
	}
	b.faulty = max(0, b.faulty-n)
}

func (b *bisection) accept(n int) {
	b.accepted += n
	control := b.part(1)[0].Sample
	b.writer.control = &control
	b.drop(n)
	if n >= b.from {
		b.active = false // a later refusal has nothing to do with this one
	}
	if b.faulty > 1 {
		b.size = b.faulty / 2
	} else {
		b.size = min(2*n, b.maxSize)
	}
}

// begin begins the bisection of a request with so many samples, unless one is active.
func (b *bisection) begin(samples int) {
	if !b.active {
		b.active, b.from, b.quick = true, samples, allowance(samples)
	}
}

// latestFirst reports whether the receiver refused samples as too old.
func latestFirst(r Result) bool { return r.OfSamples && r.Reason == TooOld }

// reorder decides which samples come next after a refusal.
func (b *bisection) reorder(result Result) {
	b.newest = latestFirst(result)
	slices.SortStableFunc(b.left, func(a, c item) int { return cmp.Compare(a.Time, c.Time) })
}

func (b *bisection) halve(part []item, result Result) {
	n := len(part)
	for i := range part {
		part[i].refusedAt = b.writer.requests
	}
	b.last = result
	same := b.active && latestFirst(result) == b.newest || n == len(b.left) // the part stays the next one
	b.begin(n)
	b.reorder(result)
	b.size, b.faulty = n/2, 0
	if same {
		b.faulty = n
	}
}

// refuse decides about a sample that was refused alone.
func (b *bisection) refuse(s item, result Result) {
	acceptsOthers := s.refusedAt > 0 && b.writer.workedAt > s.refusedAt && !b.exhausted()
	s.refusedAt = b.writer.requests
	b.last = result
	b.begin(1)
	b.drop(1)
	b.reorder(result)
	b.size, b.faulty = 1, 0
	if !result.OfSamples {
		if acceptsOthers {
			b.candidates = append(b.candidates, candidate{s, result})
		} else {
			b.deferred = append(b.deferred, s)
		}
		return
	}
	b.giveUp(s.Sample, result)
	if result.Reason == TooOld {
		b.left = slices.DeleteFunc(b.left, func(other item) bool {
			older := other.Series == s.Series && other.Time < s.Time
			if older {
				b.giveUp(other.Sample, result)
			}
			return older
		})
	}
}

// giveUpCandidates gives up the candidates, since the receiver has just shown that it works.
func (b *bisection) giveUpCandidates() {
	for _, s := range b.candidates {
		b.giveUp(s.Sample, s.result)
	}
	b.candidates = nil
}

// keepCandidates keeps the candidates, since the receiver refuses everything.
func (b *bisection) keepCandidates() {
	for _, s := range b.candidates {
		b.deferred = append(b.deferred, s.item)
	}
	b.candidates = nil
}

func (b *bisection) giveUp(s Sample, result Result) {
	b.refused = append(b.refused, Refusal{Sample: s, Reason: result.Reason, Text: result.Text})
}
