package web

import (
	"html/template"
	"net/http"
	"strings"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin/datacube"
)

// accountsPath is where the pages of accounts are; their names follow.
const accountsPath = "/accounts/"

// accountView is what the template of an account's page shows.
type accountView struct {
	*page
	Account, AppID   string
	Condition, State string
	Groups           []groupView
	Callback         *nowView // nil if the account has none
	Day              dayView
	Window           windowView
	// Failed says that the figures could not be read.
	Failed bool
}

// dayView is one day of an account.
type dayView struct {
	Date, Long, Min, Max string
	Previous, Next       string
	// FormName and FormLanguage are what the form that chooses a date passes on.
	FormName, FormLanguage string
	Facts                  []fact
	// Note says what is missing.
	Note      string
	Callbacks template.HTML
	Top, Half string // the scale of Callbacks
	Times     template.HTML
	Ticks     []string // the scale of Times
	Hours     []hourView
	CSV       string
}

type hourView struct {
	Hour    string
	Known   bool
	Figures figureTexts
}

// windowView is the days up to the day that is shown, or up to the latest one.
type windowView struct {
	Title    string
	Heat     template.HTML
	Columns  []heatColumn
	Days     []windowDay
	HeatRows []heatRow
	CSV      string
}

type heatColumn struct{ Label, Date, Short, URL string }

// heatRow is an hour with its failure ratios of all days, for those who do not see the map.
type heatRow struct {
	Hour  string
	Cells []string
}

type windowDay struct {
	Date, Weekday, URL string
	Figures            figureTexts
	Hours              template.HTML
	Current            bool
	Known              bool
}

// request of an account's page.
type accountRequest struct {
	account *snapshot.Account
	date    datacube.Date
	// first and last are the days that can be chosen, and from and to those of the window.
	first, last, from, to datacube.Date
}

func (r *renderer) serveAccount(w http.ResponseWriter, request *http.Request) {
	s := r.Source.Load()
	if s == nil {
		r.fail(w, request, http.StatusServiceUnavailable, "starting")
		return
	}
	path := strings.TrimPrefix(strings.TrimPrefix(request.URL.Path, r.Prefix), "/")
	name := strings.TrimPrefix(path, accountsPath[1:])
	if name == "" {
		name = request.URL.Query().Get("name")
	}
	account := r.indexes.of(s).byName[name]
	if account == nil {
		r.fail(w, request, http.StatusNotFound, "account", name)
		return
	}
	p := r.newPage(request, "account", path)
	p.Title = name + " – weixin_exporter"
	asked, ok := p.read(account)
	if !ok {
		r.fail(w, request, http.StatusBadRequest, "date")
		return
	}
	hours, hoursRead := r.reads.hourly(request.Context(), account.AppID, asked.from, asked.to)
	days, daysRead := r.reads.daily(request.Context(), []string{account.AppID}, asked.from, asked.to)
	month := monthOf(asked, hours, days[account.AppID])
	if format := p.query.Get("format"); format == "csv" {
		if !hoursRead || !daysRead {
			r.fail(w, request, http.StatusServiceUnavailable, "store")
			return
		}
		writeCSV(w, asked, month, p.query.Get("of"))
		return
	}
	v := accountView{page: p, Account: account.Name, AppID: account.AppID, Failed: !hoursRead || !daysRead}
	c := conditionOf(account)
	v.Condition, v.State = c.String(), p.stateOf(account, c)
	for _, g := range groupsOf(&snapshot.Snapshot{Accounts: []*snapshot.Account{account}}) {
		view := p.groupView(g)
		view.Names, view.Accounts = nil, ""
		v.Groups = append(v.Groups, view)
	}
	if r.probed()[account.Name] {
		v.Callback = p.now(account.Name)
	}
	v.Day = v.day(asked, month)
	v.Window = v.window(asked, month)
	r.write(w, p, http.StatusOK, v)
}

// read finds out which day is asked for; false if that is not a day.
func (p *page) read(a *snapshot.Account) (accountRequest, bool) {
	yesterday := datacube.DateOf(p.Now) - 1
	asked := accountRequest{account: a, date: yesterday, first: datacube.FirstDate, last: yesterday}
	if a.Daily != nil {
		asked.date, asked.last = a.Daily.Date, max(asked.last, a.Daily.Date)
	}
	if a.Hourly != nil {
		asked.date, asked.last = a.Hourly.Date, max(asked.last, a.Hourly.Date)
	}
	if text := p.query.Get("date"); text != "" {
		date, err := datacube.ParseDate(text)
		if err != nil || date < asked.first || date > asked.last {
			return asked, false
		}
		asked.date = date
	}
	asked.to = asked.last
	if asked.date <= asked.last-window {
		asked.to = asked.date
	}
	asked.from = max(asked.first, asked.to-window+1)
	return asked, true
}

// monthDay is a day of the window, with what is known of it.
type monthDay struct {
	date  datacube.Date
	daily *datacube.Figures
	hours *datacube.Hours
}

// total returns the figures of the day: those of the daily call, else the sum of the hours; nil if neither is known.
func (d monthDay) total() *datacube.Figures {
	if d.daily != nil || d.hours == nil {
		return d.daily
	}
	sum := d.hours.Total()
	return &sum
}

// monthOf brings together what is known of the days of the window. The latest days of the snapshot are used
// where they cannot be read.
func monthOf(asked accountRequest, hours map[datacube.Date]*datacube.Hours, days dailySeries) []monthDay {
	var month []monthDay
	for date := asked.from; date <= asked.to; date++ {
		d := monthDay{date: date, hours: hours[date]}
		if f, ok := days[date]; ok {
			d.daily = &f
		}
		if latest := asked.account.Hourly; d.hours == nil && latest != nil && latest.Date == date {
			d.hours = &latest.Hours
		}
		if latest := asked.account.Daily; d.daily == nil && latest != nil && latest.Date == date {
			d.daily = &latest.Figures
		}
		month = append(month, d)
	}
	return month
}

// dayURL returns the relative URL of the page with a day.
func (v *accountView) dayURL(date datacube.Date, parameters ...string) string {
	return v.accountURL(v.Account, append([]string{"date", date.String()}, parameters...)...)
}

func (v *accountView) day(asked accountRequest, month []monthDay) dayView {
	shown := month[int(asked.date-asked.from)]
	d := dayView{
		Date: asked.date.String(), Long: v.LongDate(asked.date), Min: asked.first.String(), Max: asked.last.String(),
		FormName: v.query.Get("name"), FormLanguage: v.query.Get("lang"),
		CSV: v.dayURL(asked.date, "format", "csv", "of", "hours"),
	}
	if asked.date > asked.first {
		d.Previous = v.dayURL(asked.date - 1)
	}
	if asked.date < asked.last {
		d.Next = v.dayURL(asked.date + 1)
	}
	d.Note = v.noteOf(asked, shown)
	d.Facts = v.dayFacts(v.ofDay(shown.total()))
	v.drawDay(&d, shown)
	for hour := range datacube.HoursPerDay {
		view := hourView{Hour: twoDigits(hour) + ":00", Figures: unknownFigures()}
		if shown.hours != nil {
			view.Known, view.Figures = true, v.ofHour(shown.hours[hour])
		}
		d.Hours = append(d.Hours, view)
	}
	return d
}

// noteOf says what is not known of a day.
func (v *accountView) noteOf(asked accountRequest, d monthDay) string {
	switch {
	case d.hours != nil && d.daily != nil:
		return ""
	case d.hours != nil:
		return v.T("account.day.only_hours")
	case d.daily != nil:
		return v.T("account.day.only_total")
	case asked.date == asked.last && asked.account.Work[datacube.Hourly].NotReady:
		return v.T("account.day.not_there")
	default:
		return v.T("account.day.unknown")
	}
}

func (v *accountView) dayFacts(f figureTexts) []fact {
	return []fact{
		{Name: v.T("fact.callbacks"), Value: f.Callbacks},
		{Name: v.T("fact.failures"), Value: f.Failures, Bad: f.ManyFailed},
		{Name: v.T("fact.ratio"), Value: f.Ratio, Bad: f.ManyFailed},
		{Name: v.T("fact.average"), Value: f.Average},
		{Name: v.T("fact.longest"), Value: f.Longest, Bad: f.TimedOut},
	}
}
