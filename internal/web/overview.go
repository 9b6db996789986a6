package web

import (
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"weixin_exporter/weixin/datacube"
)

const (
	// perPage is how many accounts a page shows.
	perPage = 50
	// mostGroups and mostNames bound what is said of what is wrong, whatever is wrong with however many accounts.
	mostGroups = 12
	mostNames  = 6
	// longestSearch is how many characters a search may have: more than a name.
	longestSearch = 200
)

// overview is what the template of the overview shows.
type overview struct {
	*page
	// Ready is false while the store is being read.
	Ready      bool
	Headline   string
	Tone       string
	Facts      []fact
	Notices    []groupView
	Groups     []groupView
	MoreGroups string
	MoreURL    string
	Filter     filterView
	Columns    []columnView
	Rows       []rowView
	Shown      string
	// Failed says that the days of the lines could not be read.
	Failed       bool
	Pages        []pageLink
	First        bool // there is no account at all
	Previous     string
	Next         string
	ShowingGroup string
	// Probed says that callback servers are probed, so that there is a column for them.
	Probed bool
}

// fact is a figure with its name.
type fact struct {
	Name, Value, Note string
	Bad               bool
	Time              string // the value as a date or time of the attribute datetime; "" if it is neither
}

// groupView is what is wrong with one account or many.
type groupView struct {
	*page
	Tone, Title, Said, Advice, When string
	Accounts                        string
	Names                           []nameLink
	More, MoreURL                   string
}

type nameLink struct{ Name, URL string }

type filterView struct {
	Text, State, Sort, Group, Language string
	States                             []option
	Active                             bool
	Clear                              string
}

type option struct {
	Value, Name string
	Selected    bool
}

// columnView is a heading by which the accounts can be sorted.
type columnView struct {
	Name, URL, Class string
	Current          bool
	Descending       bool
}

type rowView struct {
	Name, AppID, URL  string
	Condition, State  string
	Date, Hourly      string
	Figures           figureTexts
	Hours, Days       template.HTML
	Known, NeedsLabel bool
	Now               *nowView // nil if the account has no callback
}

type pageLink struct {
	Name, URL string
	Current   bool
	Gap       bool
}

func (r *renderer) serveOverview(w http.ResponseWriter, request *http.Request) {
	p := r.newPage(request, "overview", "")
	p.Title = "weixin_exporter"
	v := overview{page: p, Notices: p.notices()}
	if s := r.Source.Load(); s != nil {
		v.Ready = true
		v.fill(request, r.indexes.of(s))
	}
	r.write(w, p, http.StatusOK, v)
}

func (v *overview) fill(request *http.Request, x *index) {
	v.First = len(x.rows) == 0
	down := v.downNow()
	v.headline(x, len(down))
	v.facts(x)
	if t := x.source.Store; t != nil {
		v.Notices = append(v.Notices, v.storeNotice(t))
	}
	if len(down) > 0 {
		v.Groups = append(v.Groups, v.downGroup(down))
	}
	for _, g := range x.groups[:min(len(x.groups), mostGroups)] {
		v.Groups = append(v.Groups, v.groupView(g))
	}
	if more := len(x.groups) - mostGroups; more > 0 {
		v.MoreGroups, v.MoreURL = v.T("overview.more_causes", int64(more)), v.link("", "state", needsAction.String())+"#accounts"
	}
	chosen := v.selection(x)
	rows := x.choose(chosen)
	v.filter(x, chosen)
	v.columns(chosen)
	number, last := v.turnPages(chosen, len(rows))
	rows = rows[min((number-1)*perPage, len(rows)):min(number*perPage, len(rows))]
	v.shown(chosen, number, last, len(rows))
	v.rows(request, x, rows)
}

// headline says in a line how all is.
func (v *overview) headline(x *index, down int) {
	switch {
	case down > 0:
		v.Headline, v.Tone = v.T("now.headline", int64(down)), "bad"
	case len(x.rows) == 0:
		v.Headline, v.Tone = v.T("overview.empty"), "note"
	case x.people > 0:
		v.Headline, v.Tone = v.T("overview.people", int64(x.people)), "bad"
	case len(v.Notices) > 0 || x.source.Store != nil:
		v.Headline, v.Tone = v.T("overview.exporter"), "bad"
	case x.counts[failing] > 0:
		v.Headline, v.Tone = v.T("overview.failing", int64(x.counts[failing])), "warn"
	case x.counts[pending] > 0:
		v.Headline, v.Tone = v.T("overview.starting"), "note"
	default:
		v.Headline, v.Tone = v.T("overview.well"), "good"
	}
}

func (v *overview) facts(x *index) {
	v.Facts = []fact{{Name: v.T("fact.accounts"), Value: v.Number(int64(len(x.rows)))}}
	callbacks, ratio := fact{Name: v.T("fact.callbacks"), Value: dash}, fact{Name: v.T("fact.ratio"), Value: dash}
	if x.accounts > 0 {
		callbacks.Name = v.T("fact.callbacks.of", v.ShortDate(x.latest))
		callbacks.Value = v.Number(x.figures.Callbacks)
		if x.accounts < len(x.rows) {
			callbacks.Note = v.T("fact.callbacks.accounts", int64(x.accounts), int64(len(x.rows)))
		}
		if share, ok := x.figures.FailureRatio(); ok {
			ratio.Value, ratio.Note = v.Percent(share), v.T("fact.ratio.failures", x.figures.Failures)
		}
		ratio.Bad = x.figures.ManyFailed()
	}
	people := fact{Name: v.T("fact.people"), Value: v.Number(int64(x.people)), Bad: x.people > 0}
	fresh := fact{Name: v.T("fact.fresh"), Value: v.T("fact.fresh.never")}
	if !x.lastSuccess.IsZero() {
		fresh.Value = v.T("fact.fresh.ago", v.Now.Sub(x.lastSuccess))
		fresh.Time = stamp(x.lastSuccess)
	}
	v.Facts = append(v.Facts, callbacks, ratio, people, fresh)
}

// notices are about the exporter as a whole.
func (p *page) notices() []groupView {
	if p.renderer.Notices == nil {
		return nil
	}
	var views []groupView
	for _, n := range p.renderer.Notices() {
		views = append(views, groupView{page: p, Tone: toneAction.String(), Title: p.Message(n.Title), Said: n.Detail, Advice: p.Message(n.Advice)})
	}
	return views
}

func (p *page) groupView(g group) groupView {
	title := p.Message(g.title)
	if g.code != 0 {
		title = p.T("group.code", title, strconv.Itoa(g.code))
	}
	view := groupView{
		page: p, Tone: g.tone.String(), Title: title, Advice: p.Message(g.advice),
		Accounts: p.T("group.accounts", int64(len(g.accounts))),
	}
	for _, a := range g.accounts[:min(len(g.accounts), mostNames)] {
		view.Names = append(view.Names, nameLink{a.Name, p.accountURL(a.Name)})
	}
	if more := len(g.accounts) - len(view.Names); more > 0 {
		view.More, view.MoreURL = p.T("group.all", int64(len(g.accounts))), p.link("", "group", g.id)+"#accounts"
	}
	if g.problem != nil {
		view.Said = g.problem.Text
		view.When = p.when(g.since, g.next, g.problem.OutlastsReload)
		if !g.calls[datacube.Daily] || !g.calls[datacube.Hourly] {
			api := datacube.Daily
			if g.calls[datacube.Hourly] {
				api = datacube.Hourly
			}
			view.When = p.T("group.only", p.T("api."+api.String()), view.When)
		}
	}
	return view
}

// selection reads what is asked for; what cannot be understood is left out.
func (v *overview) selection(x *index) selection {
	text := strings.ToLower(strings.TrimSpace(strings.ToValidUTF8(v.query.Get("q"), "")))
	if utf8.RuneCountInString(text) > longestSearch {
		text = string([]rune(text)[:longestSearch])
	}
	s := selection{text: text, state: v.query.Get("state"), group: v.query.Get("group"), sort: v.query.Get("sort")}
	if _, ok := parseCondition(s.state); !ok {
		s.state = ""
	}
	if i := slices.IndexFunc(x.groups, func(g group) bool { return g.id == s.group }); i >= 0 {
		v.ShowingGroup = v.groupView(x.groups[i]).Title
	}
	if !slices.ContainsFunc(sortings()[1:], func(by sorting) bool { return by.key == s.sort }) {
		s.sort = ""
	}
	return s
}

// choose returns the relative URL of the accounts with another selection.
func (v *overview) choose(s selection, number int) string {
	shown := ""
	if number > 1 {
		shown = strconv.Itoa(number)
	}
	return v.link("", "q", s.text, "state", s.state, "group", s.group, "sort", s.sort, "page", shown) + "#accounts"
}

func (v *overview) filter(x *index, s selection) {
	v.Filter = filterView{
		Text: s.text, State: s.state, Sort: s.sort, Group: s.group, Language: v.query.Get("lang"),
		Active: s.text != "" || s.state != "" || s.group != "", Clear: v.choose(selection{sort: s.sort}, 1),
	}
	v.Filter.States = []option{{"", v.T("filter.all", int64(len(x.rows))), s.state == ""}}
	for c := range conditions {
		if x.counts[c] > 0 || s.state == c.String() {
			v.Filter.States = append(v.Filter.States, option{
				c.String(), v.T("filter.state", v.T("condition."+c.String()), int64(x.counts[c])), s.state == c.String(),
			})
		}
	}
}

func (v *overview) columns(s selection) {
	add := func(key, name, class string, descending bool) {
		other := s
		if other.sort = key; key == "state" {
			other.sort = ""
		}
		v.Columns = append(v.Columns, columnView{v.T("column." + name), v.choose(other, 1), class, other.sort == s.sort, descending})
	}
	add("name", "account", "", false)
	add("state", "state", "", true)
	add("day", "day", "", true)
	add("callbacks", "callbacks", "n", true)
	add("ratio", "ratio", "n", true)
	add("average", "average", "n", true)
	add("longest", "longest", "n", true)
}

// turnPages returns the number of the page that is asked for and of the last one, and sets the links to others.
func (v *overview) turnPages(s selection, rows int) (number, last int) { //nolint:nonamedreturns // two numbers that need names
	last = max(1, (rows+perPage-1)/perPage)
	number, err := strconv.Atoi(v.query.Get("page"))
	if err != nil {
		number = 1
	}
	number = min(max(number, 1), last)
	if last == 1 {
		return number, last
	}
	if number > 1 {
		v.Previous = v.choose(s, number-1)
	}
	if number < last {
		v.Next = v.choose(s, number+1)
	}
	former := 0
	for i := 1; i <= last; i++ {
		if i != 1 && i != last && (i < number-1 || i > number+1) {
			continue
		}
		if i > former+1 {
			v.Pages = append(v.Pages, pageLink{Gap: true})
		}
		v.Pages = append(v.Pages, pageLink{Name: v.Number(int64(i)), URL: v.choose(s, i), Current: i == number})
		former = i
	}
	return number, last
}

// shown says which accounts of how many are shown.
func (v *overview) shown(s selection, number, last, rows int) {
	switch {
	case rows == 0:
		v.Shown = v.T("overview.none_found")
	case last > 1:
		first := int64((number-1)*perPage + 1)
		v.Shown = v.T("overview.range", first, first+int64(rows)-1)
	}
	if s.group != "" && v.ShowingGroup == "" {
		v.Shown = v.T("overview.group_gone")
	}
}

func (v *overview) rows(request *http.Request, x *index, rows []row) {
	appIDs := make([]string, len(rows))
	for i, r := range rows {
		appIDs[i] = r.AppID
	}
	last := max(x.latest, datacube.DateOf(v.Now)-1)
	days, ok := v.renderer.reads.daily(request.Context(), appIDs, last-window+1, last)
	v.Failed = !ok && len(rows) > 0
	probed := v.renderer.probed()
	v.Probed = len(probed) > 0
	for i, r := range rows {
		id := "r" + strconv.Itoa(i)
		view := rowView{
			Name: r.Name, AppID: r.AppID, URL: v.accountURL(r.Name),
			Condition: r.condition.String(), State: v.stateOf(r.Account, r.condition), Figures: unknownFigures(),
			Days: v.line(id+"d", last, days[r.AppID]),
		}
		if probed[r.Name] {
			view.Now = v.now(r.Name)
		}
		if r.Daily != nil {
			view.Date, view.Figures = r.Daily.Date.String(), v.ofDay(&r.Daily.Figures)
		}
		if r.Hourly != nil {
			view.Hours = v.strip(id+"h", r.Hourly.Date, &r.Hourly.Hours)
			if r.Daily == nil || r.Daily.Date != r.Hourly.Date {
				view.Hourly = r.Hourly.Date.String()
			}
		}
		v.Rows = append(v.Rows, view)
	}
}

// accountURL returns the relative URL of an account's page. A name that a browser or a proxy would take for
// steps of a path stands in a parameter.
func (p *page) accountURL(name string, parameters ...string) string {
	path := "accounts/"
	if name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		parameters = append([]string{"name", name}, parameters...)
	} else {
		path += name
	}
	return p.link(path, parameters...)
}
