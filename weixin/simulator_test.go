package weixin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// onPlatformID is the app id of the account that has authorised thePlatform.
const onPlatformID = "wxonplatform"

// simulation is a simulated Weixin with a fake clock.
type simulation struct {
	*weixintest.Server
	*weixin.Client
	clock *weixintest.Clock
	day   datacube.Date // yesterday at the beginning
}

// simulate returns a simulation that begins at 12:00 China time on 2026-11-20.
func simulate(t *testing.T) *simulation {
	t.Helper()
	s := &simulation{day: date(t, "2026-11-19")}
	s.clock = weixintest.NewClock(s.day.End().Add(12 * time.Hour))
	s.Server = weixintest.New(weixintest.Options{
		Seed: 7,
		Now:  s.clock.Now,
		Accounts: []weixintest.Account{
			{AppID: theAppID, AppSecret: theSecret, CallbacksPerDay: 100_000},
			{AppID: "wxquiet", AppSecret: theSecret},
			{AppID: "wxquota", AppSecret: theSecret, CallbacksPerDay: 100, Quota: 1},
			{AppID: "wxforbidden", AppSecret: theSecret, CallbacksPerDay: 100, Errcode: 48001},
			{AppID: onPlatformID, CallbacksPerDay: 100, Platform: thePlatform},
		},
		Platforms: []weixintest.Platform{{AppID: thePlatform}},
	})
	s.Client = clientOn(s.Transport(), func(o *weixin.Options) { o.Now = s.clock.Now })
	return s
}

func (s *simulation) account(appID string) *weixin.Account {
	return s.Account(s.StableToken(weixin.Credentials{AppID: appID, AppSecret: secret.New(theSecret)}))
}

// tokenCalls counts the successful token calls.
func (s *simulation) tokenCalls() int {
	n := 0
	for _, call := range s.Calls() {
		if (call.API == "token" || call.API == "stable_token") && call.Errcode == 0 {
			n++
		}
	}
	return n
}

func TestClientReturnsTheTruth(t *testing.T) {
	s := simulate(t)
	server := httptest.NewServer(s.Server)
	defer server.Close()
	overHTTP := clientOn(http.DefaultTransport, func(o *weixin.Options) { o.BaseURL, o.Now = server.URL, s.clock.Now })

	for name, account := range map[string]*weixin.Account{
		"in process": s.account(theAppID), "over HTTP": overHTTP.Account(overHTTP.StableToken(credentials())),
	} {
		daily, err := account.InterfaceSummary(t.Context(), s.day-29, s.day)
		if err != nil {
			t.Fatal(name, err)
		}
		var want weixin.DailyResponse
		for day := s.day - 29; day <= s.day; day++ {
			want.Days = append(want.Days, datacube.Day{Date: day, Figures: s.Day(theAppID, day)})
		}
		if diff := cmp.Diff(want, daily); diff != "" {
			t.Error(name, diff)
		}
		for day := s.day - 6; day <= s.day; day++ {
			hourly, err := account.InterfaceSummaryHour(t.Context(), day)
			if err != nil {
				t.Fatal(name, err)
			}
			if diff := cmp.Diff(s.Hours(theAppID, day), hourly.Hours); diff != "" {
				t.Error(name, day, diff)
			}
			if hourly.Rows == 0 || hourly.Rejected != (weixin.HourlyResponse{}).Rejected || hourly.PlainHours != 0 {
				t.Errorf("%s: %s: %d rows, %v rejected, %d plain", name, day, hourly.Rows, hourly.Rejected, hourly.PlainHours)
			}
		}
	}
}

func TestDaysWithoutRows(t *testing.T) {
	s := simulate(t)
	s.clock.Advance(-5 * time.Hour) // 07:00: the figures of yesterday are not ready
	account := s.account(theAppID)
	if got, err := account.InterfaceSummaryHour(t.Context(), s.day); err != nil || got.Rows != 0 {
		t.Errorf("before they are ready: %d rows, error %v", got.Rows, err)
	}
	if got, err := s.account("wxquiet").InterfaceSummary(t.Context(), s.day-9, s.day); err != nil || len(got.Days) != 0 {
		t.Errorf("without traffic: %d days, error %v", len(got.Days), err)
	}
}

func TestStrayRowsAreLeftOut(t *testing.T) {
	s := simulate(t)
	s.Inject(weixintest.Fault{Stray: true})
	account := s.account(theAppID)
	strays := counts(map[weixin.Rejection]int{weixin.OutOfRange: 2, weixin.Duplicate: 1})
	daily, err := account.InterfaceSummary(t.Context(), s.day-2, s.day)
	if err != nil {
		t.Fatal(err)
	}
	for i, day := range daily.Days {
		if day.Date != s.day-2+datacube.Date(i) || day.Figures != s.Day(theAppID, day.Date) {
			t.Errorf("day %d is %+v", i, day)
		}
	}
	if len(daily.Days) != 3 || daily.Rejected != strays || len(daily.Damaged) != 0 {
		t.Errorf("%d days, %v rejected, damaged: %v", len(daily.Days), daily.Rejected, daily.Damaged)
	}
	hourly, err := account.InterfaceSummaryHour(t.Context(), s.day)
	if err != nil {
		t.Fatal(err)
	}
	if hourly.Hours != s.Hours(theAppID, s.day) || hourly.Rejected != strays || hourly.Damaged {
		t.Errorf("%d rows, %v rejected, damaged: %t", hourly.Rows, hourly.Rejected, hourly.Damaged)
	}
}

func TestGarbledRowsDamageTheirDays(t *testing.T) {
	s := simulate(t)
	s.Inject(weixintest.Fault{Garbled: true})
	account := s.account(theAppID)
	daily, err := account.InterfaceSummary(t.Context(), s.day-9, s.day)
	if err != nil {
		t.Fatal(err)
	}
	if daily.Rejected != counts(map[weixin.Rejection]int{weixin.BadValue: 2, weixin.Duplicate: 1}) {
		t.Errorf("daily: %v rejected", daily.Rejected)
	}
	// The first and the last day, and the one with two rows that contradict each other.
	if n := len(daily.Damaged); n != 2 && n != 3 || daily.Damaged[0] != s.day-9 || daily.Damaged[n-1] != s.day || len(daily.Days)+n != 10 {
		t.Errorf("%d days, damaged: %v", len(daily.Days), daily.Damaged)
	}
	for _, day := range daily.Days {
		if day.Figures != s.Day(theAppID, day.Date) {
			t.Errorf("a day is %+v", day)
		}
	}
	hourly, err := account.InterfaceSummaryHour(t.Context(), s.day)
	want := weixin.HourlyResponse{Damaged: true, Rejected: counts(map[weixin.Rejection]int{
		weixin.BadValue: 2, weixin.Duplicate: 1, weixin.BadHour: 3,
	})}
	if err != nil || hourly != want {
		t.Errorf("hourly: %d rows, %v rejected, damaged: %t, error %v", hourly.Rows, hourly.Rejected, hourly.Damaged, err)
	}
}

func TestErrcodesOfTheSimulator(t *testing.T) {
	s := simulate(t)
	yesterday := func(appID string) error {
		_, err := s.account(appID).InterfaceSummary(t.Context(), s.day, s.day)
		return err
	}
	wrong := weixin.Credentials{AppID: theAppID, AppSecret: secret.New("sim-secret-wrong")}
	tests := map[string]struct {
		err    error
		reason weixin.Reason
		says   string
	}{
		"unknown account": {yesterday("wxnobody"), weixin.Config, "access token: errcode 40013: invalid appid"},
		"wrong secret":    {hour(t.Context(), s.Account(s.StableToken(wrong))), weixin.Config, "errcode 40125: invalid appsecret"},
		"no secret":       {hour(t.Context(), s.Account(s.LegacyToken(weixin.Credentials{AppID: theAppID}))), weixin.Config, "errcode 41004"},
		"not allowed":     {yesterday("wxforbidden"), weixin.Permission, "daily interface summary: errcode 48001: api unauthorized"},
		"within quota":    {yesterday("wxquota"), weixin.Unknown, ""},
		"quota used up":   {yesterday("wxquota"), weixin.Quota, "errcode 45009"},
		"today": {func() error {
			_, err := s.account(theAppID).InterfaceSummaryHour(t.Context(), s.day+1)
			return err
		}(), weixin.Range, "errcode 61501"},
		"31 days": {func() error {
			_, err := s.account(theAppID).InterfaceSummary(t.Context(), s.day-30, s.day)
			return err
		}(), weixin.Range, "errcode 61501"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.says == "" {
				if test.err != nil {
					t.Error(test.err)
				}
				return
			}
			wantReason(t, test.err, test.reason, test.says)
			wantClean(t, test.err, s.Secrets()...)
		})
	}
}

func TestTokenOverADay(t *testing.T) {
	s := simulate(t)
	account := s.account(theAppID)
	for range 24 * 4 {
		if err := hour(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(15 * time.Minute)
	}
	for _, call := range s.Calls() {
		if call.Errcode != 0 {
			t.Errorf("%s at %s was answered with %d: an expired token was used", call.API, call.At, call.Errcode)
		}
	}
	// Each stable token is used for 7,200 seconds without its last minute: 12 or 13 a day.
	if n := s.tokenCalls(); n < 12 || n > 13 {
		t.Errorf("%d token calls in a day", n)
	}
}

// TestTokensOfOtherServices has a production service with a token of /cgi-bin/token.
func TestTokensOfOtherServices(t *testing.T) {
	for kind, wantLoggedOut := range map[string]bool{"stable_token": false, "token": true} {
		s := simulate(t)
		production := s.Account(s.LegacyToken(credentials()))
		if err := hour(t.Context(), production); err != nil {
			t.Fatal(err)
		}
		source := s.StableToken(credentials())
		if kind == "token" {
			source = s.LegacyToken(credentials())
		}
		if err := hour(t.Context(), s.Account(source)); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(5 * time.Minute)
		before := s.tokenCalls()
		if err := hour(t.Context(), production); err != nil {
			t.Fatal(err)
		}
		if loggedOut := s.tokenCalls() > before; loggedOut != wantLoggedOut {
			t.Errorf("%s: the production service was logged out: %t", kind, loggedOut)
		}
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	s := simulate(t)
	account := s.account(theAppID)
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if err := hour(t.Context(), account); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.tokenCalls(); n != 1 || len(s.Calls()) != 101 {
		t.Errorf("%d token calls of %d calls; want 1 of 101", n, len(s.Calls()))
	}
}

func TestRefusalsOfTheSimulator(t *testing.T) {
	for _, code := range []int{40001, 40014, 42001} {
		s := simulate(t)
		s.Inject(weixintest.Fault{API: "hourly", Errcode: code, Text: true, Times: 1})
		// stable_token returns the same token until its last minutes: the refused one.
		err := hour(t.Context(), s.account(theAppID))
		wantReason(t, err, weixin.Token, "the renewed token is the refused one")
		if n := s.tokenCalls(); n != 2 || len(s.Calls()) != 3 {
			t.Errorf("%d: %d token calls of %d calls; want 2 of 3", code, n, len(s.Calls()))
		}

		s = simulate(t)
		s.Inject(weixintest.Fault{API: "hourly", Errcode: code, Times: 1})
		if err := hour(t.Context(), s.Account(s.LegacyToken(credentials()))); err != nil {
			t.Errorf("%d: %v", code, err)
		}
		if n := s.tokenCalls(); n != 2 || len(s.Calls()) != 4 {
			t.Errorf("%d: %d token calls of %d calls; want 2 of 4", code, n, len(s.Calls()))
		}
	}
}

func TestTransportFaultsOfTheSimulator(t *testing.T) {
	s := simulate(t)
	server := httptest.NewServer(s.Server)
	defer server.Close()
	overHTTP := clientOn(&http.Transport{DisableKeepAlives: true}, func(o *weixin.Options) { o.BaseURL, o.Now = server.URL, s.clock.Now })
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	unreachable := clientOn(http.DefaultTransport, func(o *weixin.Options) { o.BaseURL = closed.URL })

	faults := []weixintest.Fault{{Reset: true}, {Status: 502}, {Empty: true}, {Body: []byte("<html>")}, {Body: []byte(`{"list":`)}}
	for _, fault := range faults {
		for _, api := range []string{"token", "hourly"} {
			fault.API = api
			remove := s.Inject(fault)
			for _, client := range []*weixin.Client{s.Client, overHTTP} {
				err := hour(t.Context(), client.Account(client.StableToken(credentials())))
				wantReason(t, err, weixin.Busy, "asking Weixin for ")
				wantClean(t, err, s.Secrets()...)
			}
			remove()
		}
	}
	err := hour(t.Context(), unreachable.Account(unreachable.LegacyToken(credentials())))
	wantReason(t, err, weixin.Busy, "refused")
	wantClean(t, err)
}

func TestSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := weixintest.New(weixintest.Options{
			Seed: 7, Now: func() time.Time { return time.Now().AddDate(27, 0, 0) },
			Accounts: []weixintest.Account{{AppID: theAppID, AppSecret: theSecret, CallbacksPerDay: 1000}},
		})
		client := clientOn(server.Transport(), func(o *weixin.Options) { o.Now = time.Now })
		account := client.Account(client.StableToken(credentials()))

		remove := server.Inject(weixintest.Fault{Delay: 9 * time.Second})
		if err := hour(t.Context(), account); err != nil {
			t.Error(err)
		}
		remove()
		server.Inject(weixintest.Fault{Delay: time.Minute})
		err := hour(t.Context(), account)
		wantReason(t, err, weixin.Busy, "no response within 10s")

		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := hour(ctx, account); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("got %v after %s, want the end of the context after 1s", err, time.Since(began))
		}
	})
}
