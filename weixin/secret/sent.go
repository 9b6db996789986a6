package secret

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
)

// Sent collects what is secret in the headers of requests as they are sent, with what transports and proxies add to
// them: a server or a proxy may quote it in its answer. The zero value is ready, and safe for concurrent use.
type Sent struct {
	mu     sync.Mutex
	hidden Masker
}

// Trace returns a context for requests whose headers are collected.
func (s *Sent) Trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaderField: s.Add})
}

// Request adds what is secret in the headers of a request, nil for none. It is for transports that do not tell what they
// send.
func (s *Sent) Request(r *http.Request) {
	if r == nil {
		return
	}
	for name, values := range r.Header {
		s.Add(name, values)
	}
}

// Add adds what is secret in a header. It has the form of a hook of httptrace.
func (s *Sent) Add(name string, values []string) {
	name = http.CanonicalHeaderKey(name)
	if isPublic(name) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range values {
		s.add(value)
		if name == "Authorization" || name == "Proxy-Authorization" {
			_, credentials, _ := strings.Cut(value, " ")
			s.add(credentials)
			_, password, _ := (&http.Request{Header: http.Header{"Authorization": {value}}}).BasicAuth()
			s.add(password)
		}
	}
}

// add adds a text. A shorter one than minAnywhere, such as the tenant "1", is not a secret.
func (s *Sent) add(text string) {
	if len(text) >= minAnywhere {
		s.hidden = s.hidden.Add(text)
	}
}

// Masker returns a Masker of all that was sent so far.
func (s *Sent) Masker() Masker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(Masker(nil), s.hidden...)
}

// isPublic reports whether a header is one that each request has, without a secret.
func isPublic(name string) bool {
	switch name {
	case "Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Transfer-Encoding", "User-Agent",
		"X-Prometheus-Remote-Write-Version", "Retry-Attempt":
		return true
	}
	return strings.HasPrefix(name, ":") // a part of HTTP/2's first line
}
