package refresh

import "time"

// Activity is what a Refresher is doing.
type Activity struct {
	// Underway is the number of calls that are being made, Ready of accounts that have a call due, and Waiting of
	// those that have none. Accounts whose calls other processes make are not among them.
	Underway, Ready, Waiting int
	// Next is when the next call will be due; zero if that is not known yet.
	Next time.Time
	// CaughtUp is when the changes that other processes had stored were last read: what is shown includes all that they
	// had stored by then. It is zero if no other process can write to the store.
	CaughtUp time.Time
}

// Activity returns what the Refresher is doing. It may be called at any time and does not wait.
func (r *Refresher) Activity() Activity {
	if a := r.activity.Load(); a != nil {
		return *a
	}
	return Activity{}
}

// noteActivity sets what Activity returns.
func (r *Refresher) noteActivity() {
	a := Activity{Underway: r.workers.calls.Len(), Ready: r.ready.Len() + r.unproven.Len(), Waiting: r.waiting.Len(), CaughtUp: r.changes.caughtUp}
	if first := r.waiting.first(); first != nil {
		a.Next = first.wake
	}
	if a.Next.IsZero() || !r.nextPlan.IsZero() && r.nextPlan.Before(a.Next) {
		a.Next = r.nextPlan
	}
	r.activity.Store(&a)
}
