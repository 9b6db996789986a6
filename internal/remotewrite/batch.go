package remotewrite

import (
	"cmp"
	"context"
	"math/bits"
	"net/http"
	"slices"
	"time"
)

// cutPause is the pause between requests once a refused request has been cut down by as many as
// one sample at fault takes.
const cutPause = 5 * time.Second

// batch is samples on their way. If a request with some of them is refused, smaller ones follow until the
// samples at fault are found.
//
// A sample is given up only if a request with it alone is refused, and either by a text that known receivers use for
// samples, or while the receiver accepts others: before it, since the last refusal of the sample, and after it, within a
// few requests. Where nothing else is accepted, one that was is sent a second time to find out. If that is refused, too,
// the endpoint is wrong rather than a sample, and everything is kept. What is older than a sample of the same
// series that was too old needs no request, since receivers compare times.
type batch struct {
	writer   *Writer
	accepted int
	refused  []Refusal

	left []item // what is to be sent, in the order of the times
	// condemned are refused alone and given up once something else is accepted; doubted are refused alone and kept: they
	// come once nothing else is left.
	condemned []condemned
	doubted   []item
	size      int // samples in the next request
	most      int // samples in a request at the most
	// faulty is the number of samples at the front of left, or at its end, among which one is known to be at fault;
	// 0 if nothing is known.
	faulty int
	// newest is true while the latest samples are sent first: the latest that is too old decides on those before
	// it. Otherwise the oldest come first, as a receiver may demand.
	newest bool

	settled bool // a request was answered
	cutting bool // a request was refused, and what it had is not through yet
	cutFrom int  // how many samples that request had
	quick   int  // requests that may still follow at once
	last    Answer
}

// item is a sample and the number of the last request with it that was refused; 0 if none was.
type item struct {
	Sample
	refusedAt int
}

// condemned is a sample that was refused alone, and the answer to it.
type condemned struct {
	item
	answer Answer
}

// progress is how far a batch has come.
type progress uint8

const (
	// finished means that all is accepted or given up.
	finished progress = iota
	// waited means that the receiver could take nothing yet and that time has passed.
	waited
	// paused means that the next request is to follow after a pause of cutPause.
	paused
	// stuck means that the receiver refuses everything.
	stuck
)

// newBatch returns a batch that is sent in requests of at most so many samples.
func newBatch(w *Writer, samples []Sample, most int) *batch {
	b := &batch{writer: w, most: most, size: most, left: make([]item, len(samples))}
	for i, s := range samples {
		b.left[i].Sample = s
	}
	return b
}

// run sends until all is done, or until a request is not to follow at once. The first request of a call is sent in
// any case, unless the context has ended.
func (b *batch) run(ctx context.Context) (progress, error) {
	for first := true; len(b.left)+len(b.condemned)+len(b.doubted) > 0; first = false {
		if err := ctx.Err(); err != nil {
			return waited, err
		}
		switch {
		case first:
		case b.exhausted(), len(b.left) == 0 && b.writer.requests > b.writer.soundAt:
			works, decided := b.writer.works(ctx)
			if !decided {
				continue // it has waited
			}
			if !works {
				b.doubt()
				return stuck, nil
			}
			if b.resolve(); len(b.left)+len(b.doubted) == 0 {
				continue
			}
		case b.cutting && b.quick <= 0:
			return paused, nil
		}
		if b.cutting {
			b.quick--
		}
		if done := b.send(ctx); !done && !b.settled {
			return waited, ctx.Err()
		}
	}
	return finished, nil
}

// exhausted reports whether so many requests in a row were refused by texts that may mean anything, that the
// endpoint is to be taken as wrong: at once if it never accepted anything.
func (b *batch) exhausted() bool {
	if !b.cutting {
		return false
	}
	w := b.writer
	dry := w.requests - w.soundAt
	if w.proven || b.last.Status == http.StatusRequestEntityTooLarge {
		return dry > allowance(b.cutFrom)
	}
	return dry > 0
}

// allowance is how many requests it takes to find one sample at fault.
func allowance(samples int) int { return 2 * bits.Len(uint(max(samples, 1)-1)) }

// send sends one request. It returns false, after a wait, if the receiver did not decide on its samples.
func (b *batch) send(ctx context.Context) bool {
	if len(b.left) == 0 {
		b.left, b.doubted = b.doubted, nil
		slices.SortStableFunc(b.left, func(a, c item) int { return cmp.Compare(a.Time, c.Time) })
		b.size, b.faulty = 1, 0
	}
	part := b.part(b.size)
	samples := make([]Sample, len(part))
	for i := range part {
		samples[i] = part[i].Sample
	}
	answer := b.writer.client.Send(ctx, samples)
	if !b.writer.settle(ctx, answer) {
		return false
	}
	b.settled = true
	if b.writer.soundAt == b.writer.requests {
		b.resolve()
	}
	switch {
	case answer.Verdict == Accepted:
		b.accept(len(part))
	case len(part) > 1:
		b.halve(part, answer)
	default:
		b.decide(part[0], answer)
	}
	return true
}

// part returns the next n samples. It shares its memory with left.
func (b *batch) part(n int) []item {
	n = min(n, len(b.left))
	if b.newest {
		return b.left[len(b.left)-n:]
	}
	return b.left[:n]
}

func (b *batch) drop(n int) {
	if b.newest {
		b.left = b.left[:len(b.left)-n]
	} else {
		b.left = b.left[n:]
	}
	b.faulty = max(0, b.faulty-n)
}

func (b *batch) accept(n int) {
	b.accepted += n
	control := b.part(1)[0].Sample
	b.writer.control = &control
	b.drop(n)
	if n >= b.cutFrom {
		b.cutting = false // a fault that follows has nothing to do with the former one
	}
	if b.faulty > 1 {
		b.size = b.faulty / 2
	} else {
		b.size = min(2*n, b.most)
	}
}

// begin begins to cut down a request of so many samples, unless that is under way.
func (b *batch) begin(samples int) {
	if !b.cutting {
		b.cutting, b.cutFrom, b.quick = true, samples, allowance(samples)
	}
}

// latestFirst reports whether the answer says that samples are too old.
func latestFirst(a Answer) bool { return a.OfSamples && a.Reason == TooOld }

// direct decides which samples come next after a refusal.
func (b *batch) direct(answer Answer) {
	b.newest = latestFirst(answer)
	slices.SortStableFunc(b.left, func(a, c item) int { return cmp.Compare(a.Time, c.Time) })
}

func (b *batch) halve(part []item, answer Answer) {
	n := len(part)
	for i := range part {
		part[i].refusedAt = b.writer.requests
	}
	b.last = answer
	same := b.cutting && latestFirst(answer) == b.newest || n == len(b.left) // the part stays the next one
	b.begin(n)
	b.direct(answer)
	b.size, b.faulty = n/2, 0
	if same {
		b.faulty = n
	}
}

// decide decides on a sample that was refused alone.
func (b *batch) decide(s item, answer Answer) {
	others := s.refusedAt > 0 && b.writer.soundAt > s.refusedAt && !b.exhausted() // were accepted since
	s.refusedAt = b.writer.requests
	b.last = answer
	b.begin(1)
	b.drop(1)
	b.direct(answer)
	b.size, b.faulty = 1, 0
	if !answer.OfSamples {
		if others {
			b.condemned = append(b.condemned, condemned{s, answer})
		} else {
			b.doubted = append(b.doubted, s)
		}
		return
	}
	b.giveUp(s.Sample, answer)
	if answer.Reason == TooOld {
		b.left = slices.DeleteFunc(b.left, func(other item) bool {
			older := other.Series == s.Series && other.Time < s.Time
			if older {
				b.giveUp(other.Sample, answer)
			}
			return older
		})
	}
}

// resolve gives up what is condemned, since the receiver has just shown that it works.
func (b *batch) resolve() {
	for _, s := range b.condemned {
		b.giveUp(s.Sample, s.answer)
	}
	b.condemned = nil
}

// doubt keeps what is condemned, since the receiver refuses everything.
func (b *batch) doubt() {
	for _, s := range b.condemned {
		b.doubted = append(b.doubted, s.item)
	}
	b.condemned = nil
}

func (b *batch) giveUp(s Sample, answer Answer) {
	b.refused = append(b.refused, Refusal{Sample: s, Reason: answer.Reason, Text: answer.Text})
}
