package postgrestest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// ServeTLS starts the server again with a certificate and its key, both in PEM. From then on it also listens on port 5432
// of the addresses, which are loopback ones, for clients with TLS and a password.
func (s *Server) ServeTLS(ctx context.Context, certificate, key []byte, addresses ...string) error {
	if err := s.Stop(); err != nil {
		return err
	}
	// The names and the folder are those that the server looks for by itself. The rules are replaced, since by those
	// of initdb the host itself needs neither.
	for name, content := range map[string][]byte{
		"server.crt": certificate, "server.key": key,
		"pg_hba.conf": []byte("local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n"), //nolint:dupword // all databases, all users
	} {
		file := filepath.Join(s.data(), name)
		if err := errors.Join(os.WriteFile(file, content, 0o600), own(file)); err != nil {
			return err
		}
	}
	s.network = []string{"-c", "ssl=on", "-c", "listen_addresses=" + strings.Join(addresses, ",")}
	return s.Run(ctx)
}
