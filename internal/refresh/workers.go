package refresh

import (
	"container/list"
	"time"
)

const (
	// slowAfter is how long a call holds a worker while no other one is answered: accounts that
	// hang must not keep the others waiting for their time-outs.
	slowAfter = 500 * time.Millisecond
	// slowShare is how many slow calls may be under way for each worker. Together they take less
	// than one time-out to be found out: slowShare times slowAfter.
	slowShare = 16
)

// workers knows the calls that are under way. Those that have been for long, while others are
// answered or none is, hold no worker: they wait for a time-out, and cost next to nothing.
type workers struct {
	calls      list.List // of *underway, in the order in which they began
	slow       int
	unsure     int       // calls of accounts that may hang and that hold a worker
	suspects   int       // those of accounts that did not answer last
	lastAnswer time.Time // when one ended, or when the first of them began
	latest     time.Time // when the call began that began last of those that have ended
}

type underway struct {
	began           time.Time
	slow            bool
	unsure, suspect bool
}

func (w *workers) begin(a *account, now time.Time) *list.Element {
	if w.calls.Len() == 0 {
		w.lastAnswer = now
	}
	u := &underway{began: now, unsure: a.unsure(), suspect: a.suspect()}
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
	if u.unsure {
		w.unsure += n
	}
	if u.suspect {
		w.suspects += n
	}
}

// patience returns how long a call may hold a worker; with a low rate, answers are far apart.
func (c Config) patience() time.Duration { return max(slowAfter, 2*c.Pace) }

// mostSlow returns how many slow calls may be under way.
func (c Config) mostSlow() int { return slowShare * c.Concurrency }

// update finds out which calls have become slow by now, and returns when the next one will; zero
// if none will.
func (w *workers) update(now time.Time, c Config) time.Time {
	patience := c.patience()
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

// bars reports whether the account has to wait although a worker is free, which accounts that
// answer may need: those that did not answer last hold half of the workers at most, and once no
// more calls may be slow so do those that never have.
func (w *workers) bars(a *account, c Config) bool {
	half := max(1, c.Concurrency/2)
	return a.suspect() && w.suspects >= half || a.unsure() && w.slow >= c.mostSlow() && w.unsure >= half
}

// unsure reports whether nothing says that the account's calls are answered.
func (a *account) unsure() bool {
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
	sure, unsure := r.ready.first(), r.unsure.first()
	if unsure != nil && r.workers.bars(unsure, r.config) {
		unsure = nil
	}
	switch {
	case sure == nil && unsure == nil:
		return nil
	case unsure == nil, sure != nil && byUrgency(sure, unsure):
		return &r.ready
	default:
		return &r.unsure
	}
}
