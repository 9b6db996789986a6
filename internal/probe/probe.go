// Package probe checks whether the callback server of an account answers now, with the request by which Weixin
// verifies a URL. The outcome of a probe is a Result, a plain value: metrics.go turns it into metrics, handler.go
// serves it.
//
// The metrics have the names and shapes of those of blackbox_exporter. Its package prober (v0.28.0) is not used:
//   - it writes the whole URL, and so the signature, into its log and its debug output;
//   - it checks a response against regular expressions of a configuration, not against an echo that differs each time;
//   - it reports that a probe failed, but not why;
//   - it resolves names before it dials, and has no hook to refuse an address;
//   - it needs seven more modules (quic-go, cel-go and miekg/dns among them): a program that only probes is as large
//     as the whole exporter, 21 MB.
package probe

import (
	"time"

	"weixin_exporter/internal/i18n"
)

// Reason is why a probe failed: a label of few values. "" is a success.
type Reason string

const (
	// DNS means that the name of the host was not resolved.
	DNS Reason = "dns"
	// Connect means that there was no connection, or that it ended before the answer was complete.
	Connect Reason = "connect"
	// TLS means that the handshake failed, or that the certificate is not valid.
	TLS Reason = "tls"
	// Timeout means that the answer was not complete in time.
	Timeout Reason = "timeout"
	// Status means that the HTTP status is not 200.
	Status Reason = "status"
	// Redirect means that the server redirects, which is not followed.
	Redirect Reason = "redirect"
	// Signature means that the server seems to refuse the signature, as it does if its token is a different one.
	Signature Reason = "signature"
	// Body means that the answer is not the echo that was sent.
	Body Reason = "body"
	// Reply means that the URL was verified, but that Weixin would not accept the answer to the message.
	Reply Reason = "reply"
	// Address means that the host has an address that is not connected to, that of a metadata service of a cloud.
	Address Reason = "address"
)

// Reasons returns all reasons for which a probe fails.
func Reasons() []Reason {
	return []Reason{DNS, Connect, TLS, Timeout, Status, Redirect, Signature, Body, Reply, Address}
}

// Phase is a part of an HTTP request.
type Phase int

// The phases are those of blackbox_exporter, in the order in which they happen.
const (
	Resolve Phase = iota
	Connecting
	Handshake
	Processing
	Transfer
	Phases
)

// String returns the phase as the label has it.
func (p Phase) String() string {
	switch p {
	case Resolve:
		return "resolve"
	case Connecting:
		return "connect"
	case Handshake:
		return "tls"
	case Processing:
		return "processing"
	default:
		return "transfer"
	}
}

// doing says what is going on during the phase.
func (p Phase) doing() i18n.Message {
	switch p {
	case Resolve:
		return i18n.M("phase.resolve")
	case Connecting:
		return i18n.M("phase.connect")
	case Handshake:
		return i18n.M("phase.tls")
	case Processing:
		return i18n.M("phase.processing")
	default:
		return i18n.M("phase.transfer")
	}
}

// Result is what a probe found. It holds no secret, no signature and no token.
type Result struct {
	// ID numbers the probes of this process from 1.
	ID      int64
	Account string
	// At is when the probe began, Duration how long all of it took.
	At       time.Time
	Duration time.Duration
	// Reason is "" for a success; Text says in a sentence what was found.
	Reason Reason
	Text   string
	// Found is Text in each language.
	Found i18n.Message
	// Phases are those of the request that verifies the URL. A phase that was not reached is 0.
	Phases [Phases]time.Duration
	// Status is 0 where there was no answer, HTTPVersion such as 1.1 or 2.
	Status      int
	HTTPVersion float64
	// TLSVersion is "" where there was no TLS connection, CertificateExpiry the earliest end of a certificate
	// of the chain that the server sent; zero where it sent none.
	TLSVersion        string
	CertificateExpiry time.Time
	// Message is how long the request took that delivers a message; 0 where none was sent.
	Message time.Duration
	// Log is what was done, line by line.
	Log string
}

// Success reports whether the server answered as it must.
func (r Result) Success() bool { return r.Reason == "" }
