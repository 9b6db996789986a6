package httpclient_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/httpclient"
)

// A byte order mark and white space around a password are not sent, and a changed file applies at once.
func TestFilesAreReadWithoutByteOrderMark(t *testing.T) {
	var authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"access_token": "issued", "token_type": "Bearer"}`)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "credentials")
	for name, c := range map[string]struct {
		config promconfig.HTTPClientConfig
		want   string
	}{
		"basic": {promconfig.HTTPClientConfig{BasicAuth: &promconfig.BasicAuth{UsernameFile: path, PasswordFile: path}}, "Basic d29yZDp3b3Jk"},
		"token": {promconfig.HTTPClientConfig{Authorization: &promconfig.Authorization{Type: "Bearer", CredentialsFile: path}}, "Bearer word"},
	} {
		before := c.config
		client, err := httpclient.New(c.config, "test")
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range []string{"word", "\uFEFFword\r\n"} {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if authorization != c.want {
				t.Errorf("%s: sent %q, want %q", name, authorization, c.want)
			}
		}
		if c.config.BasicAuth != before.BasicAuth || c.config.BasicAuth != nil && c.config.BasicAuth.PasswordFile != path {
			t.Errorf("%s: the configuration was changed", name)
		}
		client.CloseIdleConnections()
	}
}
