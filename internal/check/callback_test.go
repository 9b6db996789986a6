package check_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/check"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/probe"
	"weixin_exporter/weixin/weixintest"
)

func TestExamineCallback(t *testing.T) {
	probed := func(r probe.Result, err error) check.Prober {
		return func(context.Context) (probe.Result, error) { return r, err }
	}
	fine := probed(probe.Result{Duration: 12 * time.Millisecond}, nil)
	set := &weixintest.CallbackHost{Addresses: []string{"192.0.2.1"}}
	for name, c := range map[string]struct {
		probe                          check.Prober
		host                           *weixintest.CallbackHost
		fault                          weixintest.Fault
		callback, route                check.State
		reason, text, advice, routeSay string
	}{
		"fine":       {fine, set, weixintest.Fault{Times: 1, API: "none"}, check.OK, check.OK, "", "answers in 0.012 s", "", "resolved to 192.0.2.1 UNICOM; ping 192.0.2.1 23.079ms"},
		"lost pings": {fine, &weixintest.CallbackHost{Addresses: []string{"192.0.2.1"}, Lost: true}, weixintest.Fault{Times: 1, API: "none"}, check.OK, check.OK, "", "answers", "", "ping 192.0.2.1 lost"},
		"no URL set": {fine, nil, weixintest.Fault{Times: 1, API: "none"}, check.OK, check.Fault, "", "answers", "", "errcode 40201"},
		"no name":    {fine, &weixintest.CallbackHost{}, weixintest.Fault{Times: 1, API: "none"}, check.OK, check.Fault, "", "answers", "", "does not resolve"},
		"down": {
			probed(probe.Result{Reason: probe.Timeout, Found: i18n.M("error.other", "no complete answer within 5s")}, nil), set, weixintest.Fault{Times: 1, API: "none"},
			check.Fault, check.OK, "timeout", "no complete answer within 5s", "Weixin waits 5 seconds", "resolved",
		},
		"file": {probed(probe.Result{}, errors.New("token cannot be read")), set, weixintest.Fault{Times: 1, API: "none"}, check.Fault, check.OK, "not_probed", "not probed: token cannot be read", "nothing is known", "resolved"},
		// The callback is probed although there is no access token.
		"no token": {fine, set, weixintest.Fault{API: "token", Errcode: 40125}, check.OK, check.Skipped, "", "answers", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := weixintest.Account{AppID: "wx1", AppSecret: "sim-secret-1", CallbacksPerDay: 100, Callback: c.host}
			sim := weixintest.New(weixintest.Options{Now: clock, Accounts: []weixintest.Account{a}})
			sim.Inject(c.fault)
			examined := account(sim, a)
			examined.Probe = c.probe
			reports, err := check.Examine(t.Context(), []check.Account{examined}, 1, clock)
			if err != nil {
				t.Fatal(err)
			}
			r := reports[0]
			got, route := r.Callback, r.CallbackRoute
			if got.State != c.callback || got.Reason != c.reason || !strings.Contains(got.Text, c.text) || !strings.Contains(got.Advice, c.advice) || got.Text != got.Finding.String() {
				t.Errorf("callback: %+v", *got)
			}
			if route.State != c.route || !strings.Contains(route.Text, c.routeSay) || route.State == check.Fault && (route.Advice == "" || route.Reason == "") {
				t.Errorf("route: %+v", *route)
			}
			if r.Healthy() != (c.callback != check.Fault && c.route != check.Fault && c.fault.Errcode == 0) {
				t.Errorf("healthy: %v", r.Healthy())
			}
		})
	}
}

// Every reason for which a probe fails has an advice.
func TestAdviceOfProbes(t *testing.T) {
	said := map[string]bool{}
	for _, reason := range probe.Reasons() {
		a := weixintest.Account{AppID: "wx1", AppSecret: "sim-secret-1"}
		sim := weixintest.New(weixintest.Options{Now: clock, Accounts: []weixintest.Account{a}})
		examined := account(sim, a)
		examined.Probe = func(context.Context) (probe.Result, error) { return probe.Result{Reason: reason}, nil }
		reports, err := check.Examine(t.Context(), []check.Account{examined}, 1, clock)
		if err != nil {
			t.Fatal(err)
		}
		advice := reports[0].Callback.Advice
		if advice == "" || said[advice] {
			t.Errorf("%s: the advice %q is not its own", reason, advice)
		}
		said[advice] = true
	}
}
