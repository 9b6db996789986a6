package web

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// tone says how urgent a group is, worst first.
type tone uint8

const (
	toneAction  tone = iota // someone has to do something
	toneFigures             // someone has to look at the account's server
	toneNote                // it passes by itself
)

// String returns the tone as it stands in classes.
func (t tone) String() string { return [...]string{"bad", "warn", "note"}[t] }

// group is what is wrong with one account or many, and what to do about it.
type group struct {
	// id is the same as long as the cause is.
	id       string
	tone     tone
	title    i18n.Message
	code     int // Weixin's errcode; 0: none
	accounts []*snapshot.Account
	advice   i18n.Message
	// problem is an example; nil where it is about figures.
	problem *snapshot.Problem
	calls   [datacube.APIs]bool
	// since and next are the earliest of all accounts.
	since, next time.Time
}

// groupsOf returns what is wrong, grouped by what to do: the worst first, and of the same tone that of most
// accounts.
func groupsOf(s *snapshot.Snapshot) []group {
	byID := map[string]*group{}
	var groups []*group
	in := func(id string, newGroup func() group) *group {
		g := byID[id]
		if g == nil {
			made := newGroup()
			g = &made
			g.id = id
			byID[id] = g
			groups = append(groups, g)
		}
		return g
	}
	for _, a := range s.Accounts {
		for api := range datacube.APIs {
			if p := a.Work[api].Problem; p != nil {
				in(idOf(p.Cause), func() group { return newCauseGroup(p) }).addProblem(a, api, p)
			}
		}
		if kind := kindOfFigures(a); kind != figuresWell {
			in("figures-"+string(kind), func() group { return newFigureGroup(kind) }).add(a)
		}
		for api := range datacube.APIs {
			if a.Work[api].Damaged > 0 {
				in("damaged", newDoubtGroup("damaged")).add(a)
			}
		}
		if a.Inconsistent > 0 {
			in("inconsistent", newDoubtGroup("inconsistent")).add(a)
		}
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.tone, b.tone), cmp.Compare(len(b.accounts), len(a.accounts)))
	})
	sorted := make([]group, len(groups))
	for i, g := range groups {
		sorted[i] = *g
	}
	return sorted
}

// idOf returns a short text that is the same for causes about which the same must be done: a server that many
// accounts get their tokens from is one cause, files of their own are not told apart.
func idOf(c snapshot.Cause) string {
	id := c.Reason.String()
	if c.Code != 0 {
		id += "-" + strconv.Itoa(c.Code)
	}
	host := ""
	if u, err := url.Parse(c.Source); err == nil {
		host = u.Host
	}
	if c.Kind != "" || c.Source != "" || c.Address != "" {
		h := fnv.New32a()
		_, _ = fmt.Fprintf(h, "%q %t %q %q", c.Kind, c.Source != "", host, c.Address) // it never fails
		id += fmt.Sprintf("-%08x", h.Sum32())
	}
	return id
}

func newCauseGroup(p *snapshot.Problem) group {
	g := group{title: i18n.Cause(p.Advice), advice: i18n.Advice(p.Advice), code: p.Cause.Code, problem: p, tone: toneNote, since: p.Since, next: p.Next}
	if p.NeedsAction {
		g.tone = toneAction
	}
	return g
}

func newFigureGroup(kind figureKind) group {
	key := "group.figures." + string(kind)
	return group{tone: toneFigures, title: i18n.M(key), advice: i18n.M(key + ".advice")}
}

func newDoubtGroup(kind string) func() group {
	return func() group {
		key := "group." + kind
		return group{tone: toneNote, title: i18n.M(key), advice: i18n.M(key + ".advice")}
	}
}

// add notes an account once. Accounts come one after the other.
func (g *group) add(a *snapshot.Account) {
	if n := len(g.accounts); n == 0 || g.accounts[n-1] != a {
		g.accounts = append(g.accounts, a)
	}
}

func (g *group) addProblem(a *snapshot.Account, api datacube.API, p *snapshot.Problem) {
	g.add(a)
	g.calls[api] = true
	if p.Since.Before(g.since) {
		g.since = p.Since
	}
	if p.Next.Before(g.next) {
		g.next = p.Next
	}
}
