package refresh

import (
	"context"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// BackfillRequest says which days a backfill requests, and how.
type BackfillRequest struct {
	// Accounts are processed in this order; their app ids must be unique.
	Accounts []Account
	// Since and Until are the first and the last day, within datacube.FirstDate and yesterday.
	Since, Until datacube.Date
	// Force requests known days as well.
	Force bool
	// Wait makes the backfill wait for the next China midnight when a day's quota is used up, instead of
	// giving up the call.
	Wait bool
	// Concurrency is the maximum number of accounts that have a call running.
	Concurrency int
}

// BackfillPlan is a BackfillRequest together with the calls that it takes.
type BackfillPlan struct {
	BackfillRequest
	// Calls are the numbers of calls, parallel to Accounts.
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

// BackfillResult is the result of a backfill for one account.
type BackfillResult struct {
	Name  string
	AppID string
	// Calls counts calls whose answers were understood completely, Failures all others.
	Calls, Failures int
	// Learned counts days that became known, Empty those of them without traffic, and NotReady days that
	// Weixin did not have.
	Learned, Empty, NotReady [datacube.APIs]int
	// Damaged counts days for which the answer could not be understood. Their known figures are kept; they count
	// as not done.
	Damaged [datacube.APIs]int
	// Confirmed counts known days that Weixin returned again, with the same or other figures.
	Confirmed [datacube.APIs]int
	// Vanished counts known days with traffic for which Weixin returned no rows; their figures are kept.
	Vanished int
	// Revisions counts known days that Weixin returned with other figures.
	Revisions int
	// Left is the number of calls that were not made.
	Left [datacube.APIs]int
	// GivenUp says why calls are left; nil if none are left, or if the context ended.
	GivenUp [datacube.APIs]*GivenUp
}

// GivenUp says why calls of an account were given up.
type GivenUp struct {
	Reason snapshot.Reason
	// Problem says what failed and Advice, which may be zero, what to do about it. They contain no secret and
	// no token.
	Problem, Advice i18n.Message
}

// BackfillStatus is the progress of a backfill for one account.
type BackfillStatus struct {
	Account string
	// Done counts calls that were answered, Left calls that remain.
	Done, Left int
	// Resume is when the account's next call may be made, if it has to wait; otherwise zero.
	Resume time.Time
	// Ended means that the account is finished.
	Ended bool
}

// BackfillProgress displays the progress of a backfill. Show is called from one goroutine.
type BackfillProgress interface {
	Show(BackfillStatus)
}

// callsFor returns the calls that request exactly the wanted days from since to until, newest first: up to 30 days
// in a daily call, one day in an hourly call. It depends only on its arguments.
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

// newestCall returns the first of callsFor, or false if no day is wanted.
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

// wanted returns a function that reports whether a day is requested, given a ledger.
func (f BackfillRequest) wanted(l Ledger) func(datacube.Date) bool {
	return func(date datacube.Date) bool { return f.Force || l.At(date).Status != store.Known }
}

// Plan computes the calls of a backfill. It makes none.
func (b *Backfill) Plan(ctx context.Context, f BackfillRequest) (BackfillPlan, error) {
	p := BackfillPlan{BackfillRequest: f, Calls: make([][datacube.APIs]int, len(f.Accounts))}
	b.runCtx, b.since = ctx, f.Since
	for i, a := range f.Accounts {
		// One account at a time: the ledgers of all accounts may not fit into memory.
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
