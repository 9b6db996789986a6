// Package check examines accounts against Weixin: whether an access token is available, whether the two calls are
// allowed, whether yesterday's figures are available, and how many calls are left.
package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// Caller makes the calls of one account; *weixin.Account implements it.
type Caller interface {
	InterfaceSummary(ctx context.Context, begin, end datacube.Date) (weixin.DailyResponse, error)
	InterfaceSummaryHour(ctx context.Context, date datacube.Date) (weixin.HourlyResponse, error)
	Quota(ctx context.Context, api datacube.API) (weixin.CallQuota, error)
	CheckCallback(ctx context.Context) (weixin.CallbackReach, error)
}

// Account is an account to be examined.
type Account struct {
	Name  string
	AppID string
	// Token describes where the access token comes from, without secrets.
	Token  string
	Caller Caller
	// Probe probes the callback of the account; nil if none is configured.
	Probe Prober
	// RequestsPerSecond is the rate at which the exporter may send requests; 0 means no bound.
	RequestsPerSecond float64
}

// State is the result of a check.
type State string

const (
	// OK means that the check found no problem.
	OK State = "ok"
	// Waiting means that something is not available yet, which is not a fault.
	Waiting State = "waiting"
	// Fault means that the check found a problem.
	Fault State = "fault"
	// Skipped means that the check was not possible because of another fault.
	Skipped State = "skipped"
)

// Check is the result of examining one thing.
type Check struct {
	State State `json:"state"`
	// Text is the text of Finding, in English unless the report was translated.
	Text string `json:"text,omitempty"`
	// Reason is why the call failed, Errcode Weixin's error code; both only for a Fault.
	Reason  string `json:"reason,omitempty"`
	Errcode int    `json:"errcode,omitempty"`
	// Advice says what to do about a Fault, in the language of Text.
	Advice string `json:"advice,omitempty"`
	// Finding has what Text and Advice say as values.
	Finding Finding `json:"-"`
}

// newCheck returns a Check with the texts of its finding.
func newCheck(state State, f Finding) Check {
	c := Check{State: state, Text: f.String(), Finding: f}
	if state == Fault {
		c.Advice = f.ToDo().String()
	}
	return c
}

// Report has the results for one account.
type Report struct {
	Account string `json:"account"`
	AppID   string `json:"app_id"`
	// TokenSource is where the access token comes from.
	TokenSource string `json:"token_source"`
	// Address is the IP address that Weixin saw and refused; "" if it refused none.
	Address   string `json:"address,omitempty"`
	Token     Check  `json:"token"`
	Daily     Check  `json:"daily"`
	Hourly    Check  `json:"hourly"`
	Yesterday Check  `json:"yesterday"`
	// DailyQuota and HourlyQuota say how many calls are left today (China time).
	DailyQuota  Check `json:"daily_quota"`
	HourlyQuota Check `json:"hourly_quota"`
	// Callback says whether the callback server answers now, CallbackRoute how Weixin reaches its host; both are nil
	// if no callback is configured.
	Callback      *Check `json:"callback,omitempty"`
	CallbackRoute *Check `json:"callback_route,omitempty"`
	// Warnings are settings that will lead to faults.
	Warnings []RateWarning `json:"-"`
	// WarningTexts are the texts of Warnings, in the language of the checks.
	WarningTexts []string `json:"warnings,omitempty"`
}

// Translate writes all texts in the printer's language.
func (r *Report) Translate(p i18n.Printer) {
	for _, c := range r.Checks() {
		c.Text = p.Message(c.Finding.Message())
		if c.State == Fault {
			c.Advice = p.Message(c.Finding.ToDo())
		}
	}
	for i, w := range r.Warnings {
		r.WarningTexts[i] = p.Message(w.Message())
	}
}

// Checks returns the report's checks with their names, in the order in which they are made.
func (r *Report) Checks() []NamedCheck {
	checks := []NamedCheck{
		{i18n.M("check.name.token"), &r.Token},
		{i18n.M("check.name.daily"), &r.Daily},
		{i18n.M("check.name.hourly"), &r.Hourly},
		{i18n.M("check.name.yesterday"), &r.Yesterday},
		{i18n.M("check.name.daily_quota"), &r.DailyQuota},
		{i18n.M("check.name.hourly_quota"), &r.HourlyQuota},
	}
	if r.Callback != nil {
		checks = append(checks, NamedCheck{i18n.M("check.name.callback"), r.Callback},
			NamedCheck{i18n.M("check.name.callback_route"), r.CallbackRoute})
	}
	return checks
}

// NamedCheck is a check with its name.
type NamedCheck struct {
	Name i18n.Message
	*Check
}

// Healthy reports whether there is no fault.
func (r *Report) Healthy() bool {
	for _, c := range r.Checks() {
		if c.State == Fault {
			return false
		}
	}
	return true
}

// Examine examines all accounts, up to concurrency at the same time, and returns their reports in the same
// order; now gives the day whose figures are requested. Each account takes at most four calls in addition to
// those for its access token, and with a callback one more and the probe. An error means that ctx has ended.
func Examine(ctx context.Context, accounts []Account, concurrency int, now func() time.Time) ([]Report, error) {
	reports := make([]Report, len(accounts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i, a := range accounts {
		group.Go(func() error {
			reports[i] = examine(ctx, a, datacube.DateOf(now())-1)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("examining the accounts: %w", err)
	}
	return reports, nil
}

// examine makes the calls one after the other. After a fault of the whole account it skips the rest, which
// would fail in the same way.
func examine(ctx context.Context, a Account, yesterday datacube.Date) Report {
	r := Report{Account: a.Name, AppID: a.AppID, TokenSource: a.Token}
	for _, c := range r.Checks() {
		c.State = Skipped
	}
	r.examineCallback(ctx, a)
	daily, err := a.Caller.InterfaceSummary(ctx, yesterday, yesterday)
	if r.tokenFailed(err) {
		return r
	}
	r.Token = newCheck(OK, Finding{})
	r.Daily = r.outcome(err, Finding{Code: Allowed})
	switch {
	case err == nil && len(daily.Damaged) > 0:
		r.Daily = damaged(daily.Rejected) // and Yesterday stays Skipped
	case err == nil && len(daily.Days) > 0:
		r.Yesterday = newCheck(OK, Finding{Code: Available, Date: yesterday})
	case err == nil, weixin.ReasonOf(err) == weixin.NotReady:
		r.Yesterday = newCheck(Waiting, Finding{Code: NotAvailable, Date: yesterday})
	case weixin.ReasonOf(err) == weixin.AllowList:
		return r
	}
	hourly, err := a.Caller.InterfaceSummaryHour(ctx, yesterday)
	if r.tokenFailed(err) {
		return r
	}
	r.Hourly = r.outcome(err, Finding{Code: Allowed})
	if err == nil && hourly.Damaged {
		r.Hourly = damaged(hourly.Rejected)
	}
	if weixin.ReasonOf(err) == weixin.AllowList {
		return r
	}
	r.examineQuota(ctx, a, datacube.Daily, &r.DailyQuota)
	r.examineQuota(ctx, a, datacube.Hourly, &r.HourlyQuota)
	r.examineRoute(ctx, a)
	return r
}

// examineQuota requests how many calls of api are left, and the rate at which they may be made.
func (r *Report) examineQuota(ctx context.Context, a Account, api datacube.API, check *Check) {
	quota, err := a.Caller.Quota(ctx, api)
	found := Finding{Code: CallsLeft, Quota: quota}
	*check = r.outcome(err, found)
	if err != nil {
		return
	}
	if quota.Remaining <= 0 {
		found.Advice = weixin.Quota.Advice()
		*check = newCheck(Fault, found)
		check.Reason = weixin.Quota.String()
	}
	if allowed := quota.Allowed(); !allowed.IsZero() && a.RequestsPerSecond > allowed.PerSecond() {
		w := RateWarning{API: api, RequestsPerSecond: a.RequestsPerSecond, Allowed: allowed}
		r.Warnings, r.WarningTexts = append(r.Warnings, w), append(r.WarningTexts, w.Message().String())
	}
}

// tokenFailed records a fault of the access token, whichever call it came from.
func (r *Report) tokenFailed(err error) bool {
	failed, ok := errors.AsType[*weixin.Error](err)
	if !ok || failed.API != weixin.TokenAPI && failed.Reason != weixin.Token {
		return false
	}
	r.Token = r.outcome(err, Finding{})
	return true
}

// outcome returns the check of a call: a Fault with its error, or success. A day that is not ready is not a
// fault: the call is allowed.
func (r *Report) outcome(err error, success Finding) Check {
	reason := weixin.ReasonOf(err)
	if err == nil || reason == weixin.NotReady {
		return newCheck(OK, success)
	}
	found := Finding{Code: Failed, Err: err, Advice: reason.Advice()}
	var errcode int
	if failed, ok := errors.AsType[*weixin.Error](err); ok {
		errcode, found.Advice = failed.Errcode, failed.Advice()
		if failed.Address != "" {
			r.Address = failed.Address
		}
	}
	c := newCheck(Fault, found)
	c.Reason, c.Errcode = reason.String(), errcode
	return c
}

// damaged returns the fault of a response with invalid rows.
func damaged(rejected weixin.Rejected) Check {
	c := newCheck(Fault, Finding{Code: InvalidRows, Rejected: rejected, Advice: weixin.InvalidRows.Advice()})
	c.Reason = weixin.InvalidRows.String()
	return c
}
