package httpclient_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/httpclient"
)

// quoting is what an answer may quote of a request for a token: the client's secret, a parameter and the key in the URL.
const quoting = "sim-secret-client sim-secret-parameter sim-secret-query"

// oauth2Error returns the error of a request whose token a server answers like this.
func oauth2Error(t *testing.T, status int, contentType, body string) error {
	t.Helper()
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer tokens.Close()
	client, err := httpclient.New(promconfig.HTTPClientConfig{OAuth2: &promconfig.OAuth2{
		ClientID: "id", ClientSecret: "sim-secret-client", TokenURL: tokens.URL + "?key=sim-secret-query",
		EndpointParams: map[string]string{"password": "sim-secret-parameter"},
	}}, "weixin_exporter")
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	_, err = postBy(t, client, "http://127.0.0.1:1/") // refuses connections
	if err == nil {
		t.Fatal("a request to no server succeeded")
	}
	return err
}

// TestOAuth2AnswersThatQuote: an answer with a token that cannot be read is not quoted with its secrets either.
func TestOAuth2AnswersThatQuote(t *testing.T) {
	t.Parallel()
	for body, contentType := range map[string]string{
		`{"access_token":"sim-token-1","expires_in":"` + quoting + `"}`: "application/json",
		"access_token=%" + quoting:                                      "text/plain",
		`{"error":"` + quoting + `"}`:                                   "application/json",
		"{\"" + quoting + "\":\x01}":                                    "application/json",
		"error_description=" + quoting:                                  "application/x-www-form-urlencoded",
		"error=x&error_description=" + quoting:                          "application/x-www-form-urlencoded",
	} {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
			if err := oauth2Error(t, status, contentType, body); strings.Contains(err.Error(), "sim-secret-") {
				t.Errorf("status %d, %s: the error shows a secret", status, contentType)
			}
		}
	}
}

// FuzzOAuth2: whatever a server of tokens answers, the error does not have the secrets of the request for the token.
func FuzzOAuth2(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"access_token":"sim-token-1","token_type":"Bearer","expires_in":3600}`))
	f.Add(200, "application/json", []byte(`{"access_token":"sim-token-1","expires_in":"sim-secret-client"}`))
	f.Add(200, "application/json", []byte(`{"access_token":"a\nb","token_type":"\u0000","expires_in":1e400}`))
	f.Add(401, "application/json", []byte(`{"error":"invalid_client","error_description":"sim-secret-parameter\nsim-secret-query"}`))
	f.Add(400, "text/plain", []byte("error=a%0Ab&error_description=%1b[31m"))
	f.Add(200, "application/x-www-form-urlencoded", []byte("access_token=sim-token-1&expires_in=sim-secret-client"))
	f.Add(200, "text/plain;%", []byte("access_token=%sim-secret-client"))
	f.Add(500, "text/html", []byte("<html>sim-secret-client"))
	f.Add(204, "", []byte(""))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		if status < 200 || status > 599 || status/100 == 3 {
			return // a redirect, or not an answer
		}
		text := oauth2Error(t, status, contentType, string(body)).Error()
		for hidden := range strings.FieldsSeq(quoting) {
			if strings.Contains(text, hidden) {
				t.Errorf("%q shows a secret", text)
			}
		}
	})
}
