package postgrestest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// Demote starts the server again as a standby, which only reads. There is no primary from which it receives anything.
func (s *Server) Demote(ctx context.Context) error {
	signal := filepath.Join(s.data(), "standby.signal")
	if err := errors.Join(s.Stop(), os.WriteFile(signal, nil, 0o600), own(signal)); err != nil {
		return err
	}
	return s.Run(ctx)
}

// Promote ends what Demote began, and waits until the server writes again. Connections last.
func (s *Server) Promote(ctx context.Context) error {
	return s.Execute(ctx, "postgres", "SELECT pg_promote()")
}
