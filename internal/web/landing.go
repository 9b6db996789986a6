package web

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

//go:embed landing.html
var landingHTML string

// landing is the page for people: what is known of each account, what is wrong and what
// to do about it.
type landing struct {
	Options
	template *template.Template
}

func newLanding(o Options) (landing, error) {
	t, err := template.New("landing").Parse(landingHTML)
	if err != nil {
		return landing{}, fmt.Errorf("reading the template of the landing page: %w", err)
	}
	return landing{Options: o, template: t}, nil
}

// landingPage is what the template shows.
type landingPage struct {
	Version  string
	Metrics  string // a relative URL
	Now      string
	Ready    bool
	Notices  []Notice
	Accounts []landingAccount
	Problems []landingProblem
	// MoreProblems is how many are left out.
	MoreProblems int
	// Doubts are about days of accounts, and MoreDoubts is how many accounts are left out.
	Doubts     []landingDoubt
	MoreDoubts int
	// Store is what is wrong with the store.
	Store *landingProblem
}

type landingAccount struct {
	Name, AppID string
	Daily       *landingDay
	Hourly      string // the latest day known by the hour, if that is another one
	Known       bool   // by both calls
	Troubled    bool
	Doubtful    bool // about days; a problem or a doubt on the page says more
}

type landingDay struct {
	Date, Callbacks, Failures, FailureRatio, Average, Longest string
	// ManyFailed and TimedOut say what deserves attention.
	ManyFailed, TimedOut bool
}

// landingProblem is what is wrong with one account, or with many for the same cause.
type landingProblem struct {
	Names                            []string // the first ones
	More                             int      // how many accounts there are besides
	Calls, Since, Text, Advice, Next string
	// Fixed says that a reload does not end the wait.
	Fixed bool
}

const (
	// mostProblems and mostNames bound the page, whatever is wrong with however many accounts.
	mostProblems = 50
	mostNames    = 5
)

func (l landing) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var page bytes.Buffer
	if err := l.template.Execute(&page, l.page()); err != nil {
		level.Error(l.Logger).Log("msg", "cannot make the landing page", "err", err)
		http.Error(w, "The page cannot be made; see the log.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	_, _ = w.Write(page.Bytes()) // whoever asked is gone: nothing to be done
}

func (l landing) page() landingPage {
	page := landingPage{Version: cmp.Or(l.Version, "unknown"), Metrics: relative(l.TelemetryPath), Now: moment(l.Now())}
	if l.Notices != nil {
		page.Notices = l.Notices()
	}
	latest := l.Source.Load()
	if latest == nil {
		return page
	}
	page.Ready = true
	for _, a := range latest.Accounts {
		shown := landingAccount{Name: a.Name, AppID: a.AppID}
		if a.Daily != nil {
			shown.Daily = day(a.Daily)
		}
		if a.Hourly != nil && (a.Daily == nil || a.Daily.Date != a.Hourly.Date) {
			shown.Hourly = a.Hourly.Date.String()
		}
		shown.Known = a.Daily != nil && a.Hourly != nil
		for api := range datacube.APIs {
			shown.Troubled = shown.Troubled || a.Work[api].Problem != nil
		}
		if about := doubts(a); len(about) > 0 {
			shown.Doubtful = true
			page.doubt(a.Name, about)
		}
		page.Accounts = append(page.Accounts, shown)
	}
	page.Problems, page.MoreProblems = problems(latest.Accounts)
	if latest.Store != nil {
		store := (&cause{first: latest.Store, since: latest.Store.Since, next: latest.Store.Next}).shown()
		page.Store = &store
	}
	return page
}

// relative returns the URL of a path as seen from the landing page: a proxy may have put a prefix before it.
func relative(path string) string { return (&url.URL{Path: "." + path}).String() }

func day(d *datacube.Day) *landingDay {
	shown := &landingDay{
		Date:       d.Date.String(),
		Callbacks:  grouped(d.Figures.Callbacks),
		Failures:   grouped(d.Figures.Failures),
		Longest:    fmt.Sprintf("%.3f s", d.Figures.MaxTimeCostSeconds()),
		ManyFailed: d.Figures.ManyFailed(),
		TimedOut:   d.Figures.TimedOut(),
	}
	if average, ok := d.Figures.AverageTimeCostSeconds(); ok {
		shown.Average = fmt.Sprintf("%.3f s", average)
	}
	if ratio, ok := d.Figures.FailureRatio(); ok {
		shown.FailureRatio = fmt.Sprintf("%.2f %%", 100*ratio)
	}
	return shown
}

// landingDoubt is what is not sure about the days of an account.
type landingDoubt struct {
	Name string
	Said []string
}

func (p *landingPage) doubt(account string, said []string) {
	if len(p.Doubts) == mostProblems {
		p.MoreDoubts++
		return
	}
	p.Doubts = append(p.Doubts, landingDoubt{account, said})
}

// doubts says what is not sure about the days of an account.
func doubts(a *snapshot.Account) []string {
	var said []string
	for api := range datacube.APIs {
		if w := &a.Work[api]; w.Damaged > 0 {
			said = append(said, fmt.Sprintf("%v call: Weixin's latest answer could not be understood for %s, the latest being %v."+
				" What was known before is kept, and they are asked for again.", api, count(w.Damaged, "day"), w.LatestDamaged))
		}
	}
	if a.Inconsistent > 0 {
		said = append(said, fmt.Sprintf("The daily and the hourly call contradict each other on %s. They are asked for again.",
			count(a.Inconsistent, "day")))
	}
	return said
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(n) + " " + what + "s"
}

// cause is what makes calls of accounts fail.
type cause struct {
	first       *snapshot.Problem
	names       []string
	accounts    int
	last        *snapshot.Account
	calls       [datacube.APIs]bool
	since, next time.Time // the earliest
}

// problems groups what is wrong by its cause, the causes of most accounts first, and returns how
// many causes are left out.
func problems(accounts []*snapshot.Account) ([]landingProblem, int) {
	known := map[snapshot.Cause]*cause{}
	var causes []*cause
	for _, a := range accounts {
		for api := range datacube.APIs {
			t := a.Work[api].Problem
			if t == nil {
				continue
			}
			c := known[t.Cause]
			if c == nil {
				c = &cause{first: t, since: t.Since, next: t.Next}
				known[t.Cause] = c
				causes = append(causes, c)
			}
			c.add(a, api, t)
		}
	}
	slices.SortStableFunc(causes, func(a, b *cause) int { return cmp.Compare(b.accounts, a.accounts) })
	var shown []landingProblem
	for _, c := range causes[:min(len(causes), mostProblems)] {
		shown = append(shown, c.shown())
	}
	return shown, len(causes) - len(shown)
}

func (c *cause) add(a *snapshot.Account, api datacube.API, t *snapshot.Problem) {
	if c.last != a {
		c.last = a
		c.accounts++
		if len(c.names) < mostNames {
			c.names = append(c.names, a.Name)
		}
	}
	c.calls[api] = true
	if t.Since.Before(c.since) {
		c.since = t.Since
	}
	if t.Next.Before(c.next) {
		c.next = t.Next
	}
}

func (c *cause) shown() landingProblem {
	calls := "both calls"
	for api := range datacube.APIs {
		if !c.calls[1-api] {
			calls = api.String() + " call"
		}
	}
	return landingProblem{
		Names: c.names, More: c.accounts - len(c.names), Calls: calls,
		Since: moment(c.since), Text: c.first.Text, Advice: c.first.Advice, Next: moment(c.next), Fixed: c.first.OutlastsReload,
	}
}

// moment writes a time in China, the zone of all dates on the page.
func moment(t time.Time) string { return t.In(datacube.China).Format("2006-01-02 15:04:05") }

// grouped writes a number with its digits in groups of three.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
