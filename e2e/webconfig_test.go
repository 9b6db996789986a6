package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	webUser     = "prometheus"
	webPassword = secretMarker + "of-the-web"
	// webHash is the bcrypt hash of webPassword, at the lowest cost.
	webHash = "$2a$04$UxKDecHzjJdUzh7dUT93wOqTImTDCkgJKiehP1k3cET0QsVP56.ly"
)

func TestWebConfig(t *testing.T) {
	t.Parallel()
	users := "basic_auth_users:\n  " + webUser + ": " + webHash + "\n"
	tlsServer := "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
	for _, c := range []struct {
		name, text string
		tls, auth  bool
	}{
		{"plain", "{}\n", false, false},
		{"basic auth", users, false, true},
		{"TLS", tlsServer, true, false},
		{"TLS and basic auth", tlsServer + users, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t, newAccount("shop", 1, 500))
			roots := writeCertificate(t, w.folder)
			file := filepath.Join(w.folder, "web.yml")
			writeFile(t, file, c.text)
			x := runExporter(t, "--config.file="+w.config, "--web.config.file="+file)
			client := x.web
			if c.tls {
				if p, err := x.try(t, http.MethodGet, "/-/healthy"); err == nil && p.status != http.StatusBadRequest {
					t.Errorf("without TLS: status %d, want 400 or no response", p.status)
				}
				client = x.overTLS(t, &tls.Config{RootCAs: roots})
			}
			var headers []string
			if c.auth {
				for _, path := range []string{"/metrics", "/config", "/", "/-/ready"} {
					if p := client.ask(t, http.MethodGet, path); p.status != http.StatusUnauthorized {
						t.Errorf("%s without a password: status %d, want 401", path, p.status)
					}
				}
				request, err := http.NewRequest(http.MethodGet, "/", nil)
				if err != nil {
					t.Fatal(err)
				}
				request.SetBasicAuth(webUser, webPassword)
				headers = []string{"Authorization", request.Header.Get("Authorization")}
			}
			eventually(t, "figures", func() error {
				p := client.ask(t, http.MethodGet, "/metrics", headers...)
				if p.status != http.StatusOK {
					t.Fatalf("status %d, want 200", p.status)
				}
				if !strings.Contains(p.body, `weixin_interface_daily_callbacks{account="shop"}`) {
					return errNotYet
				}
				return nil
			})
			logged := len(x.stderr.lines())
			checkHealth(t, x.base.Host, 0, "--web.config.file="+file)
			client.ask(t, http.MethodGet, "/-/healthy", headers...) // accepted after the health check
			for _, line := range x.stderr.lines()[logged:] {
				if containsAll(line, []string{"handshake"}) {
					t.Errorf("a health check with TLS made the exporter log: %s", mask(line))
				}
			}
			checkHealth(t, x.base.Host, 0)
		})
	}
}

// TestWebConfigOfSeveralAddresses: the web configuration holds for each address by itself, so that a request counts once towards the limit of the
// address that it came to.
func TestWebConfigOfSeveralAddresses(t *testing.T) {
	t.Parallel()
	const most = 5
	w := newFixture(t, newAccount("shop", 1, 500))
	file := filepath.Join(w.folder, "web.yml")
	writeFile(t, file, fmt.Sprintf("rate_limit: {interval: 24h, burst: %d}\n", most))
	x := start(t, suite.binary, "--config.file="+w.config, "--web.config.file="+file, "--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0")
	for _, client := range x.addresses(t, 2) {
		for n := range most + 1 {
			want := http.StatusOK
			if n == most {
				want = http.StatusTooManyRequests
			}
			if p := client.ask(t, http.MethodGet, "/-/healthy"); p.status != want {
				t.Errorf("request %d to %s: status %d, want %d", n+1, client.base, p.status, want)
			}
		}
	}
	x.stop(t, syscall.SIGTERM)
}

// TestClientCertificates: only a client with a certificate of the authority is served, and the health check needs none.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	roots := writeCertificate(t, w.folder)
	file := filepath.Join(w.folder, "web.yml")
	writeFile(t, file, "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"+
		"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n")
	x := runExporter(t, "--config.file="+w.config, "--web.config.file="+file)
	strangers := t.TempDir()
	writeCertificate(t, strangers)

	with := func(folder string) web {
		config := &tls.Config{RootCAs: roots}
		if folder != "" {
			pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
			if err != nil {
				t.Fatal(err)
			}
			// Sent whatever authorities the server names.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		return x.overTLS(t, config)
	}
	client := with(w.folder)
	eventually(t, "figures", func() error {
		if p := client.ask(t, http.MethodGet, "/metrics"); !strings.Contains(p.body, `weixin_interface_daily_callbacks{account="shop"}`) {
			return errNotYet
		}
		return nil
	})
	for name, folder := range map[string]string{"no certificate": "", "a certificate of another authority": strangers} {
		for _, path := range []string{"/metrics", "/-/healthy", "/config"} {
			p, err := with(folder).try(t, http.MethodGet, path)
			if err == nil {
				t.Errorf("%s with %s: status %d, want a refused connection", path, name, p.status)
			} else if !strings.Contains(err.Error(), "tls: ") {
				t.Errorf("%s with %s: %v, want an error of TLS", path, name, err)
			}
		}
	}
	checkHealth(t, x.base.Host, 0, "--web.config.file="+file)
	checkHealth(t, x.base.Host, 0)
}

// checkHealth runs the health check of containers.
func checkHealth(t *testing.T, address string, want int, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, suite.binary, append([]string{"healthcheck", "--web.listen-address=" + address}, args...)...)
	cmd.Env = environment(t.TempDir())
	out, err := cmd.CombinedOutput()
	suite.recorder.record(t.Name(), "healthcheck", string(out))
	code, err := exitCode(err)
	if err != nil || code != want {
		t.Errorf("healthcheck exited with code %d (%v), want %d: %s", code, err, want, mask(string(out)))
	}
	if code == 0 && len(out) > 0 {
		t.Errorf("a successful healthcheck prints %q", mask(string(out)))
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	w := newFixture(t, newAccount("shop", 1, 500))
	x := serve(t, w.config)
	_, port, err := net.SplitHostPort(x.base.Host)
	if err != nil {
		t.Fatal(err)
	}
	checkHealth(t, x.base.Host, 0)
	checkHealth(t, net.JoinHostPort("localhost", port), 0)
	checkHealth(t, ":"+port, 0)
	checkHealth(t, "0.0.0.0:"+port, 0)
	checkHealth(t, closedPort(t).address, 1)
}

// writeCertificate writes a certificate for the loopback address and its key into a folder, and returns a pool with
// the certificate.
func writeCertificate(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    clock().Add(-time.Hour),
		NotAfter:     clock().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	writeFile(t, filepath.Join(folder, "cert.pem"), string(certificate))
	writeFile(t, filepath.Join(folder, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certificate) {
		t.Fatal("the certificate is invalid")
	}
	return pool
}
