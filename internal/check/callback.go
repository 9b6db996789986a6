package check

import (
	"context"

	"weixin_exporter/internal/probe"
)

// Prober probes the callback of an account; *probe.Prober and an account's name make one.
type Prober func(ctx context.Context) (probe.Result, error)

// examineCallback probes the account's callback, which needs no access token.
func (r *Report) examineCallback(ctx context.Context, a Account) {
	if a.Probe == nil {
		return
	}
	r.Callback, r.CallbackRoute = &Check{State: Skipped}, &Check{State: Skipped}
	result, err := a.Probe(ctx)
	switch {
	case err != nil:
		*r.Callback = newCheck(Fault, Finding{Code: NotProbed, Err: err})
		r.Callback.Reason = string(NotProbed)
	case result.Success():
		*r.Callback = newCheck(OK, Finding{Code: Answers, Probe: result})
	default:
		*r.Callback = newCheck(Fault, Finding{Code: ProbeFailed, Probe: result})
		r.Callback.Reason = string(result.Reason)
	}
}

// examineRoute has Weixin resolve and ping the host of the callback URL. A lost ping is not a fault, since
// firewalls drop pings where HTTP works.
func (r *Report) examineRoute(ctx context.Context, a Account) {
	if a.Probe == nil {
		return
	}
	reach, err := a.Caller.CheckCallback(ctx)
	found := Finding{Code: Reached, Reach: reach}
	*r.CallbackRoute = r.outcome(err, found)
	if err == nil && len(reach.Resolved) == 0 {
		*r.CallbackRoute = newCheck(Fault, found)
		r.CallbackRoute.Reason = string(probe.DNS)
	}
}
