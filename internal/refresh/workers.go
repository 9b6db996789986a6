package refresh

import (
	"container/list"
	"time"
)

const (
	// minSlowAfter is how long a call holds a worker while no other one is answered: accounts that
	// hang must not keep the others waiting for their time-outs.
	minSlowAfter = 500 * time.Millisecond
	// slowShare is how many slow calls may be under way for each worker. Together they take less
	// than one time-out to be found out: slowShare times minSlowAfter.
	slowShare = 16
)

// workers knows the calls that are under way. Those that have been for long, while others are
// answered or none is, hold no worker: they wait for a time-out, and cost next to nothing.
type workers struct {
	calls      list.List // of *underway, in the order in which they began
	slow       int
	unproven   int       // calls of accounts that may hang and that hold a worker
	suspects   int       // those of accounts that did not answer last
	lastAnswer time.Time // when one ended, or when the first of them began
	latest     time.Time // when the call began that began last of those that have ended
}

type underway struct {
	began             time.Time
	slow              bool
	unproven, suspect bool
}

func (w *workers) begin(a *account, now time.Time) *list.Element {
	if w.calls.Len() == 0 {
		w.lastAnswer = now
	}
	u := &underway{began: now, unproven: a.unproven(), suspect: a.suspect()}
	w.count(u, 1)
	return w.calls.PushBack(u)
}

func (w *workers) end(e *list.Element, now time.Time) {
	u := w.calls.Remove(e).(*underway)
	if u.slow {
		w.slow--
	} else {
		w.count(u, -1)
	}
	w.lastAnswer = now
	if u.began.After(w.latest) {
		w.latest = u.began
	}
}

// count counts a call among those that hold a worker.
func (w *workers) count(u *underway, n int) {
	if u.unproven {
		w.unproven += n
	}
	if u.suspect {
		w.suspects += n
	}
}

// patience returns how long a call may hold a worker; with a low rate, answers are far apart.
func (c Config) slowAfter() time.Duration { return max(minSlowAfter, 2*c.Pace) }

// mostSlow returns how many slow calls may be under way.
func (c Config) mostSlow() int { return slowShare * c.Concurrency }

// update finds out which calls have become slow by now, and returns when the next one will; zero
// if none will.
func (w *workers) update(now time.Time, c Config) time.Time {
	patience := c.slowAfter()
	silent := w.lastAnswer.Add(patience)
	for e := w.calls.Front(); e != nil && w.slow < c.mostSlow(); e = e.Next() {
		u := e.Value.(*underway)
		if u.slow {
			continue
		}
		at := u.began.Add(patience)
		if !w.latest.After(u.began) && silent.After(at) {
			at = silent
		}
		if now.Before(at) {
			return at
		}
		u.slow = true
		w.slow++
		w.count(u, -1)
	}
	return time.Time{}
}

// held returns how many workers are held.
func (w *workers) held() int { return w.calls.Len() - w.slow }

// blocks reports whether the account has to wait although a worker is free, which accounts that
// answer may need: those that did not answer last hold half of the workers at most, and once no
// more calls may be slow so do those that never have.
func (w *workers) blocks(a *account, c Config) bool {
	half := max(1, c.Concurrency/2)
	return a.suspect() && w.suspects >= half || a.unproven() && w.slow >= c.mostSlow() && w.unproven >= half
}

// unproven reports whether nothing says that the account's calls are answered.
func (a *account) unproven() bool {
	if a.suspect() {
		return true
	}
	for api := range a.shown.Work {
		if !a.shown.Work[api].LastSuccess.IsZero() {
			return false
		}
	}
	return true
}

// nextReady returns the queue whose first account is to be asked for next, nil if none may be.
func (r *Refresher) nextReady() *queue {
	sure, unproven := r.ready.first(), r.unproven.first()
	if unproven != nil && r.workers.blocks(unproven, r.config) {
		unproven = nil
	}
	switch {
	case sure == nil && unproven == nil:
		return nil
	case unproven == nil, sure != nil && byUrgency(sure, unproven):
		return &r.ready
	default:
		return &r.unproven
	}
}
