package weixin

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// timeoutError means that no response arrived in time.
type timeoutError time.Duration

// Error implements error.
func (e timeoutError) Error() string { return "no response within " + time.Duration(e).String() }

// statusError is an HTTP status that means a failure.
type statusError int

// Error implements error.
func (e statusError) Error() string {
	if text := http.StatusText(int(e)); text != "" {
		return fmt.Sprintf("HTTP status %d %s", int(e), text)
	}
	return fmt.Sprintf("HTTP status %d", int(e))
}

// Kind is the kind of a failure without an errcode, so that equal failures of many accounts can be
// reported as one: "status N", "dns", "tls", "timeout", "refused", "reset", "network" or "other"; "" if there
// is an errcode.
func (e *Error) Kind() string {
	if e.Errcode != 0 || e.Err == nil {
		return ""
	}
	if status, ok := errors.AsType[statusError](e.Err); ok {
		return "status " + strconv.Itoa(int(status))
	}
	_, timeout := errors.AsType[timeoutError](e.Err)
	network, ofNetwork := errors.AsType[net.Error](e.Err)
	_, ofDNS := errors.AsType[*net.DNSError](e.Err)
	_, ofTLS := errors.AsType[*tls.CertificateVerificationError](e.Err)
	switch {
	case ofDNS:
		return "dns"
	case ofTLS:
		return "tls"
	case timeout || ofNetwork && network.Timeout():
		return "timeout"
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(e.Err, syscall.ECONNRESET), errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF):
		return "reset"
	case ofNetwork:
		return "network"
	default:
		return "other"
	}
}
