package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPooler means that the host has no pgbouncer.
var ErrNoPooler = errors.New("pgbouncer is not installed (on Debian: apt-get install pgbouncer)")

// PoolSize is the number of connections that a Pooler has to each database.
const PoolSize = 2

// Pooler is a running pgbouncer in transaction mode before a server. It has few connections to each database, so that
// the transactions of one client get different ones.
type Pooler struct {
	folder, program, config string
	process                 *exec.Cmd
}

// StartPooler starts a pooler of the server, with its files in a new temporary folder. It returns ErrNoPooler if
// pgbouncer is not installed.
func StartPooler(ctx context.Context, s *Server) (*Pooler, error) {
	program, err := findPooler()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "pb")
	if err != nil {
		return nil, err
	}
	p := &Pooler{folder: folder, program: program, config: filepath.Join(folder, "pgbouncer.ini")}
	text := fmt.Sprintf("[databases]\n* = host=%s user=postgres\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = %s\nlisten_port = 5432\nauth_type = any\n"+
		"pool_mode = transaction\ndefault_pool_size = %d\nmax_client_conn = 200\nserver_login_retry = 0.1\nlogfile = %s\n", s.Folder(), folder, PoolSize, p.log())
	err = os.WriteFile(p.config, []byte(text), 0o600)
	if err == nil {
		err = p.Run(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return p, nil
}

func findPooler() (string, error) {
	const debian = "/usr/sbin/pgbouncer" // not in the PATH of every user
	for _, name := range []string{"pgbouncer", debian} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoPooler
}

func (p *Pooler) log() string { return filepath.Join(p.folder, "log") }

// Run starts the pooler again after Kill, and waits until it reaches the server.
func (p *Pooler) Run(ctx context.Context) error {
	p.process = Unprivileged(exec.CommandContext(context.WithoutCancel(ctx), p.program, p.config), p.folder, p.config) //nolint:gosec // a program of the host
	if err := p.process.Start(); err != nil {
		return fmt.Errorf("start pgbouncer: %w", err)
	}
	if err := answers(ctx, p.URL("postgres")); err != nil {
		log, _ := os.ReadFile(p.log()) // for the message
		return errors.Join(fmt.Errorf("pgbouncer does not answer: %w\n%s", err, log), p.Kill())
	}
	return nil
}

// URL returns the URL of a database through the pooler.
func (p *Pooler) URL(database string) string { return address(p.folder, database) }

// Folder returns the folder with the socket.
func (p *Pooler) Folder() string { return p.folder }

// Kill ends the pooler and all its connections at once.
func (p *Pooler) Kill() error {
	if err := p.process.Process.Kill(); err != nil {
		return err
	}
	err := p.process.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = nil // it ended, as it should
	}
	// It leaves its socket, which is in the way of the next start.
	return errors.Join(err, os.Remove(filepath.Join(p.folder, socket)))
}

// Remove ends the pooler and removes its files.
func (p *Pooler) Remove() error { return errors.Join(p.Kill(), os.RemoveAll(p.folder)) }

// answers waits until connections to the address are accepted and used.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	const pause = 20 * time.Millisecond
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			return conn.Close(ctx)
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return err
		}
	}
}
