package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/probe"
	"weixin_exporter/internal/snapshot"
	pages "weixin_exporter/internal/web"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// pageNow is the time in the states that the pages are looked at in: 2026-11-29 10:20 in China.
func pageNow() time.Time { return time.Date(2026, 11, 29, 2, 20, 0, 0, time.UTC) }

func pageYesterday() datacube.Date { return datacube.DateOf(pageNow()) - 1 }

// pageState is what the pages show in one state of the exporter.
type pageState struct {
	name     string
	accounts []*snapshot.Account
	notices  []pages.Notice
	store    *snapshot.Problem
	sim      *weixintest.Server
	// account is the one whose page is looked at; "" for none.
	account string
	// probed are accounts with a callback server; the first of them is down.
	probed []string
	// pictured means that screenshots are left of it.
	pictured bool
}

// serve serves the pages of a state. It returns their address, with a slash at its end.
func (s pageState) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(s.handler(t))
	t.Cleanup(server.Close)
	return server.URL + "/"
}

func (s pageState) handler(t *testing.T) http.Handler {
	t.Helper()
	latest := snapshot.NewLatest()
	slices.SortFunc(s.accounts, func(a, b *snapshot.Account) int { return cmp.Compare(a.Name, b.Name) })
	latest.Publish(&snapshot.Snapshot{Accounts: s.accounts, Store: s.store})
	var callbacks pages.Callbacks
	if len(s.probed) > 0 {
		callbacks = probedCallbacks(t, s.probed)
	}
	h, err := pages.NewHandler(pages.Options{
		Callbacks: callbacks,
		Source:    latest, Figures: simulatedFigures{s.sim}, Notices: func() []pages.Notice { return s.notices }, Status: s.status,
		Metrics: http.NotFoundHandler(), TelemetryPath: "/metrics", Discovery: http.NotFoundHandler(),
		Config:  func() ([]byte, error) { return []byte("accounts: []\n"), nil },
		Version: stampedVersion, Now: pageNow, Logger: log.NewLogfmtLogger(io.Discard),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// probedCallbacks returns the results of a probe of each account.
func probedCallbacks(t *testing.T, names []string) *probe.Prober {
	t.Helper()
	const token = secretMarker + "callback"
	p := probe.New(probe.Options{Now: func() time.Time { return pageNow().Add(-2 * time.Minute) }})
	var accounts []probe.Account
	for i, name := range names {
		server := weixintest.NewCallback(weixintest.CallbackOptions{Token: token})
		if i == 0 {
			server.SetFault(weixintest.CallbackFault{Status: http.StatusBadGateway})
		}
		served := httptest.NewServer(server)
		t.Cleanup(served.Close)
		accounts = append(accounts, probe.Account{Name: name, Target: &probe.Target{
			URL: secret.NewURL(served.URL), Token: func() (secret.Value, error) { return secret.New(token), nil },
		}})
	}
	p.ApplyConfig(accounts)
	for _, name := range names {
		if _, err := p.Probe(t.Context(), name, probe.Longest); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (s pageState) status() pages.Status {
	return pages.Status{
		Started: pageNow().Add(-75 * time.Hour), CallsDate: pageYesterday() + 1,
		Queue:     pages.Queue{Underway: 2, Waiting: len(s.accounts), Next: pageNow().Add(11 * time.Minute)},
		Calls:     []pages.Calls{{API: "daily", Errcode: "0", Number: 412}, {API: "daily", Errcode: "48001", Number: 27}, {API: "token", Errcode: "http", Number: 3}},
		Store:     pages.StoreStatus{Engine: "SQLite", Path: "/var/lib/weixin_exporter/weixin_exporter.db", Bytes: 73_400_320, LastWrite: pageNow().Add(-9 * time.Minute)},
		Receivers: []pages.Receiver{{Label: "prometheus:9090", LastSuccess: pageNow().Add(-time.Minute)}, {Label: "mimir:9009", Pending: 98_000}},
		Config:    pages.ConfigStatus{Since: pageNow().Add(-26 * time.Hour), Fault: "config.yml:12:5: accounts[3].app_id: is that of account \"shop\", too", FaultAt: pageNow().Add(-time.Hour)},
	}
}

// simulatedFigures is a store that has all days of the simulated accounts.
type simulatedFigures struct{ sim *weixintest.Server }

// DailyFigures implements web.Figures.
func (s simulatedFigures) DailyFigures(_ context.Context, appIDs []string, from, to datacube.Date, each func(string, datacube.Date, datacube.Figures)) error {
	for _, appID := range appIDs {
		for date := from; date <= min(to, pageYesterday()); date++ {
			if day := s.sim.Day(appID, date); day.Callbacks > 0 && date != pageYesterday()-9 { // a day that is not known
				each(appID, date, day)
			}
		}
	}
	return nil
}

// HourlyFigures implements web.Figures.
func (s simulatedFigures) HourlyFigures(_ context.Context, appID string, from, to datacube.Date, each func(datacube.Date, *datacube.Hours)) error {
	for date := from; date <= min(to, pageYesterday()); date++ {
		if hours := s.sim.Hours(appID, date); hours.Total().Callbacks > 0 && date != pageYesterday()-9 {
			each(date, &hours)
		}
	}
	return nil
}

// newPageState returns a state with accounts of which all is known. An account named "incident…" had one yesterday.
func newPageState(name string, accounts ...string) pageState {
	var simulated []weixintest.Account
	for i, account := range accounts {
		a := weixintest.Account{AppID: fmt.Sprintf("wx%016x", 0xc0ffee+i), AppSecret: secretMarker + strconv.Itoa(i), CallbacksPerDay: int64(30 + (i*i*7919)%900_000)}
		if strings.HasPrefix(account, "incident") {
			a.Incidents, a.CallbacksPerDay = []datacube.Date{pageYesterday()}, 25_000
		}
		simulated = append(simulated, a)
	}
	s := pageState{name: name, sim: weixintest.New(weixintest.Options{Seed: 5, Now: pageNow, Accounts: simulated})}
	for i, account := range accounts {
		appID := simulated[i].AppID
		a := &snapshot.Account{
			Name: account, AppID: appID,
			Daily:  &datacube.Day{Date: pageYesterday(), Figures: s.sim.Day(appID, pageYesterday())},
			Hourly: &datacube.HourlyDay{Date: pageYesterday(), Hours: s.sim.Hours(appID, pageYesterday())},
		}
		for api := range a.Work {
			a.Work[api].Succeeded, a.Work[api].LastSuccess = true, pageNow().Add(-4*time.Minute)
		}
		s.accounts = append(s.accounts, a)
	}
	if len(accounts) > 0 {
		s.account = accounts[0]
	}
	return s
}

// numbered returns names of accounts.
func numbered(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("account-%05d", i)
	}
	return list
}

// refuse makes the calls of the accounts fail.
func (s pageState) refuse(errcode int, reason weixin.Reason, needsAction bool, advice weixin.Advice, said string, accounts ...*snapshot.Account) {
	for _, a := range accounts {
		for api := range a.Work {
			a.Work[api].Succeeded = false
			a.Work[api].Problem = &snapshot.Problem{
				Since: pageNow().Add(-3 * time.Hour), At: pageNow(), Next: pageNow().Add(25 * time.Minute), Text: said,
				Advice: advice, NeedsAction: needsAction, Cause: snapshot.Cause{Reason: reason, Code: errcode, Address: advice.Address},
			}
		}
	}
}

// pageStates returns the states in which the pages are looked at.
func pageStates() []pageState {
	firstHour := newPageState("first-hour", "shop", "news", "bot")
	for _, a := range firstHour.accounts[:2] {
		a.Daily, a.Hourly, a.Work = nil, nil, [datacube.APIs]snapshot.Work{}
	}
	normal := newPageState("normal", "shop", "小店客服", "news", "support-bot", "corner-cafe")
	waiting := normal.accounts[4]
	waiting.Daily.Date, waiting.Hourly.Date = pageYesterday()-1, pageYesterday()-1
	for api := range waiting.Work {
		waiting.Work[api].NotReady, waiting.Work[api].Asked, waiting.Work[api].Next = true, 4, pageNow().Add(25*time.Minute)
	}
	incident := newPageState("incident", append([]string{"incident-bot", "shop", "news", "corner-cafe", "closed", "doubtful"}, numbered(27)...)...)
	incident.refuse(48001, weixin.Permission, true, weixin.AdviceOn(48001), "errcode 48001: api unauthorized (rid 5f9b7285-5c43096f-0ba75f4d)", incident.accounts[6:]...)
	allowList := weixin.AdviceOn(40164)
	allowList.Address = "203.0.113.7"
	incident.refuse(40164, weixin.AllowList, true, allowList, "errcode 40164: invalid ip 203.0.113.7, not in whitelist", incident.accounts[4])
	incident.accounts[5].Inconsistent, incident.accounts[5].Work[0].Damaged = 2, 1
	for _, a := range incident.accounts[6:] {
		a.Daily, a.Hourly = nil, nil
	}
	incident.probed = []string{"incident-bot", "shop", "news"}
	incident.notices = []pages.Notice{{Title: i18n.M("notice.clock"), Detail: "the clock of this host is 7h12m0s ahead of Weixin's", Advice: i18n.M("notice.clock.advice")}}
	away := newPageState("weixin-away", numbered(1000)...)
	away.refuse(0, weixin.Busy, false, weixin.Busy.Advice(), "dial tcp 203.0.113.1:443: connect: connection refused", away.accounts...)
	away.store = &snapshot.Problem{Since: pageNow().Add(-time.Hour), Next: pageNow().Add(time.Minute), Text: "weixin_exporter.db: save: database or disk is full", Advice: weixin.StoreFault.Advice(), OutlastsReload: true}
	pictured := []pageState{
		newPageState("empty"), firstHour, normal, incident, away, newPageState("many", append([]string{"incident-1", "incident-2"}, numbered(998)...)...),
	}
	for i := range pictured {
		pictured[i].pictured = true
	}
	return append(pictured, newPageState("one", "shop"), newPageState("most", numbered(10_000)...), hostilePages())
}

func hostileNames() []string {
	return []string{"<img src=x onerror=alert(1)>", "abc\u202edef", strings.Repeat("长", 200), strings.Repeat("w", 200), "a/b", `"quoted" & 'odd'`}
}

func hostilePages() pageState { return newPageState("hostile", hostileNames()...) }
