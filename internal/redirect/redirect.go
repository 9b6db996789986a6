// Package redirect keeps HTTP clients from following redirects. A request of this program carries a secret
// in its query, headers or body, and a redirect would take it to a host that nobody configured.
package redirect

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Error says that a server answered with a redirect.
type Error struct {
	// Status is the HTTP status.
	Status int
	// To is the address that the server named, without user and query, which may be secrets.
	To string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("HTTP status %d: the server redirects to %s; redirects are not followed: configure that address if it is the right one", e.Status, e.To)
}

// Refuse is a CheckRedirect of http.Client that follows no redirect. The client's error is then an
// *Error inside of a *url.Error.
func Refuse(next *http.Request, _ []*http.Request) error {
	e := &Error{To: (&url.URL{Scheme: next.URL.Scheme, Host: next.URL.Host, Path: next.URL.Path, RawPath: next.URL.RawPath}).String()}
	if next.Response != nil {
		e.Status = next.Response.StatusCode
	}
	return e
}

// As returns the *Error that err is or wraps.
func As(err error) (*Error, bool) { return errors.AsType[*Error](err) }
