// Package postgrestest starts a PostgreSQL server for tests. The server is a program of the host, listens on a Unix
// socket only unless ServeTLS is called, and keeps everything in a temporary folder.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNotInstalled means that the host has no PostgreSQL server.
var ErrNotInstalled = errors.New("PostgreSQL is not installed (on Debian: apt-get install postgresql)")

// Server is a running server.
type Server struct {
	folder, programs string
	process          *exec.Cmd
	log              *os.File
	databases        atomic.Int64
	// network are settings with which the server listens on addresses, too.
	network []string
}

// startTime is how long a program may take to start.
const startTime = time.Minute

// Start creates and starts a server in a new temporary folder. It returns ErrNotInstalled if there is none.
func Start(ctx context.Context) (*Server, error) {
	programs, err := find()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, programs: programs}
	if err := errors.Join(own(folder), s.initialize(ctx)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := s.Run(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return s, nil
}

// find returns the folder with the programs of the newest server that is installed.
func find() (string, error) {
	const debian = "/usr/lib/postgresql/*/bin/initdb"
	installed, err := filepath.Glob(debian)
	if err != nil {
		return "", err
	}
	if len(installed) == 0 {
		return "", ErrNotInstalled
	}
	return filepath.Dir(slices.Max(installed)), nil
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// command returns a command of the server's programs, as a user whom the server accepts.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, name), args...) //nolint:gosec // a program of the server
	cmd.Dir = s.folder
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	unprivileged(cmd)
	return cmd
}

func (s *Server) initialize(ctx context.Context) error {
	output, err := s.command(ctx, "initdb", "--pgdata", s.data(), "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	return nil
}

// Run starts the server again after Stop or Kill.
func (s *Server) Run(ctx context.Context) error {
	var err error
	if s.log, err = os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	// Without fsync nothing that is stored is lost when a process is killed, only when the host crashes.
	settings := []string{
		"-D", s.data(), "-k", s.folder, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB",
		"-c", "log_checkpoints=off",
	}
	s.process = s.command(context.WithoutCancel(ctx), "postgres", append(settings, s.network...)...)
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		return errors.Join(fmt.Errorf("start postgres: %w", err), s.log.Close())
	}
	return s.wait(ctx)
}

// wait waits until the server accepts connections.
func (s *Server) wait(ctx context.Context) error {
	if err := answers(ctx, s.URL("postgres")); err != nil {
		log, _ := os.ReadFile(s.log.Name()) // for the message
		return errors.Join(fmt.Errorf("postgres does not start: %w\n%s", err, log), s.stop(os.Kill))
	}
	return nil
}

// URL returns the URL of a database of the server.
func (s *Server) URL(database string) string { return address(s.folder, database) }

// address returns the URL of a database behind the socket in a folder.
func address(folder, database string) string {
	return socketURL(folder, database) + "&connect_timeout=60" // on a busy machine the 5 seconds of a store are not enough
}

func socketURL(folder, database string) string {
	return "postgres://postgres@/" + url.PathEscape(database) + "?host=" + url.QueryEscape(folder)
}

// Folder returns the folder with the socket.
func (s *Server) Folder() string { return s.folder }

// Processes returns the process IDs of the server: the one that was started, and its present children. Only Linux
// names the children.
func (s *Server) Processes() []int {
	pid := s.process.Process.Pid
	pids := []int{pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid)) // empty elsewhere
	for field := range bytes.FieldsSeq(children) {
		if child, err := strconv.Atoi(string(field)); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// Stop ends the server and its connections.
func (s *Server) Stop() error { return s.stop(os.Interrupt) }

// Kill ends the server as a crash would: it recovers at its next start.
func (s *Server) Kill() error { return s.stop(crash) }

func (s *Server) stop(signal os.Signal) error {
	if err := s.process.Process.Signal(signal); err != nil {
		return errors.Join(err, s.log.Close())
	}
	err := s.process.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = nil // it ended, as it should
	}
	return errors.Join(err, s.log.Close())
}

// Remove stops the server and removes its files.
func (s *Server) Remove() error { return errors.Join(s.Stop(), os.RemoveAll(s.folder)) }

// Execute runs statements in a database of the server.
func (s *Server) Execute(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", statement, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

// Dump returns all that a database has, as the text of statements. Binary values are hexadecimal.
func (s *Server) Dump(ctx context.Context, database string) (string, error) {
	var said strings.Builder
	cmd := s.command(ctx, "pg_dump", "--dbname", s.URL(database))
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("pg_dump: %w: %s", err, &said)
	}
	return string(text), nil
}

// Log returns what the server has logged.
func (s *Server) Log() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.folder, "log"))
	return string(text), err
}

// Create creates a database as a copy of a template, and returns its name. It lasts as long as the server.
func (s *Server) Create(tb testing.TB, template string) string {
	tb.Helper()
	name := "test" + strconv.FormatInt(s.databases.Add(1), 10)
	if err := s.Execute(tb.Context(), "postgres", "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		tb.Fatal(err)
	}
	return name
}

// Main runs the tests of a package with a server, which use prepares. Without PostgreSQL use is called with nil,
// and the tests must be skipped, unless the environment variable E2E_REQUIRED is set: then the result is a failure.
func Main(m *testing.M, use func(*Server) error) int {
	s, err := Start(context.Background())
	switch {
	case errors.Is(err, ErrNotInstalled) && os.Getenv("E2E_REQUIRED") == "":
		s = nil
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err = use(s); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	code := 1
	if err == nil {
		code = m.Run()
	}
	if s == nil {
		return code
	}
	if log, err := os.ReadFile(s.log.Name()); err == nil && code != 0 {
		fmt.Fprintf(os.Stderr, "log of postgres:\n%s\n", bytes.TrimSpace(log))
	}
	if err := s.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
