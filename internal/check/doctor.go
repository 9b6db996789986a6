// Package check examines accounts against Weixin: whether their token can be had, whether
// the two calls are allowed, whether yesterday is there, and how many calls are left.
package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// Caller makes the calls of one account; *weixin.Account is one.
type Caller interface {
	InterfaceSummary(ctx context.Context, begin, end datacube.Date) (weixin.DailyResponse, error)
	InterfaceSummaryHour(ctx context.Context, date datacube.Date) (weixin.HourlyResponse, error)
	Quota(ctx context.Context, api datacube.API) (weixin.CallQuota, error)
}

// Account is an account to be examined.
type Account struct {
	Name  string
	AppID string
	// Token says in words where the access token comes from, without showing anything secret.
	Token  string
	Caller Caller
	// RequestsPerSecond is the rate at which the exporter may send requests; 0 is no bound.
	RequestsPerSecond float64
}

// State is the outcome of a check.
type State string

const (
	// OK is as it should be.
	OK State = "ok"
	// Waiting is not there yet, and nothing wrong.
	Waiting State = "waiting"
	// Fault is wrong.
	Fault State = "fault"
	// Skipped could not be examined because of another fault.
	Skipped State = "skipped"
)

// Check is one thing that was looked at.
type Check struct {
	State State `json:"state"`
	// Text says what was found.
	Text string `json:"text,omitempty"`
	// Reason is the reason of the error, Errcode Weixin's code; both only for a Fault.
	Reason  string `json:"reason,omitempty"`
	Errcode int    `json:"errcode,omitempty"`
	// Advice says what a Fault means and what to do.
	Advice string `json:"advice,omitempty"`
}

// Report is what was found of one account.
type Report struct {
	Account string `json:"account"`
	AppID   string `json:"app_id"`
	// TokenSource is where the access token comes from.
	TokenSource string `json:"token_source"`
	// Address is the one that Weixin saw and refused; "" if it refused none.
	Address   string `json:"address,omitempty"`
	Token     Check  `json:"token"`
	Daily     Check  `json:"daily"`
	Hourly    Check  `json:"hourly"`
	Yesterday Check  `json:"yesterday"`
	// DailyQuota and HourlyQuota are the calls that are left today.
	DailyQuota  Check `json:"daily_quota"`
	HourlyQuota Check `json:"hourly_quota"`
	// Warnings are what is not a fault, and deserves attention.
	Warnings []string `json:"warnings,omitempty"`
}

// Checks returns the report's checks with their names, in the order in which they were made.
func (r *Report) Checks() []NamedCheck {
	return []NamedCheck{
		{"token", &r.Token},
		{"daily call", &r.Daily},
		{"hourly call", &r.Hourly},
		{"yesterday", &r.Yesterday},
		{"daily quota", &r.DailyQuota},
		{"hourly quota", &r.HourlyQuota},
	}
}

// NamedCheck is a check with its name for people.
type NamedCheck struct {
	Name string
	*Check
}

// Healthy reports whether nothing is wrong.
func (r *Report) Healthy() bool {
	for _, c := range r.Checks() {
		if c.State == Fault {
			return false
		}
	}
	return true
}

// Examine looks at all accounts, as many at once as concurrency allows, and returns their
// reports in the same order. With an access token, each costs at most four calls. An error
// is returned only when ctx ends.
func Examine(ctx context.Context, accounts []Account, concurrency int, now func() time.Time) ([]Report, error) {
	reports := make([]Report, len(accounts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for i, p := range accounts {
		group.Go(func() error {
			reports[i] = examine(ctx, p, datacube.DateOf(now())-1)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("examining the accounts: %w", err)
	}
	return reports, nil
}

// examine makes the calls one after the other. Once a fault concerns the account as a
// whole, the rest is skipped: it would only fail in the same way.
func examine(ctx context.Context, p Account, yesterday datacube.Date) Report {
	r := Report{Account: p.Name, AppID: p.AppID, TokenSource: p.Token}
	for _, c := range r.Checks() {
		c.State = Skipped
	}
	daily, err := p.Caller.InterfaceSummary(ctx, yesterday, yesterday)
	if r.tokenFailed(err) {
		return r
	}
	r.Token = Check{State: OK}
	r.Daily = r.outcome(err, "allowed")
	if err == nil && len(daily.Damaged) > 0 {
		r.Daily = damaged(daily.Rejected) // and Yesterday stays open
	} else if err == nil {
		r.Yesterday = there(len(daily.Days) > 0, yesterday)
	} else if weixin.ReasonOf(err) == weixin.NotReady {
		r.Yesterday = there(false, yesterday)
	}
	if weixin.ReasonOf(err) == weixin.AllowList {
		return r
	}
	hourly, err := p.Caller.InterfaceSummaryHour(ctx, yesterday)
	if r.tokenFailed(err) {
		return r
	}
	r.Hourly = r.outcome(err, "allowed")
	if err == nil && hourly.Damaged {
		r.Hourly = damaged(hourly.Rejected)
	}
	if weixin.ReasonOf(err) == weixin.AllowList {
		return r
	}
	r.examineQuota(ctx, p, datacube.Daily, &r.DailyQuota)
	r.examineQuota(ctx, p, datacube.Hourly, &r.HourlyQuota)
	return r
}

// examineQuota asks how many calls of one kind are left, and how fast they may be made.
func (r *Report) examineQuota(ctx context.Context, p Account, api datacube.API, check *Check) {
	quota, err := p.Caller.Quota(ctx, api)
	text, allowed := fmt.Sprintf("%d of %d left", quota.Remaining, quota.Limit), quota.Allowed()
	if !allowed.IsZero() {
		text += ", " + allowed.String()
	}
	*check = r.outcome(err, text)
	if err != nil {
		return
	}
	if quota.Remaining <= 0 {
		*check = Check{State: Fault, Text: check.Text, Reason: weixin.Quota.String(), Advice: (&weixin.Error{Reason: weixin.Quota}).Advice().String()}
	}
	if perSecond := p.RequestsPerSecond; !allowed.IsZero() && perSecond > allowed.PerSecond() {
		r.Warnings = append(r.Warnings, fmt.Sprintf("weixin.requests_per_second is %g, and Weixin allows %s of the %s call: lower it, or calls are refused with errcode 45011",
			perSecond, allowed, api))
	}
}

// tokenFailed notes a fault of the access token, whichever call it came up in.
func (r *Report) tokenFailed(err error) bool {
	said, ok := errors.AsType[*weixin.Error](err)
	if !ok || said.API != weixin.TokenAPI && said.Reason != weixin.Token {
		return false
	}
	r.Token = r.outcome(err, "")
	return true
}

// outcome turns the error of a call into a check; fine is what to say without one. That a
// day is not ready is not a fault: the call is allowed.
func (r *Report) outcome(err error, fine string) Check {
	if err == nil || weixin.ReasonOf(err) == weixin.NotReady {
		return Check{State: OK, Text: fine}
	}
	c := Check{State: Fault, Text: err.Error(), Reason: weixin.ReasonOf(err).String()}
	if said, ok := errors.AsType[*weixin.Error](err); ok {
		c.Errcode, c.Advice = said.Errcode, said.Advice().String()
		if said.Address != "" {
			r.Address = said.Address
		}
	}
	return c
}

// damaged says that an answer has rows that cannot be understood, and of which kind they are.
func damaged(rejected [weixin.Rejections]int) Check {
	var rows []string
	for reason, n := range rejected {
		if n > 0 && weixin.Rejection(reason) != weixin.OutOfRange {
			rows = append(rows, fmt.Sprintf("%d %v", n, weixin.Rejection(reason)))
		}
	}
	return Check{
		State: Fault, Text: "the answer has rows that cannot be understood: " + strings.Join(rows, ", "), Reason: "invalid_rows",
		Advice: "See whether a proxy changes Weixin's answers, and whether there is a newer version of this program.",
	}
}

func there(is bool, yesterday datacube.Date) Check {
	if is {
		return Check{State: OK, Text: yesterday.String() + " is there"}
	}
	return Check{State: Waiting, Text: yesterday.String() + " is not there yet, or had no traffic"}
}
