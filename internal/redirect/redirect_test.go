package redirect_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"weixin_exporter/internal/redirect"
)

// The error names the target without user, query and fragment.
func TestRefuse(t *testing.T) {
	t.Parallel()
	address, err := url.Parse("https://user:sim-secret-1@other.example:8443/a%2Fb?key=sim-secret-2#sim-secret-3")
	if err != nil {
		t.Fatal(err)
	}
	got := redirect.Refuse(&http.Request{URL: address, Response: &http.Response{StatusCode: http.StatusFound}}, nil)
	const want = "HTTP status 302: the server redirects to https://other.example:8443/a%2Fb; redirects are not followed: configure that address if it is the right one"
	if got.Error() != want {
		t.Errorf("got %q, want %q", got, want)
	}
	refused, ok := redirect.As(fmt.Errorf("sending: %w", &url.Error{Op: "Post", URL: address.String(), Err: got}))
	if !ok || refused.Status != http.StatusFound {
		t.Errorf("As returns %+v, %v for a wrapped error", refused, ok)
	}
	if _, ok := redirect.As(errors.New("connection refused")); ok {
		t.Error("another error counts as a redirect")
	}
}
