package refresh

import (
	"context"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// BackfillRequest says what a backfill is to ask for.
type BackfillRequest struct {
	// Accounts are filled in this order; their app ids are unique.
	Accounts []Account
	// Since and Until are the first and the last day, from datacube.FirstDate to yesterday.
	Since, Until datacube.Date
	// Force asks for known days, too.
	Force bool
	// Wait waits for the next China midnight where a day's quota is used up, rather than
	// giving the call up.
	Wait bool
	// Concurrency is how many accounts are asked for at once, at the most.
	Concurrency int
}

// BackfillPlan is a BackfillRequest with the calls that it takes by what is known now.
type BackfillPlan struct {
	BackfillRequest
	// Calls are the numbers of calls for each of Accounts.
	Calls [][datacube.APIs]int
}

// Total returns the number of all calls.
func (p BackfillPlan) Total() int {
	total := 0
	for _, calls := range p.Calls {
		for _, n := range calls {
			total += n
		}
	}
	return total
}

// BackfillResult is what came of the backfill of one account.
type BackfillResult struct {
	Name  string
	AppID string
	// Calls were answered; Failures were not, or not so that all of the answer could be understood.
	Calls, Failures int
	// Learned counts days that became known, Empty those of them without traffic, and
	// NotThere days that Weixin did not have.
	Learned, Empty, NotThere [datacube.APIs]int
	// Damaged counts days of which the answer could not be understood. What was known of them
	// stays; they are not done.
	Damaged [datacube.APIs]int
	// Confirmed counts known days that came back as they were, or with other figures.
	Confirmed [datacube.APIs]int
	// Vanished counts known days with traffic for which Weixin had no rows; their figures stay.
	Vanished int
	// Revisions counts known days that came back with other figures.
	Revisions int
	// Left is how many calls are still to be made, by each API.
	Left [datacube.APIs]int
	// GivenUp says why there are calls left; nil where there are none, or where the context
	// ended.
	GivenUp [datacube.APIs]*GivenUp
}

// GivenUp says why calls of an account were given up.
type GivenUp struct {
	Reason snapshot.Reason
	// Text says what failed and Advice what to do about it. They hold no secret and no token.
	Text, Advice string
}

// BackfillStatus is how it stands with the backfill of one account.
type BackfillStatus struct {
	Account string
	// Done counts calls that were answered, Left those that are to be made.
	Done, Left int
	// Resume is when it goes on, where it waits; else zero.
	Resume time.Time
	// Ended means that nothing more is done.
	Ended bool
}

// BackfillProgress is shown how a backfill goes on. Its method is called from one goroutine.
type BackfillProgress interface {
	Show(BackfillStatus)
}

// callsFor returns the calls that ask for the wanted days from since to until and for no
// others, the newest first: up to 30 days in a daily call, one in an hourly call. It depends
// on its arguments alone.
func callsFor(api datacube.API, since, until datacube.Date, wanted func(datacube.Date) bool) []Call {
	var calls []Call
	for {
		c, ok := newestCall(api, since, until, wanted)
		if !ok {
			return calls
		}
		calls = append(calls, c)
		until = c.Begin - 1
	}
}

// newestCall returns the first of callsFor, false where no day is wanted.
func newestCall(api datacube.API, since, until datacube.Date, wanted func(datacube.Date) bool) (Call, bool) {
	for ; until >= since && !wanted(until); until-- {
	}
	if until < since {
		return Call{}, false
	}
	c := Call{API: api, Purpose: History, Begin: until, End: until}
	longest := datacube.Date(1)
	if api == datacube.Daily {
		longest = longestDailyRange
	}
	for c.Begin > since && c.End-c.Begin+1 < longest && wanted(c.Begin-1) {
		c.Begin--
	}
	return c, true
}

// wanted returns which days are to be asked for by what a ledger says.
func (f BackfillRequest) wanted(l Ledger) func(datacube.Date) bool {
	return func(date datacube.Date) bool { return f.Force || l.At(date).Status != store.Known }
}

// Plan finds out which calls a backfill takes. It makes none.
func (b *Backfill) Plan(ctx context.Context, f BackfillRequest) (BackfillPlan, error) {
	p := BackfillPlan{BackfillRequest: f, Calls: make([][datacube.APIs]int, len(f.Accounts))}
	b.runCtx, b.since = ctx, f.Since
	for i, a := range f.Accounts {
		// One after the other: what is known of all accounts may be more than the memory holds.
		acc := baseAccount{Account: a}
		if _, err := b.load(&acc); err != nil {
			return p, err
		}
		for api := range datacube.APIs {
			p.Calls[i][api] = len(callsFor(api, f.Since, f.Until, f.wanted(acc.ledgers[api])))
		}
	}
	return p, nil
}
