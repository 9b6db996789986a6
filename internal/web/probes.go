package web

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"weixin_exporter/internal/probe"
)

// Callbacks probes the callback servers of accounts; *probe.Prober implements it.
type Callbacks interface {
	ServeProbe(w http.ResponseWriter, r *http.Request)
	// Names returns the accounts that can be probed.
	Names() []string
	// Latest returns the latest result of an account; false if there is none.
	Latest(account string) (probe.Result, bool)
	// History returns the results that are kept, the latest first.
	History() []probe.Result
	// Log returns the log of the probe of that number; false if it is not kept.
	Log(id int64) (string, bool)
}

// probesView is what the template of the page of probes shows.
type probesView struct {
	*page
	Heading, Kept string
	// Account is the only one that is shown; "" shows all. AllURL leads to all.
	Account, AllURL string
	Rows            []probeRow
}

// probeRow is a probe in the table.
type probeRow struct {
	Time, Stamp, Account, AccountURL, Result, Said, Took, LogURL string
	Failed                                                       bool
}

// nowView is what is known of a callback server now.
type nowView struct {
	Text, Age, URL string
	Down           bool
}

func (r *renderer) serveProbes(w http.ResponseWriter, request *http.Request) {
	p := r.newPage(request, "probes", probesPath[1:])
	if id := p.query.Get("id"); id != "" {
		r.serveLog(w, request, id)
		return
	}
	v := probesView{
		page: p, Account: p.query.Get("account"), AllURL: p.link(probesPath[1:]),
		Heading: p.T("probes.title"), Kept: p.T("probes.kept", int64(probe.Kept)),
	}
	if v.Account != "" {
		v.Heading = p.T("probes.of", v.Account)
	}
	p.Title = v.Heading + " – weixin_exporter"
	for _, result := range r.Callbacks.History() {
		if v.Account == "" || v.Account == result.Account {
			v.Rows = append(v.Rows, p.probeRow(result))
		}
	}
	r.write(w, p, http.StatusOK, v)
}

func (p *page) probeRow(result probe.Result) probeRow {
	row := probeRow{
		Time: p.Clock(result.At, p.Now), Stamp: stamp(result.At), Account: result.Account,
		AccountURL: p.link(probesPath[1:], "account", result.Account), Result: p.T("probes.succeeded"), Said: p.Message(result.Found),
		Took: p.Seconds(result.Duration.Seconds()), LogURL: relative(p.Root, probesPath[1:], map[string][]string{"id": {strconv.FormatInt(result.ID, 10)}}),
	}
	if !result.Success() {
		row.Failed, row.Result = true, p.T("probes.failed", p.reason(result))
	}
	return row
}

func (p *page) reason(result probe.Result) string { return p.T("probe." + string(result.Reason)) }

// serveLog answers with the log of a probe, for people and programs alike.
func (r *renderer) serveLog(w http.ResponseWriter, request *http.Request, id string) {
	number, err := strconv.ParseInt(id, 10, 64)
	text, ok := r.Callbacks.Log(number)
	if err != nil || !ok {
		r.fail(w, request, http.StatusNotFound, "probe")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	secure(h)
	_, _ = io.WriteString(w, text) // the client is gone: nothing can be done
}

// probed returns the accounts whose callback is configured.
func (r *renderer) probed() map[string]bool {
	if r.Callbacks == nil {
		return nil
	}
	names := map[string]bool{}
	for _, name := range r.Callbacks.Names() {
		names[name] = true
	}
	return names
}

// HasProbes reports whether there are callbacks to probe.
func (p *page) HasProbes() bool {
	return p.renderer.Callbacks != nil && len(p.renderer.Callbacks.Names()) > 0
}

// Probes is where the link to the probes leads.
func (p *page) Probes() string { return p.link(probesPath[1:]) }

// now returns what is known of the callback server of an account.
func (p *page) now(account string) *nowView {
	v := &nowView{Text: p.T("now.none"), URL: p.link(probesPath[1:], "account", account)}
	result, ok := p.renderer.Callbacks.Latest(account)
	if !ok {
		return v
	}
	v.Age = p.T("fact.fresh.ago", p.Now.Sub(result.At))
	if v.Down = !result.Success(); v.Down {
		v.Text = p.T("now.down", p.reason(result))
		return v
	}
	v.Text = p.T("now.answers")
	return v
}

// recent is how old a result may be to count as now: several intervals of scraping.
const recent = 15 * time.Minute

// downNow returns the accounts whose callback server did not answer the latest probe.
func (p *page) downNow() []string {
	if p.renderer.Callbacks == nil {
		return nil
	}
	var down []string
	for _, name := range p.renderer.Callbacks.Names() {
		if r, ok := p.renderer.Callbacks.Latest(name); ok && !r.Success() && p.Now.Sub(r.At) < recent {
			down = append(down, name)
		}
	}
	return down
}

// downGroup is what is wrong with callback servers now.
func (p *page) downGroup(down []string) groupView {
	view := groupView{
		page: p, Tone: toneAction.String(), Title: p.T("now.group"), Advice: p.T("now.group.advice"),
		Accounts: p.T("group.accounts", int64(len(down))),
	}
	for _, name := range down[:min(len(down), mostNames)] {
		view.Names = append(view.Names, nameLink{name, p.link(probesPath[1:], "account", name)})
	}
	if len(down) > mostNames {
		view.More, view.MoreURL = p.T("group.all", int64(len(down))), p.Probes()
	}
	return view
}
