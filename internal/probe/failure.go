package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/redirect"
)

// failure is why a probe failed.
type failure struct {
	reason Reason
	text   i18n.Message
}

// masked returns the message with texts in which no secret is left.
func masked(m i18n.Message, mask func(string) string) i18n.Message {
	args := make([]any, len(m.Args))
	for i, arg := range m.Args {
		switch arg := arg.(type) {
		case i18n.Message:
			args[i] = masked(arg, mask)
		case string:
			args[i] = mask(arg)
		case error:
			args[i] = mask(arg.Error())
		default:
			args[i] = arg
		}
	}
	return i18n.M(m.Key, args...)
}

// transportFailure says what the error of a request means. limit is how long it might have taken.
func transportFailure(err error, phase Phase, limit time.Duration) *failure {
	if refusal, ok := redirect.As(err); ok {
		return &failure{Redirect, i18n.M("found.redirect", strconv.Itoa(refusal.Status), refusal.To)}
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL, which holds the signature
	}
	if address, ok := errors.AsType[*addressError](err); ok {
		return &failure{Address, address.message()}
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return &failure{DNS, i18n.M("found.dns", lookup.Name, lookup.Err)}
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		return &failure{Timeout, i18n.M("found.timeout", limit.Round(time.Millisecond).String(), phase.doing())}
	}
	if isTLS(err) || phase == Handshake {
		return &failure{TLS, i18n.M("found.tls", err)}
	}
	if phase > Handshake {
		return &failure{Connect, i18n.M("found.ended", phase.doing(), err)}
	}
	return &failure{Connect, i18n.M("found.connect", err)}
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
		return &failure{Signature, i18n.M("found.refused", strconv.Itoa(a.status), a.excerpt())}
	case a.status != 200:
		return &failure{Status, i18n.M("found.status", strconv.Itoa(a.status), a.excerpt())}
	case a.tooLong:
		return &failure{Body, i18n.M("found.long", mostBody>>10, a.excerpt())}
	case string(a.body) == echo:
		return nil
	}
	text := string(a.body)
	if before, after, ok := strings.Cut(text, echo); ok {
		what := i18n.M("found.around.text")
		switch {
		case strings.HasPrefix(text, "\ufeff"):
			what = i18n.M("found.around.mark")
		case strings.TrimSpace(before+after) == "":
			what = i18n.M("found.around.space")
		}
		return &failure{Body, i18n.M("found.around", what, len(before), len(after), a.excerpt())}
	}
	if len(text) <= shortest && !strings.ContainsAny(text, "<{") {
		return &failure{Signature, i18n.M("found.word", a.excerpt())}
	}
	return &failure{Body, i18n.M("found.page", a.excerpt())}
}
