package remotewrite

import (
	"cmp"
	"context"
	"slices"
)

// batch is a request that was refused and is cut down to the samples at fault.
type batch struct {
	writer   *Writer
	accepted int
	refused  []Refusal
	// bounds holds, for a series, the latest time that was refused as too old, and why.
	bounds map[*Series]Refusal
}

// cutDown finds the samples because of which a request was refused, answer being what came of it,
// by halving. A sample is given up only after it was refused in a request of its own, or where an
// older time than one refused as too old makes it certain; all others are accepted in the end.
func (b *batch) cutDown(ctx context.Context, samples []Sample, answer Answer) error {
	if len(samples) == 1 {
		b.giveUp(samples[0], answer)
		return nil
	}
	slices.SortStableFunc(samples, func(a, b Sample) int { return cmp.Compare(a.Time, b.Time) })
	halves := [2][]Sample{samples[:len(samples)/2], samples[len(samples)/2:]}
	if answer.Reason == TooOld {
		// The receiver compares times, so the latest one that is too old saves asking for those
		// before it. Otherwise older samples go first, as a receiver may demand that they do.
		halves[0], halves[1] = halves[1], halves[0]
	}
	for _, half := range halves {
		if err := b.send(ctx, half); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) send(ctx context.Context, samples []Sample) error {
	samples = b.withoutOlder(samples)
	if len(samples) == 0 {
		return nil
	}
	answer, err := b.writer.insist(ctx, samples)
	if err != nil {
		return err
	}
	if answer.Verdict == Accepted {
		b.accepted += len(samples)
		return nil
	}
	return b.cutDown(ctx, samples, answer)
}

func (b *batch) giveUp(s Sample, answer Answer) {
	r := Refusal{Sample: s, Reason: answer.Reason, Text: answer.Text}
	b.refused = append(b.refused, r)
	if r.Reason == TooOld {
		if b.bounds == nil {
			b.bounds = make(map[*Series]Refusal)
		}
		if bound, ok := b.bounds[s.Series]; !ok || bound.Sample.Time < s.Time {
			b.bounds[s.Series] = r
		}
	}
}

// withoutOlder gives up the samples that lie before one of their series that was too old, and
// returns the others.
func (b *batch) withoutOlder(samples []Sample) []Sample {
	var left []Sample
	for _, s := range samples {
		if bound, ok := b.bounds[s.Series]; ok && s.Time < bound.Sample.Time {
			b.refused = append(b.refused, Refusal{Sample: s, Reason: bound.Reason, Text: bound.Text})
		} else {
			left = append(left, s)
		}
	}
	return left
}
