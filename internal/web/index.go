package web

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// index is what the overview needs of a snapshot, made once for all who ask for it.
type index struct {
	source *snapshot.Snapshot
	// rows are all accounts, worst first.
	rows   []row
	byName map[string]*snapshot.Account
	counts [conditions]int
	// people is how many accounts need a person.
	people int
	groups []group
	// latest is the last day that is known of any account, and the sums are of the accounts that know it.
	latest      datacube.Date
	figures     datacube.Figures
	accounts    int
	lastSuccess time.Time
}

// row is an account with what it is sorted by.
type row struct {
	*snapshot.Account
	condition condition
	search    string
}

// cache keeps the index of the latest snapshot alone.
type cache struct {
	mu   sync.Mutex
	last *index
}

// of returns the index of a snapshot.
func (c *cache) of(s *snapshot.Snapshot) *index {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || c.last.source != s {
		c.last = newIndex(s)
	}
	return c.last
}

func newIndex(s *snapshot.Snapshot) *index {
	x := &index{source: s, rows: make([]row, 0, len(s.Accounts)), byName: make(map[string]*snapshot.Account, len(s.Accounts))}
	for _, a := range s.Accounts {
		r := row{Account: a, condition: conditionOf(a), search: strings.ToLower(a.Name + "\n" + a.AppID)}
		x.rows = append(x.rows, r)
		x.byName[a.Name] = a
		x.counts[r.condition]++
		if r.condition.needsPerson() {
			x.people++
		}
		if a.Daily != nil {
			x.latest = max(x.latest, a.Daily.Date)
		}
		for _, w := range a.Work {
			if w.LastSuccess.After(x.lastSuccess) {
				x.lastSuccess = w.LastSuccess
			}
		}
	}
	for _, a := range s.Accounts {
		if a.Daily != nil && a.Daily.Date == x.latest {
			x.accounts++
			x.figures.Callbacks += a.Daily.Figures.Callbacks
			x.figures.Failures += a.Daily.Figures.Failures
		}
	}
	// The snapshot has the accounts by name, which a stable sort keeps.
	slices.SortStableFunc(x.rows, byState)
	x.groups = groupsOf(s)
	return x
}

// sorting is a way to order the accounts.
type sorting struct {
	// key is how it stands in URLs.
	key string
	// less compares; the accounts are by name where it says that two are equal.
	compare func(a, b row) int
}

// sortings are the ways to order the accounts; the first is the default. Figures are from the largest on,
// and accounts without any come last.
func sortings() []sorting {
	return []sorting{
		{"state", byState},
		{"name", func(a, b row) int { return cmp.Compare(a.Name, b.Name) }},
		{"day", descending(func(a row) float64 { return float64(a.Daily.Date) })},
		{"callbacks", descending(func(a row) float64 { return float64(a.Daily.Figures.Callbacks) })},
		{"ratio", descending(func(a row) float64 { return orNone(a.Daily.Figures.FailureRatio()) })},
		{"average", descending(func(a row) float64 { return orNone(a.Daily.Figures.AverageTimeCostSeconds()) })},
		{"longest", descending(func(a row) float64 { return a.Daily.Figures.MaxTimeCostSeconds() })},
	}
}

// none is below all figures.
const none = -1

func orNone(value float64, ok bool) float64 {
	if !ok {
		return none
	}
	return value
}

// descending compares by a figure of the latest day.
func descending(figure func(row) float64) func(a, b row) int {
	value := func(r row) float64 {
		if r.Daily == nil {
			return none - 1
		}
		return figure(r)
	}
	return func(a, b row) int {
		return cmp.Or(cmp.Compare(value(b), value(a)), cmp.Compare(a.Name, b.Name))
	}
}

// byState puts the worst first; among accounts whose callbacks failed, those with the highest failure ratio.
func byState(a, b row) int {
	if c := cmp.Compare(a.condition, b.condition); c != 0 || a.condition != callbacksFailed {
		return c
	}
	return descending(func(r row) float64 { return orNone(r.Daily.Figures.FailureRatio()) })(a, b)
}

// selection is what a person asks to see of the accounts.
type selection struct {
	text  string // part of a name or app id, in lower case
	state string // a condition, or "" for all
	group string // the id of a group, or "" for all
	sort  string // the key of a sorting; "" is the default
}

// choose returns the accounts that are asked for, in order. They must not be changed.
func (x *index) choose(s selection) []row {
	var members map[*snapshot.Account]bool
	if s.group != "" {
		members = x.members(s.group)
	}
	wanted, one := parseCondition(s.state)
	chosen := x.rows
	if s.text != "" || one || members != nil {
		chosen = nil
		for _, r := range x.rows {
			if (!one || r.condition == wanted) && (members == nil || members[r.Account]) && strings.Contains(r.search, s.text) {
				chosen = append(chosen, r)
			}
		}
	}
	for i, by := range sortings() {
		if i > 0 && by.key == s.sort {
			chosen = slices.Clone(chosen)
			slices.SortFunc(chosen, by.compare)
		}
	}
	return chosen
}

// members returns the accounts of a group; an empty set where there is no such group any more.
func (x *index) members(id string) map[*snapshot.Account]bool {
	members := map[*snapshot.Account]bool{}
	for _, g := range x.groups {
		if g.id == id {
			for _, a := range g.accounts {
				members[a] = true
			}
		}
	}
	return members
}
