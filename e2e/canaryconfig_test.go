package e2e_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// canaryAccounts are the accounts of the configurations with canaries, in order. But for the first one, their calls fail as
// the mirror says.
func canaryAccounts() []account {
	var all []account
	for i, name := range []string{"good", "errcode", "page", "garbage", "hangup", "redirect", "filed", "tokens", "platform", "passed", "file"} {
		all = append(all, newAccount(name, 0xc0+i, 700))
	}
	for _, i := range []int{8, 9} {
		all[i].Platform, all[i].AppSecret = agency, ""
	}
	return all
}

// newCanaryFixture returns a fixture with the files that the configurations with canaries name.
func newCanaryFixture(t *testing.T) *fixture {
	t.Helper()
	w := newFixtureWith(t, platforms(), canaryAccounts()...)
	writeCertificate(t, w.folder)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w.put(t, "rsa.pem", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	for _, name := range []string{
		"password", "credentials", "client", "header", "app", "receiver-header", "refresh-platform", "refresh-passed",
	} {
		w.put(t, name, secretMarker+"in-the-file-"+name+"\n")
	}
	w.put(t, "store-url", storeURL("in-a-file")+"\n")
	w.put(t, "token", tokenMarker+"of-the-file-of-an-account\n")
	w.put(t, "component", tokenMarker+"of-the-file-of-a-platform\n")
	w.put(t, "callback-token", callbackToken+"\n")
	w.put(t, "aes-key", callbackKey+"\n")
	w.put(t, "sealing-key", base64.StdEncoding.EncodeToString([]byte("simulated-sealing-key-32-bytes-l"))+"\n")
	return w
}

// newMirror starts a server that shows each request in its answer, as proxies and error pages do. The first part of the path
// says how; below /weixin it is Weixin, which fails for all accounts but the first.
func newMirror(t *testing.T, w *fixture) string {
	t.Helper()
	// What fails, by the app id.
	fails := map[string]string{}
	for _, a := range w.accounts[1:] {
		fails[a.AppID] = a.name
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		how, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if strings.HasSuffix(r.URL.Path, "/callback/check") {
			// A success of which fields are shown.
			_ = json.NewEncoder(rw).Encode(map[string]any{
				"dns": []map[string]string{{"ip": r.URL.RawQuery, "real_operator": fmt.Sprint(r.Header["X-Key"])}}, "ping": []any{},
			})
			return
		}
		if how == "weixin" {
			how = "page"
			for id, fault := range fails {
				if strings.Contains(r.URL.RawQuery+string(body), id) {
					how = fault
				}
			}
			if strings.Contains(r.URL.RawQuery+string(body), w.accounts[0].AppID) || strings.Contains(r.URL.Path, "/datacube/") {
				http.StripPrefix("/weixin", w.sim).ServeHTTP(rw, r)
				return
			}
		}
		shown := fmt.Sprintf("%s %s %v %v %s", r.Method, r.URL, r.Header, r.Host, body)
		switch how {
		case "hangup":
			panic(http.ErrAbortHandler)
		case "redirect":
			http.Redirect(rw, r, "http://127.0.0.1:1/there?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
		case "garbage":
			_, _ = fmt.Fprintf(rw, `{"access_token": %q`, shown)
		case "errcode":
			_, _ = fmt.Fprintf(rw, `{"errcode": 40125, "errmsg": %q}`, "invalid appsecret: "+shown)
		case "refused":
			http.Error(rw, shown, http.StatusBadRequest)
		default:
			http.Error(rw, "<html><pre>"+shown+"</pre></html>", http.StatusBadGateway)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// inAFile and inADatabase are the stores of the configurations with canaries.
const (
	inAFile     = "store:\n  path: store.db\n"
	inADatabase = "store:\n  url_file: store-url\n  sealing_key_file: sealing-key\n"
)

// storeURL returns the URL of a database with a password.
func storeURL(name string) string {
	return "postgres://exporter:" + secretMarker + "store-" + name + "@127.0.0.1:1/weixin?sslmode=disable"
}

// canaryConfig returns a configuration that has secrets, between its accounts and receivers, in all fields but those of
// the store. Its servers are those of the mirror.
func canaryConfig(t *testing.T, w *fixture, mirror, store string) string {
	t.Helper()
	host := strings.TrimPrefix(mirror, "http://")
	at := func(path, name string) string { // with all that is secret in a URL
		return fmt.Sprintf("http://user:%surl-password-%s@%s/%s?key=%surl-query-%s", secretMarker, name, host, path, secretMarker, name)
	}
	var b strings.Builder
	b.WriteString("accounts:\n")
	keys := map[string]string{
		"filed":  "app_secret_file: app",
		"tokens": fmt.Sprintf("token: {type: url, url: %q, http_config: {authorization: {credentials: %saccount-server}}}", at("page", "tokens"), secretMarker),
		"platform": fmt.Sprintf("token: {type: authorizer, component_app_id: %s, refresh_token_file: refresh-platform, component_access_token: "+
			"{type: url, url: %q, http_config: {basic_auth: {username: u, password: %scomponent-server}}}}", agency, at("errcode", "platform"), secretMarker),
		"passed": fmt.Sprintf("token: {type: authorizer, component_app_id: %s, refresh_token_file: refresh-passed, component_access_token: {type: file, path: component}}", agency),
		"file":   "token: {type: file, path: token}",
		"hangup": "app_secret: " + w.accounts[4].AppSecret + "\n    token: {type: token}", // with the secret in its URL
	}
	callbacks := map[string]string{
		"good":    "token: " + secretMarker + "callback, http_config: {basic_auth: {username: u, password_file: password}}",
		"errcode": "token_file: callback-token, aes_key_file: aes-key, message: true, message_event: VIEW, message_to: gh_0123456789ab",
		"hangup":  "token_file: callback-token", "redirect": "token_file: callback-token", "garbage": "token_file: callback-token",
	}
	for _, a := range w.accounts {
		key := keys[a.name]
		if key == "" {
			key = "app_secret: " + a.AppSecret
		}
		b.WriteString(entry(a, key))
		if callback := callbacks[a.name]; callback != "" {
			fmt.Fprintf(&b, "    callback: {url: %q, %s}\n", at(a.name, "callback"), callback)
		}
	}
	fmt.Fprintf(&b, "weixin:\n  base_url: %s/weixin\n  requests_per_second: 1000\n  http_config: {http_headers: {X-Key: {secrets: [%sweixin-header], files: [header]}}}\n",
		mirror, secretMarker)
	b.WriteString("refresh:\n  ready_at: \"00:00\"\n  history: 2d\n" + store + "remote_write:\n")
	for name, keys := range canaryReceivers(t, w, mirror, at) {
		fmt.Fprintf(&b, "  - {name: %s, url: %q, %s}\n", name, at("refused/"+name, name), keys)
	}
	return b.String()
}

// canaryReceivers returns the keys of receivers, which have all that an http_config has between them.
func canaryReceivers(t *testing.T, w *fixture, mirror string, at func(path, name string) string) map[string]string {
	t.Helper()
	pemIn := func(name string) string {
		return fmt.Sprintf("%q", readFile(t, w.path(name)))
	}
	oauth := func(more string) string {
		return fmt.Sprintf("oauth2: {client_id: exporter, token_url: %q, %s}", at("refused", "oauth2"), more)
	}
	jwt := "grant_type: urn:ietf:params:oauth:grant-type:jwt-bearer, claims: {sub: " + secretMarker + "claim}, "
	proxy := fmt.Sprintf("proxy_url: %q", strings.Replace(mirror, "://", "://user:"+secretMarker+"proxy-password@", 1))
	return map[string]string{
		"headers":     "headers: {X-Key: " + secretMarker + "receiver-header}, http_headers: {X-Other: {files: [receiver-header]}}",
		"basic":       "basic_auth: {username: u, password: " + secretMarker + "basic-password}",
		"password":    "basic_auth: {username: u, password_file: password}",
		"credentials": "authorization: {credentials_file: credentials}",
		"bearer":      "bearer_token: " + secretMarker + "bearer-token",
		"proxy":       proxy + ", proxy_connect_header: {X-Proxy: [" + secretMarker + "proxy-header]}",
		"tls":         "tls_config: {cert_file: cert.pem, key_file: key.pem}",
		"tls-inline":  "tls_config: {cert: " + pemIn("cert.pem") + ", key: " + pemIn("key.pem") + "}",
		"client": oauth("client_secret: " + secretMarker + "client-secret, endpoint_params: {password: " + secretMarker + "endpoint-parameter}, " +
			proxy + ", proxy_connect_header: {X-Proxy: [" + secretMarker + "oauth2-proxy-header]}, tls_config: {cert_file: cert.pem, key_file: key.pem}"),
		"client-file": oauth("client_secret_file: client, tls_config: {cert: " + pemIn("cert.pem") + ", key: " + pemIn("key.pem") + "}"),
		"jwt":         oauth(jwt + "client_certificate_key: " + pemIn("rsa.pem")),
		"jwt-file":    oauth(jwt + "client_certificate_key_file: rsa.pem"),
	}
}
