package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"weixin_exporter/internal/redirect"
)

// failure is why a probe failed.
type failure struct {
	reason Reason
	text   string
}

// transportFailure says what the error of a request means. limit is how long it might have taken.
func transportFailure(err error, phase Phase, limit time.Duration) *failure {
	if refusal, ok := redirect.As(err); ok {
		return &failure{Redirect, fmt.Sprintf("the server answered with HTTP status %d and redirects to %s; Weixin expects the answer itself, and redirects are not followed", refusal.Status, refusal.To)}
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which holds the signature
	}
	if address, ok := errors.AsType[*addressError](err); ok {
		return &failure{Address, address.Error()}
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return &failure{DNS, fmt.Sprintf("the name %s was not resolved: %s", lookup.Name, lookup.Err)}
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		return &failure{Timeout, fmt.Sprintf("no complete answer within %s: still %s", limit.Round(time.Millisecond), phase.doing())}
	}
	if isTLS(err) || phase == Handshake {
		return &failure{TLS, "TLS: " + err.Error()}
	}
	if phase > Handshake {
		return &failure{Connect, fmt.Sprintf("the connection ended while %s: %v", phase.doing(), err)}
	}
	return &failure{Connect, "no connection: " + err.Error()}
}

func isTimeout(err error) bool {
	timed, ok := errors.AsType[net.Error](err)
	return ok && timed.Timeout()
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}

// certificates returns the chain that the server sent, also where it was refused.
func certificates(state *tls.ConnectionState, err error) []*x509.Certificate {
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return refused.UnverifiedCertificates
	}
	if state == nil {
		return nil
	}
	return state.PeerCertificates
}

// earliest returns when the first of the certificates expires.
func earliest(chain []*x509.Certificate) time.Time {
	var first time.Time
	for _, c := range chain {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

func describe(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "no certificate"
	}
	return fmt.Sprintf("certificate of %s by %s, valid until %s", chain[0].Subject, chain[0].Issuer, earliest(chain).UTC().Format(time.RFC3339))
}

// shortest is up to which length an answer that is not the echo is taken for a program's refusal: a word such as
// "error" or "invalid signature", or nothing at all. Longer ones are pages.
const shortest = 64

// judgeEcho says whether the answer to a verification is the echo; nil if it is.
func judgeEcho(a answer, echo string) *failure {
	switch {
	case a.status == 401 || a.status == 403:
		return &failure{Signature, fmt.Sprintf("the server answered with HTTP status %d: its token differs from the configured one, or something before it, such as a firewall, refuses the request; %s",
			a.status, a.excerpt())}
	case a.status != 200:
		return &failure{Status, fmt.Sprintf("the server answered with HTTP status %d; %s", a.status, a.excerpt())}
	case a.tooLong:
		return &failure{Body, fmt.Sprintf("the answer is longer than %d KiB; it must be the echo alone; %s", mostBody>>10, a.excerpt())}
	case string(a.body) == echo:
		return nil
	}
	text := string(a.body)
	if before, after, ok := strings.Cut(text, echo); ok {
		what := "quotes or other text"
		switch {
		case strings.HasPrefix(text, "\ufeff"):
			what = "a byte order mark, which a source file of the program may begin with,"
		case strings.TrimSpace(before+after) == "":
			what = "white space"
		}
		return &failure{Body, fmt.Sprintf("the answer holds the echo, but %s around it (%d bytes before, %d after); it must be the echo alone; %s", what, len(before), len(after), a.excerpt())}
	}
	if len(text) <= shortest && !strings.ContainsAny(text, "<{") {
		return &failure{Signature, "the answer is not the echo: the server's token differs from the configured one, or the program does not verify URLs at this path; " + a.excerpt()}
	}
	return &failure{Body, "the answer is not the echo: something other than the program that handles Weixin's requests seems to answer at this URL; " + a.excerpt()}
}
