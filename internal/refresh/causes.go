package refresh

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/store"
	"weixin_exporter/weixin"
)

const (
	// growthEvery is the minimum time between two lines about a cause that affects more or fewer accounts.
	growthEvery = 10 * time.Second
	// remindEvery is how often a persistent cause is logged again, because logs are rotated.
	remindEvery = 24 * time.Hour
	// quietFor is how long after its end a returning cause is logged only if it lasts for settleFor, so that a
	// flapping cause does not fill the log.
	quietFor  = 10 * time.Minute
	settleFor = time.Minute
	// maxOwnLines is how many accounts get a line each if the cause is specific to an account, such as its secret.
	maxOwnLines = 10
	// maxNames is how many accounts a line about several of them names.
	maxNames = 3
)

// causeOf identifies the cause of a failure by the fields of its error.
func causeOf(err error, reason snapshot.Reason) snapshot.Cause {
	cause := snapshot.Cause{Reason: reason}
	apiErr, ok := errors.AsType[*weixin.Error](err)
	switch {
	case reason == snapshot.StoreFault:
		cause.Kind = string(store.KindOf(err))
	case ok:
		cause.Code, cause.Kind, cause.Source, cause.Address = apiErr.Errcode, apiErr.Kind(), apiErr.Origin.String(), apiErr.Address
		// A token server that is down is down for all of its URLs.
		if u, err := url.Parse(apiErr.Origin.URL); err == nil && u.Host != "" && apiErr.Reason == weixin.Busy {
			cause.Source = u.Scheme + "://" + u.Host
		}
	default:
		cause.Kind = "other"
	}
	return cause
}

// perAccount reports whether the cause is specific to each account, even if several have it.
func perAccount(c snapshot.Cause) bool {
	switch c.Reason {
	case weixin.Config, weixin.Permission:
		return c.Code != 0 && c.Address == ""
	case weixin.AccountClosed, weixin.Quota:
		return true
	case weixin.Token:
		return c.Source == ""
	default:
		return false
	}
}

// failedCall is a failed attempt, to be logged.
type failedCall struct {
	account *account
	call    Call
	failure failure
	next    time.Time
}

// causes tracks which accounts fail for which cause, so that each cause is logged once, however many accounts it
// affects: when it begins, when it affects many more or fewer accounts, once a day, and when it ends.
type causes struct {
	reporter
	failing, again string // messages
	groups         map[snapshot.Cause]*group
	changed        []*group // those that may have something to log
}

// group is the set of accounts that fail for one cause.
type group struct {
	cause   snapshot.Cause
	members map[*account]*member
	since   time.Time // when the cause began

	listed       bool         // in causes.changed
	joined       []failedCall // since the last line; at most maxOwnLines
	recoveredOwn []failedCall // calls that had their own line and have recovered since
	last         failedCall

	logged    int // the number of accounts in the last line; 0: not logged yet
	own       int // the number of accounts that had their own line
	recovered int // the number of accounts that have recovered
	loggedAt  time.Time
	endedAt   time.Time // when the cause last ended
}

// member is an account of a group.
type member struct {
	calls int         // the number of its calls that fail for the cause
	line  *failedCall // the call in the account's own line; nil if it had none
}

// fail adds a failed attempt of the call whose group is *in. It returns false if the attempt only repeats what has
// been logged, or will be.
func (c *causes) fail(in **group, f failedCall, now time.Time) bool {
	g := c.groups[f.failure.cause]
	if g == nil {
		g = &group{cause: f.failure.cause, members: map[*account]*member{}}
		c.groups[g.cause] = g
	}
	g.last = f
	if *in == g {
		return false
	}
	c.leave(in, f.account, false)
	*in = g
	if len(g.members) == 0 {
		g.since = now
	}
	m := g.members[f.account]
	isNew := m == nil
	if isNew {
		m = &member{}
		g.members[f.account] = m
	}
	m.calls++
	c.list(g)
	if !isNew || len(g.joined) >= maxOwnLines {
		return false
	}
	g.joined = append(g.joined, f)
	return g.logged == 0 && len(g.joined) == 1 || perAccount(g.cause) && g.own+len(g.joined) <= maxOwnLines
}

// leave removes a call from the group *in, because it has recovered or fails for another cause.
func (c *causes) leave(in **group, a *account, recovered bool) {
	g := *in
	*in = nil
	if g == nil || g.members[a] == nil {
		return
	}
	m := g.members[a]
	if m.calls--; m.calls > 0 {
		return
	}
	delete(g.members, a)
	if recovered {
		g.recovered++
		if m.line != nil {
			g.recoveredOwn = append(g.recoveredOwn, *m.line)
		}
	}
	c.list(g)
}

func (c *causes) list(g *group) {
	if !g.listed {
		g.listed = true
		c.changed = append(c.changed, g)
	}
}

// due returns when the next line is due; zero if none is.
func (c *causes) due(now time.Time) time.Time {
	var first time.Time
	for _, g := range c.changed {
		if at := g.due(now); !at.IsZero() {
			first = earlier(first, at)
		}
	}
	return first
}

// due returns when a line about the group is due; zero if none is.
func (g *group) due(now time.Time) time.Time {
	if g.loggedAt.After(now) {
		g.loggedAt = now // the clock was set back
	}
	n := len(g.members)
	switch {
	case n == 0, len(g.recoveredOwn) > 0:
		return now
	case g.logged == 0 && !g.endedAt.IsZero() && g.since.Sub(g.endedAt) < quietFor:
		return g.since.Add(settleFor)
	case g.logged == 0, perAccount(g.cause) && len(g.joined) > 0 && g.own < maxOwnLines, now.Sub(g.loggedAt) >= remindEvery:
		return now
	case n >= 2*g.logged || 10*n <= g.logged:
		return g.loggedAt.Add(growthEvery)
	default:
		return time.Time{}
	}
}

// writeDue writes the lines that are due.
func (c *causes) writeDue(now time.Time) {
	changed := c.changed
	c.changed = nil
	for _, g := range changed {
		g.listed = false
		at := g.due(now)
		if !at.IsZero() && !now.Before(at) {
			c.writeGroup(g, now)
			at = g.due(now)
		}
		if !at.IsZero() && len(g.members) > 0 {
			c.list(g)
		}
	}
}

// review finds causes that are due for a reminder, and forgets those that ended long ago.
func (c *causes) review(now time.Time) {
	for cause, g := range c.groups {
		switch {
		case len(g.members) == 0 && !g.listed && !reached(now, g.endedAt.Add(quietFor), quietFor) && now.Sub(g.endedAt) >= quietFor:
			delete(c.groups, cause)
		case g.logged > 0 && now.Sub(g.loggedAt) >= remindEvery:
			c.list(g)
		}
	}
}

func (c *causes) writeGroup(g *group, now time.Time) {
	for _, f := range g.recoveredOwn {
		c.logRecovered(f.account.Account, f.call, c.again, g.since)
	}
	g.recoveredOwn = nil
	n := len(g.members)
	if n == 0 {
		if g.recovered > g.own && g.logged > 0 {
			c.logAllRecovered(g.cause, g.recovered, c.again, g.since)
		}
		*g = group{cause: g.cause, members: g.members, listed: g.listed, endedAt: now}
		return
	}
	first, grown := g.logged == 0, n >= 2*g.logged
	for _, f := range g.joined {
		m := g.members[f.account]
		if m == nil || g.own >= maxOwnLines || !perAccount(g.cause) && (!first || n > 1) {
			continue
		}
		c.logFailure(f.account.Account, f.call, f.failure, c.failing, f.next)
		line := f
		m.line = &line
		g.own++
		g.logged++
	}
	g.joined = nil
	switch {
	case g.own > 0 && first && g.logged >= n, !grown && 10*n > g.logged && now.Sub(g.loggedAt) < remindEvery:
	case 10*n <= g.logged:
		c.logShared(g, c.again+" for most accounts")
		g.logged = n
	case n >= 2*g.logged, now.Sub(g.loggedAt) >= remindEvery:
		c.logShared(g, c.failing)
		g.logged = n
	}
	g.loggedAt = now
}

// names returns the names of the first accounts, sorted.
func (g *group) names() []string {
	var first []*account
	for a := range g.members {
		i, _ := slices.BinarySearchFunc(first, a, func(x, y *account) int { return cmp.Compare(x.index, y.index) })
		if i < maxNames {
			first = slices.Insert(first, i, a)
			first = first[:min(len(first), maxNames)]
		}
	}
	var names []string
	for _, a := range first {
		names = append(names, a.Name)
	}
	return names
}

// writeCauses logs causes of failures where a line is due.
func (r *Refresher) writeCauses() {
	now := r.now()
	r.causes.writeDue(now)
	r.quotas.writeDue(now)
}
