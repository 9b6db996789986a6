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

// adviceOf says what to do about a callback; "" where the advice is Weixin's.
func (f Finding) adviceOf() string {
	switch f.Code {
	case NotProbed:
		return "Mend the file that the error names; nothing is known of the server."
	case ProbeFailed:
		return adviceOfProbe(f.Probe.Reason)
	case Reached:
		return "Weixin does not resolve the name in the URL that is set with it: check the URL at developers.weixin.qq.com/platform under 基础信息 → 域名与消息推送配置, and the DNS of its domain."
	default:
		return f.Advice.String()
	}
}

func adviceOfProbe(reason probe.Reason) string {
	switch reason {
	case probe.DNS:
		return "Check callback.url and the DNS of its domain."
	case probe.Connect:
		return "Check that the server runs, and that firewalls and load balancers let requests through to it."
	case probe.TLS:
		return "Renew or correct the server's certificate; it must have its whole chain, from an issuer that is trusted."
	case probe.Timeout:
		return "Find out what the server is waiting for: Weixin waits 5 seconds."
	case probe.Status:
		return "Look into the logs of the server, and of what stands in front of it."
	case probe.Redirect:
		return "Set the address that the server redirects to with Weixin and as callback.url, or end the redirect."
	case probe.Signature:
		return "Compare the token of the program, of callback.token and of the settings at Weixin; if they are the same, look for a firewall that refuses the request."
	case probe.Body:
		return "Make the program answer with the parameter echostr alone, at exactly this URL."
	case probe.Reply:
		return "Compare the encryption mode, the EncodingAESKey and the app id of the program with those at Weixin, and look into its log."
	default:
		return "Check callback.url: no callback server is at such an address."
	}
}
