package secret_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"weixin_exporter/weixin/secret"
)

// keyed is a transport that adds a header, as that of an http_config does.
type keyed struct{ next http.RoundTripper }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Key", "hidden-key")
	r.Header.Set("X-Tenant", "7")
	return k.next.RoundTrip(r)
}

// TestSent: a proxy that shows the request shows none of its credentials, including those that a transport has added.
func TestSent(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "7 %v", r.Header)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword("proxy", "hidden-proxy")
	for _, authorization := range []string{"Bearer hidden-token", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:hidden-word"))} {
		var sent secret.Sent
		request, err := http.NewRequestWithContext(sent.Trace(t.Context()), http.MethodGet, "http://server.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", authorization)
		request.Header.Set("User-Agent", "weixin_exporter/1")
		transport := &http.Transport{Proxy: http.ProxyURL(address)}
		response, err := (&http.Client{Transport: keyed{transport}}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		transport.CloseIdleConnections()
		_, credentials, _ := strings.Cut(authorization, " ")
		shown := sent.Masker().Mask(string(body) + " hidden-word")
		for _, hidden := range []string{"hidden-key", "hidden-token", credentials, base64.StdEncoding.EncodeToString([]byte("proxy:hidden-proxy"))} {
			if strings.Contains(shown, hidden) {
				t.Errorf("shown: %s", shown)
			}
		}
		if strings.Contains(authorization, "Basic") == strings.Contains(shown, "hidden-word") || !strings.Contains(shown, "weixin_exporter/1") ||
			!strings.HasPrefix(shown, "7 ") {
			t.Errorf("shown: %s", shown)
		}
	}
}
