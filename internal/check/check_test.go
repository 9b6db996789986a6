package check_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/check"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
	"weixin_exporter/weixin/weixintest"
)

// now is 10:00 in China; yesterday is 2026-03-09.
var now = time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// account returns an account of a simulated Weixin.
func account(sim *weixintest.Server, a weixintest.Account) check.Account {
	client := weixin.NewClient(weixin.Options{
		BaseURL:    "http://weixin.test",
		HTTPClient: &http.Client{Transport: sim.Transport()},
		Timeout:    5 * time.Second,
		Now:        clock,
	})
	source := client.StableToken(weixin.Credentials{AppID: a.AppID, AppSecret: secret.New(a.AppSecret)})
	return check.Account{Name: "shop", AppID: a.AppID, Token: "stable_token", Caller: client.Account(source)}
}

func states(r check.Report) map[string]check.State {
	got := map[string]check.State{}
	for _, c := range r.Checks() {
		got[c.Name.String()] = c.State
	}
	return got
}

func TestExamine(t *testing.T) {
	const ok, waiting, fault, skipped = check.OK, check.Waiting, check.Fault, check.Skipped
	all := func(token, daily, hourly, yesterday, dailyQuota, hourlyQuota check.State) map[string]check.State {
		return map[string]check.State{
			"token": token, "daily call": daily, "hourly call": hourly, "yesterday": yesterday,
			"daily quota": dailyQuota, "hourly quota": hourlyQuota,
		}
	}
	for _, c := range []struct {
		name    string
		account weixintest.Account
		faults  []weixintest.Fault
		late    bool // yesterday's figures are not available
		want    map[string]check.State
		calls   int // besides those for tokens
		says    []string
		address string
	}{
		{name: "healthy", account: weixintest.Account{Quota: 10}, want: all(ok, ok, ok, ok, ok, ok), calls: 4, says: []string{"2026-03-09 is available", "9 of 10 left, 600000/min"}},
		{name: "not available yet", late: true, want: all(ok, ok, ok, waiting, ok, ok), calls: 4},
		{name: "61503", faults: []weixintest.Fault{{API: "daily", Errcode: 61503}}, want: all(ok, ok, ok, waiting, ok, ok), calls: 4},
		{
			name: "invalid rows", faults: []weixintest.Fault{{Garbled: true}},
			want: all(ok, fault, fault, skipped, ok, ok), calls: 4, says: []string{"has invalid rows: 1 duplicate, 2 bad_value", "newer version"},
		},
		{name: "wrong secret", faults: []weixintest.Fault{{API: "token", Errcode: 40125}}, want: all(fault, skipped, skipped, skipped, skipped, skipped), says: []string{"app secret"}},
		{
			name: "allow list", account: weixintest.Account{AllowList: []string{"192.0.2.1"}},
			want: all(fault, skipped, skipped, skipped, skipped, skipped), says: []string{weixintest.ClientAddress, "allow list"}, address: weixintest.ClientAddress,
		},
		{
			name: "allow list of the calls alone", faults: []weixintest.Fault{{API: "daily", Errcode: 40164}},
			want: all(ok, fault, skipped, skipped, skipped, skipped), calls: 1, address: weixintest.ClientAddress,
		},
		{
			name: "allow list of the hourly call alone", faults: []weixintest.Fault{{API: "hourly", Errcode: 40164}},
			want: all(ok, ok, fault, ok, skipped, skipped), calls: 2, address: weixintest.ClientAddress,
		},
		{name: "not authorised", account: weixintest.Account{Errcode: 48001}, want: all(ok, fault, fault, skipped, fault, fault), calls: 4, says: []string{"must be verified"}},
		{name: "hourly call alone", faults: []weixintest.Fault{{API: "hourly", Errcode: 48001}}, want: all(ok, ok, fault, ok, ok, ok), calls: 4},
		{name: "token refused", faults: []weixintest.Fault{{API: "hourly", Errcode: 40001}}, want: all(fault, ok, skipped, ok, skipped, skipped), calls: 2},
		{name: "quota used up", account: weixintest.Account{Quota: 1}, want: all(ok, ok, ok, ok, fault, fault), calls: 4, says: []string{"0 of 1 left", "midnight"}},
		{name: "busy", faults: []weixintest.Fault{{API: "quota", Status: 502}}, want: all(ok, ok, ok, ok, fault, fault), calls: 4, says: []string{"502"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.account.AppID, c.account.AppSecret, c.account.CallbacksPerDay = "wx1", "sim-secret-1", 5000
			sim := weixintest.New(weixintest.Options{
				Now: clock, Accounts: []weixintest.Account{c.account},
				Ready: func(_ string, d datacube.Date) time.Time {
					if c.late {
						return d.End().Add(12 * time.Hour)
					}
					return d.End()
				},
			})
			for _, f := range c.faults {
				sim.Inject(f)
			}
			reports, err := check.Examine(t.Context(), []check.Account{account(sim, c.account)}, 2, clock)
			if err != nil {
				t.Fatal(err)
			}
			r := reports[0]
			if diff := cmp.Diff(c.want, states(r)); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
			if r.Address != c.address {
				t.Errorf("address %q, want %q", r.Address, c.address)
			}
			healthy := true
			var said strings.Builder
			for _, check := range r.Checks() {
				said.WriteString(check.Text + " " + check.Advice + "\n")
				if check.State == fault {
					healthy = false
					if check.Advice == "" || check.Reason == "" {
						t.Errorf("%s: a fault without advice or reason: %+v", check.Name, *check.Check)
					}
				}
			}
			if r.Healthy() != healthy {
				t.Errorf("healthy: %v", r.Healthy())
			}
			for _, want := range c.says {
				if !strings.Contains(said.String(), want) {
					t.Errorf("the report does not say %q:\n%s", want, &said)
				}
			}
			calls := 0
			for _, call := range sim.Calls() {
				if call.API != "token" && call.API != "stable_token" {
					calls++
				}
			}
			if calls != c.calls {
				t.Errorf("%d calls, want %d", calls, c.calls)
			}
		})
	}
}

// A catalogue of texts finds in a report all that its English texts say.
func TestFindings(t *testing.T) {
	a := weixintest.Account{AppID: "wx1", AppSecret: "sim-secret-1", CallbacksPerDay: 5000, Quota: 1}
	sim := weixintest.New(weixintest.Options{Now: clock, Accounts: []weixintest.Account{a}})
	sim.Inject(weixintest.Fault{API: "hourly", Errcode: 48001})
	reports, err := check.Examine(t.Context(), []check.Account{account(sim, a)}, 1, clock)
	if err != nil {
		t.Fatal(err)
	}
	r := reports[0]
	if f := r.Daily.Finding; f.Code != check.Allowed {
		t.Errorf("daily: %+v", f)
	}
	if f := r.Yesterday.Finding; f.Code != check.Available || f.Date.String() != "2026-03-09" {
		t.Errorf("yesterday: %+v", f)
	}
	var failed *weixin.Error
	if f := r.Hourly.Finding; f.Code != check.Failed || !errors.As(f.Err, &failed) || failed.Errcode != 48001 || f.Advice != failed.Advice() {
		t.Errorf("hourly: %+v", f)
	}
	if f := r.DailyQuota.Finding; f.Code != check.CallsLeft || f.Quota.Limit != 1 || f.Quota.Remaining != 0 || f.Advice != weixin.Quota.Advice() {
		t.Errorf("daily quota: %+v", f)
	}
	for _, c := range r.Checks() {
		if c.Text != c.Finding.String() || c.State == check.Fault && c.Advice != c.Finding.Advice.String() {
			t.Errorf("%s: text %q and advice %q are not those of the finding %+v", c.Name, c.Text, c.Advice, c.Finding)
		}
	}
}

func TestReportsComeInTheOrderOfTheAccounts(t *testing.T) {
	var accounts []weixintest.Account
	for i := range 50 {
		accounts = append(accounts, weixintest.Account{AppID: fmt.Sprintf("wx%d", i), AppSecret: "sim-secret-x", CallbacksPerDay: 10})
	}
	sim := weixintest.New(weixintest.Options{Now: clock, Accounts: accounts})
	var examined []check.Account
	for _, a := range accounts {
		examined = append(examined, account(sim, a))
	}
	reports, err := check.Examine(t.Context(), examined, 8, clock)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range reports {
		if r.AppID != accounts[i].AppID || !r.Healthy() {
			t.Errorf("report %d is of %s: %+v", i, r.AppID, r)
		}
	}
}

func TestExamineEndsWithItsContext(t *testing.T) {
	a := weixintest.Account{AppID: "wx1", AppSecret: "sim-secret-1"}
	sim := weixintest.New(weixintest.Options{Now: clock, Accounts: []weixintest.Account{a}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := check.Examine(ctx, []check.Account{account(sim, a)}, 1, clock); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the one of the context", err)
	}
}

// A rate of requests that is higher than Weixin allows is a warning, not a fault.
func TestRateLimitBelowTheRateOfRequests(t *testing.T) {
	a := weixintest.Account{AppID: "wx1", AppSecret: "sim-secret-1", RateLimit: 300, ComponentRateLimit: 1}
	for perSecond, want := range map[float64]int{0: 0, 5: 0, 10: 2} {
		p := account(weixintest.New(weixintest.Options{Now: clock, Accounts: []weixintest.Account{a}}), a)
		p.RequestsPerSecond = perSecond
		reports, err := check.Examine(t.Context(), []check.Account{p}, 1, clock)
		if err != nil {
			t.Fatal(err)
		}
		r := reports[0]
		if len(r.Warnings) != want || !r.Healthy() || !strings.HasSuffix(r.HourlyQuota.Text, " left, 300/min") {
			t.Errorf("%g requests per second: warnings %q, quota %q", perSecond, r.WarningTexts, r.HourlyQuota.Text)
		}
		if encoded, err := json.Marshal(r); want > 0 && (err != nil || !strings.Contains(string(encoded), `"warnings":["weixin.requests_per_second is 10`)) {
			t.Errorf("report as JSON: %s, %v", encoded, err)
		}
		if want > 0 && !strings.HasPrefix(r.WarningTexts[0], "weixin.requests_per_second is 10, and Weixin allows 300/min of the daily call") {
			t.Errorf("warning %q", r.WarningTexts[0])
		}
	}
}
