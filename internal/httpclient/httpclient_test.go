package httpclient_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/httpclient"
	"weixin_exporter/internal/redirect"
)

// serve starts a server that is closed at the end of the test, and returns its URL.
func serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

// post sends a request with a client that New makes.
func post(t *testing.T, c promconfig.HTTPClientConfig, address string) (*http.Response, error) {
	t.Helper()
	client, err := httpclient.New(c, "weixin_exporter")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return postBy(t, client, address)
}

func postBy(t *testing.T, client *http.Client, address string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("samples"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err == nil {
		response.Body.Close()
	}
	return response, err
}

// key returns a key for the grant type of RFC 7523.
func key(t *testing.T) promconfig.Secret {
	t.Helper()
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return promconfig.Secret(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(made)}))
}

// Whichever server redirects, its target receives no request.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { seen.Add(1) })
			leads := serve(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, strings.Replace(elsewhere, "://", "://user:sim-secret-user@", 1)+"/there?key=sim-secret-query", status)
			})
			tokens := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"access_token":"sim-token-1","token_type":"Bearer","expires_in":3600}`)
			})
			good := serve(t, func(http.ResponseWriter, *http.Request) {})
			oauth := func(tokenURL string) *promconfig.OAuth2 {
				return &promconfig.OAuth2{ClientID: "id", ClientSecret: "sim-secret-client", TokenURL: tokenURL}
			}
			signed := &promconfig.OAuth2{
				ClientID: "id", ClientCertificateKey: key(t), TokenURL: leads, GrantType: "urn:ietf:params:oauth:grant-type:jwt-bearer",
			}
			for name, c := range map[string]struct {
				settings promconfig.HTTPClientConfig
				address  string
				says     string
			}{
				"plain":         {promconfig.DefaultHTTPClientConfig, leads, ""},
				"basic auth":    {promconfig.HTTPClientConfig{FollowRedirects: true, BasicAuth: &promconfig.BasicAuth{Username: "u", Password: "sim-secret-basic"}}, leads, ""},
				"with a token":  {promconfig.HTTPClientConfig{FollowRedirects: true, OAuth2: oauth(tokens)}, leads, ""},
				"for a token":   {promconfig.HTTPClientConfig{FollowRedirects: true, OAuth2: oauth(leads)}, good, "getting an OAuth2 token: "},
				"signs a token": {promconfig.HTTPClientConfig{FollowRedirects: true, OAuth2: signed}, good, "getting an OAuth2 token: "},
			} {
				response, err := post(t, c.settings, c.address)
				refused, ok := redirect.As(err)
				if !ok || refused.Status != status || refused.To != elsewhere+"/there" {
					t.Errorf("%s: %v, %v", name, response, err)
					continue
				}
				if !strings.Contains(err.Error(), c.says+fmt.Sprintf("HTTP status %d: the server redirects to %s/there; ", status, elsewhere)) {
					t.Errorf("%s: error %v", name, err)
				}
			}
			if n := seen.Load(); n > 0 {
				t.Errorf("the target received %d requests", n)
			}
		})
	}
}

// A token is requested once, and again after the client's secret has changed.
func TestOAuth2(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	tokens := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		id, password, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "write" || r.FormValue("extra") != "1" ||
			id != "id" || r.UserAgent() != "weixin_exporter" {
			t.Errorf("requested a token with %v as %s by %s", r.Form, id, r.UserAgent())
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"sim-token-%s","token_type":"Bearer","expires_in":3600}`, password)
	})
	var got atomic.Value
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { got.Store(r.Header.Get("Authorization")) })
	file := filepath.Join(t.TempDir(), "secret")
	client, err := httpclient.New(promconfig.HTTPClientConfig{OAuth2: &promconfig.OAuth2{
		ClientID: "id", ClientSecretFile: file, Scopes: []string{"write"}, TokenURL: tokens, EndpointParams: map[string]string{"extra": "1"},
	}}, "weixin_exporter")
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	if _, err := postBy(t, client, address); err == nil || !strings.Contains(err.Error(), "reading the OAuth2 client's credential") {
		t.Errorf("without the file: %v", err)
	}
	for i, text := range []string{"first", "\uFEFFfirst\r", "second"} {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := postBy(t, client, address); err != nil {
			t.Fatal(err)
		}
		if want := "Bearer sim-token-" + strings.Trim(text, "\uFEFF\r"); got.Load() != want {
			t.Errorf("request %d has another token", i)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("requested a token %d times, want 2", n)
	}
}

// The error of a token server is quoted without the secret that it repeats; one that hangs takes no longer than the
// context of the request.
func TestOAuth2Faults(t *testing.T) {
	t.Parallel()
	refuses := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"no client with sim-secret-client: sim-secret-parameter, sim-secret-query"}`)
	})
	settings := promconfig.HTTPClientConfig{OAuth2: &promconfig.OAuth2{
		ClientID: "id", ClientSecret: "sim-secret-client", TokenURL: refuses + "?key=sim-secret-query",
		EndpointParams: map[string]string{"password": "sim-secret-parameter"},
	}}
	_, err := post(t, settings, "http://127.0.0.1:1/")
	if err == nil || !strings.HasSuffix(err.Error(), "getting an OAuth2 token: HTTP status 401 invalid_client: no client with <secret>: <secret>, <secret>") {
		t.Error("the error is not that of the token server")
	}
	free := make(chan struct{})
	hangs := serve(t, func(http.ResponseWriter, *http.Request) { <-free })
	t.Cleanup(func() { close(free) }) // before the server is closed
	settings.OAuth2.TokenURL = hangs
	client, err := httpclient.New(settings, "weixin_exporter")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:1/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := client.Do(request); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("%v", err)
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	o := promconfig.OAuth2{TLSConfig: promconfig.TLSConfig{CAFile: filepath.Join(t.TempDir(), "none")}}
	if _, err := httpclient.New(promconfig.HTTPClientConfig{OAuth2: &o}, "weixin_exporter"); err == nil {
		t.Error("a missing file for the token server is not an error")
	}
	c := promconfig.HTTPClientConfig{TLSConfig: promconfig.TLSConfig{CAFile: filepath.Join(t.TempDir(), "none")}}
	if _, err := httpclient.New(c, "weixin_exporter"); err == nil {
		t.Error("a missing file is not an error")
	}
}
