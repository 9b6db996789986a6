package web

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
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
	Version       string
	TelemetryPath string
	Now           string
	Ready         bool
	Accounts      []landingAccount
	Troubled      int
}

type landingAccount struct {
	Name, AppID string
	Daily       *landingDay
	Hourly      string // the latest day known by the hour
	Troubles    []landingTrouble
}

type landingDay struct {
	Date, Callbacks, Failures, FailRatio, Average, Longest string
}

type landingTrouble struct {
	API, Since, Text, To, Next string
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
	page := landingPage{Version: cmp.Or(l.Version, "unknown"), TelemetryPath: l.TelemetryPath, Now: moment(l.Now())}
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
		if a.Hourly != nil {
			shown.Hourly = a.Hourly.Date.String()
		}
		for api := range summary.APIs {
			if t := a.Work[api].Trouble; t != nil {
				shown.Troubles = append(shown.Troubles, trouble(api, t))
			}
		}
		if n := len(shown.Troubles); n > 0 {
			page.Troubled++
			if n == 2 && shown.Troubles[0].To == shown.Troubles[1].To {
				shown.Troubles[0].To = "" // said once, after both
			}
		}
		page.Accounts = append(page.Accounts, shown)
	}
	return page
}

func day(d *summary.Day) *landingDay {
	shown := &landingDay{
		Date:      d.Date.String(),
		Callbacks: grouped(d.Figures.Callbacks),
		Failures:  grouped(d.Figures.Failures),
		Longest:   fmt.Sprintf("%.3f s", d.Figures.MaxTimeCostSeconds()),
	}
	if average, ok := d.Figures.AverageTimeCostSeconds(); ok {
		shown.Average = fmt.Sprintf("%.3f s", average)
		shown.FailRatio = fmt.Sprintf("%.2f %%", 100*float64(d.Figures.Failures)/float64(d.Figures.Callbacks))
	}
	return shown
}

func trouble(api summary.API, t *snapshot.Trouble) landingTrouble {
	return landingTrouble{API: api.String(), Since: moment(t.Since), Text: t.Text, To: t.To, Next: moment(t.Next)}
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
