package web

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-kit/log/level"

	"weixin_exporter/snapshot"
	"weixin_exporter/summary"
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
	Troubled int
}

type landingAccount struct {
	Name, AppID string
	Daily       *landingDay
	Hourly      string // the latest day known by the hour, if that is another one
	Known       bool   // by both calls
	Troubles    []landingTrouble
	Doubts      []string // about days; they pass, or a trouble of their own says what to do
}

type landingDay struct {
	Date, Callbacks, Failures, FailureRatio, Average, Longest string
	// ManyFailed and TimedOut say what deserves attention.
	ManyFailed, TimedOut bool
}

type landingTrouble struct {
	Calls, Since, Text, To, Next string
}

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
	latest := l.Source.Latest()
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
		for api := range summary.APIs {
			if t := a.Work[api].Trouble; t != nil {
				shown.Troubles = append(shown.Troubles, trouble(api, t))
			}
		}
		shown.Doubts = doubts(a)
		if len(shown.Troubles) > 0 || len(shown.Doubts) > 0 {
			page.Troubled++
			shown.Troubles = sayOnce(shown.Troubles)
		}
		page.Accounts = append(page.Accounts, shown)
	}
	return page
}

// relative returns the URL of a path as seen from the landing page: a proxy may have put a prefix before it.
func relative(path string) string { return (&url.URL{Path: "." + path}).String() }

func day(d *summary.Day) *landingDay {
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

// doubts says what is not sure about the days of an account.
func doubts(a *snapshot.Account) []string {
	var said []string
	for api := range summary.APIs {
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

func trouble(api summary.API, t *snapshot.Trouble) landingTrouble {
	return landingTrouble{Calls: api.String() + " call", Since: moment(t.Since), Text: t.Text, To: t.To, Next: moment(t.Next)}
}

// sayOnce makes one trouble of two that are the same but for the call and the rid.
func sayOnce(troubles []landingTrouble) []landingTrouble {
	if len(troubles) < 2 {
		return troubles
	}
	first, second := troubles[0], troubles[1]
	withoutRID := func(text string) string { text, _, _ = strings.Cut(text, " (rid "); return text }
	if first.To != second.To || withoutRID(first.Text) != withoutRID(second.Text) {
		return troubles
	}
	first.Calls = "both calls"
	return []landingTrouble{first}
}

// moment writes a time in China, the zone of all dates on the page.
func moment(t time.Time) string { return t.In(summary.China).Format("2006-01-02 15:04:05") }

// grouped writes a number with its digits in groups of three.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
