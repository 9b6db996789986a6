package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store/postgres"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/secret"
)

// TestTLS: with sslmode=verify-full a server is used whose certificate is by the authority and for the address of the
// URL, and no other; the error says why.
func TestTLS(t *testing.T) { //nolint:tparallel // they use one server
	t.Parallel()
	if server == nil {
		t.Skip(postgrestest.ErrNotInstalled)
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	const user, password = "exporter", "hush-hush-4711"
	own := newServer(t)
	if err := own.Execute(t.Context(), "postgres", "CREATE ROLE "+user+" LOGIN PASSWORD '"+password+"'", "CREATE DATABASE figures OWNER "+user); err != nil {
		t.Fatal(err)
	}
	// The port is fixed, so the address is one that no other server has.
	named, other := loopback(), loopback()
	ours, theirs := newAuthority(t), newAuthority(t)
	certificate, key := ours.issue(t, named)
	if err := own.ServeTLS(t.Context(), certificate, key, named.String(), other.String()); err != nil {
		t.Fatal(err)
	}
	address := func(host net.IP, password string, parameters ...string) string {
		query := make(url.Values)
		for i := 0; i < len(parameters); i += 2 {
			query.Set(parameters[i], parameters[i+1])
		}
		return (&url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: host.String(), Path: "/figures", RawQuery: query.Encode()}).String()
	}

	s := openAt(t, secret.NewURL(address(named, password, "sslmode", "verify-full", "sslrootcert", ours.file)), postgres.Options{})
	storetest.Save(t, s, storetest.Daily(storetest.Shop, storetest.FirstDay, 1))
	if got := storetest.Load(t, s, storetest.FirstDay)[storetest.Shop]; got.Daily.Figures.Callbacks != 1 {
		t.Errorf("stored by TLS: %+v", got.Daily)
	}
	if encrypted, plain := connections(t, own, user); encrypted == 0 || plain != 0 {
		t.Errorf("%d connections with TLS and %d without, want all with", encrypted, plain)
	}

	for name, test := range map[string]struct{ url, want string }{
		"another authority": {
			address(named, password, "sslmode", "verify-full", "sslrootcert", theirs.file),
			"the database cannot be reached; check the server and store.url: …certificate signed by unknown authority",
		},
		"the authorities of the host": {address(named, password, "sslmode", "verify-full"), "…x509: certificate signed by unknown authority"},
		"another address": {
			address(other, password, "sslmode", "verify-full", "sslrootcert", ours.file),
			"…certificate is valid for " + named.String() + ", not " + other.String(),
		},
		"no such file": {
			address(named, password, "sslmode", "verify-full", "sslrootcert", filepath.Join(t.TempDir(), "absent.pem")),
			"a file that the URL of the store names (sslrootcert, sslcert or sslkey) cannot be read: no such file",
		},
		"without TLS":      {address(named, password, "sslmode", "disable"), "…no encryption"},
		"a wrong password": {address(named, "not-"+password, "sslmode", "verify-full", "sslrootcert", ours.file), "the database refuses the user or the password; check store.url"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := postgres.Open(t.Context(), secret.NewURL(test.url), postgres.Options{})
			if err == nil {
				t.Fatal("the server is accepted")
			}
			for part := range strings.SplitSeq(test.want, "…") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %v, want …%s…", err, part)
				}
			}
			if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error contains the password or several lines: %q", err)
			}
		})
	}
}

// connections returns how many connections of a user to a server have TLS, and how many do not.
func connections(t *testing.T, s *postgrestest.Server, user string) (encrypted, plain int) { //nolint:nonamedreturns // two of a kind need names
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }() // it has only read
	row := conn.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
		FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1`, user)
	if err := row.Scan(&encrypted, &plain); err != nil {
		t.Fatal(err)
	}
	return encrypted, plain
}

// loopback returns a loopback address that, in all likelihood, nothing listens on.
func loopback() net.IP {
	const first, last = 1, 254
	part := func() byte { return byte(first + mathrand.IntN(last)) }
	return net.IPv4(127, part(), part(), part())
}

// authority issues certificates; its own is in a file.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := certificate()
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return authority{certificate: parsed, key: key, file: file}
}

// issue returns a certificate for an address, and its key, both in PEM.
func (a authority) issue(t *testing.T, address net.IP) ([]byte, []byte) {
	t.Helper()
	template := certificate()
	template.IPAddresses, template.KeyUsage = []net.IP{address}, x509.KeyUsageDigitalSignature
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// certificate returns what all certificates have: they are valid at any time of a test.
func certificate() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(mathrand.Int64()),
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
