// Package redirect stops HTTP clients from following redirects. Requests of this program have a secret
// in their query, headers or body, and a redirect would send it to a host that is not configured.
package redirect

import (
	"errors"
	"fmt"
	"net/http"

	"weixin_exporter/weixin/secret"
)

// Error means that a server responded with a redirect.
type Error struct {
	// Status is the HTTP status.
	Status int
	// To is the target of the redirect, without user and query, which may be secrets.
	To string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("HTTP status %d: the server redirects to %s; redirects are not followed: configure that address if it is the right one", e.Status, e.To)
}

// Refuse is a CheckRedirect function of http.Client that refuses every redirect. The client's error is an
// *Error in a *url.Error.
func Refuse(next *http.Request, _ []*http.Request) error {
	e := &Error{To: secret.NewURL(next.URL.String()).Endpoint()}
	if next.Response != nil {
		e.Status = next.Response.StatusCode
	}
	return e
}

// As returns the *Error that err is or wraps.
func As(err error) (*Error, bool) { return errors.AsType[*Error](err) }
