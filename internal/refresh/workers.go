package refresh

import (
	"container/list"
	"time"
)

const (
	// minSlowAfter is how long a call occupies a worker while no other one is answered: accounts that hang must not make the
	// others wait for their timeouts.
	minSlowAfter = 500 * time.Millisecond
	// slowShare is the maximum number of slow calls per worker. Finding that many takes slowShare times minSlowAfter, which is
	// less than one timeout.
	slowShare = 16
)

// workers tracks the running calls. Calls that have been running for long, while others are answered or none is, are slow and
// occupy no worker: they are waiting for a timeout and cost almost nothing.
type workers struct {
	calls      list.List // of *underway, in the order of their start
	slow       int
	unproven   int       // worker-occupying calls of unproven accounts
	suspects   int       // the same of suspect accounts
	lastAnswer time.Time // when a call last ended, or when the first of the running ones started
	latest     time.Time // the latest start of the calls that have ended
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

// count adds n to the counts that apply to a call.
func (w *workers) count(u *underway, n int) {
	if u.unproven {
		w.unproven += n
	}
	if u.suspect {
		w.suspects += n
	}
}

// slowAfter returns how long a call may occupy a worker. With a low rate of requests, answers are far apart.
func slowAfter(pace time.Duration) time.Duration { return max(minSlowAfter, 2*pace) }

// mostSlow returns the maximum number of slow calls.
func (c Config) mostSlow() int { return slowShare * c.Concurrency }

// update marks calls that have become slow, and returns when the next one will; zero if none will. pace is the average
// minimum time between two requests of this process.
func (w *workers) update(now time.Time, c Config, pace time.Duration) time.Time {
	slowAfter := slowAfter(pace)
	silent := w.lastAnswer.Add(slowAfter)
	for e := w.calls.Front(); e != nil && w.slow < c.mostSlow(); e = e.Next() {
		u := e.Value.(*underway)
		if u.slow {
			continue
		}
		at := u.began.Add(slowAfter)
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

// held returns how many workers are occupied.
func (w *workers) held() int { return w.calls.Len() - w.slow }

// blocks reports whether the account must wait although a worker is free, so that workers remain for accounts that answer:
// suspect accounts occupy at most half of the workers, and so do unproven ones when no more calls may become slow.
func (w *workers) blocks(a *account, c Config) bool {
	half := max(1, c.Concurrency/2)
	return a.suspect() && w.suspects >= half || a.unproven() && w.slow >= c.mostSlow() && w.unproven >= half
}

// unproven reports whether the account is suspect or none of its calls has ever succeeded.
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

// nextReady returns the queue with the account to call next, nil if none may be called.
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
