// Package postgres keeps a store in a database of PostgreSQL, which several exporters and other programs can use
// at the same time.
//
// Everything works through a proxy that gives each transaction another connection, such as pgbouncer in
// transaction mode: there are no prepared statements, no settings and no locks that last longer than a
// transaction. All objects are in the schema "weixin_exporter" of the database.
//
// Every transaction that saves something first updates the row of the table mark. So writers follow each other, and
// who has read a mark has seen everything up to it.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/secret"
)

const (
	defaultBusyTimeout = 5 * time.Second
	// maxConns is the largest number of connections, unless the URL has pool_max_conns.
	maxConns = 8
	// connectTimeout is how long making a connection may take, unless the URL has connect_timeout.
	connectTimeout = 5 * time.Second
	// accessTimeout is how long a transaction or, where there can be any number, a query may take. Without it, a
	// network that loses packets could keep an access waiting for many minutes.
	accessTimeout = 30 * time.Second
	// longTimeout is the same for what takes longer the more there is in the store.
	longTimeout = 10 * time.Minute
	// stalledTimeout is how long the server waits for the next statement of a transaction. A process that was suspended
	// within one would otherwise keep all others from writing.
	stalledTimeout = 10 * time.Second
	// readerTimeout is the same for a transaction whose figures are used while it lasts, such as by an export.
	readerTimeout = 5 * time.Minute
)

// Options of a store.
type Options struct {
	// BusyTimeout is how long a write waits for those of other processes before it fails; 0 means 5 seconds.
	BusyTimeout time.Duration
	// Duty is the work that is divided among the processes that share the store; "" for a process that does none. With
	// one, Save and SaveHolds store only what concerns the slots that the process owns.
	Duty store.Duty
	// Now is the clock by which a process with a duty trusts that it still owns its slots.
	Now func() time.Time
	// Name tells people which process this is; "" names the host and the process.
	Name string
	// Lease is how long others wait before they claim the slots of a process that does not answer; 0 means 15 seconds.
	Lease time.Duration
}

// shared is the part of a Store by which processes share it.
type shared = store.Sharing

// Store is an open database; it implements store.Store.
type Store struct {
	shared

	pool *pgxpool.Pool
	name string
	busy time.Duration
	// member is shared if the process has a duty; otherwise it is nil.
	member *member
	// own is the number of marks that this Store has made.
	own atomic.Int64
	// latest is the latest mark that is known to be committed, and saved the latest Save of this Store.
	latest atomic.Int64
	saved  atomic.Pointer[savedMark]
	// reverted is true from when the database was found in an earlier state until Recover has said so.
	reverted atomic.Bool
	// incarnation is how often that has happened.
	incarnation atomic.Int64
	// fault is the failure of the latest access if the database could not be reached, or nil.
	fault atomic.Pointer[string]
}

// Open opens the database and migrates its schema. The context applies to Open alone, not to the store.
func Open(ctx context.Context, url secret.URL, o Options) (*Store, error) {
	s, err := connect(ctx, url, o)
	if err != nil {
		return nil, err
	}
	err = s.migrate(ctx)
	if err == nil && s.member != nil {
		err = s.removeExpired(ctx)
	}
	if err != nil {
		err = s.failed(ctx, "open", err)
		_ = s.Close() //nolint:contextcheck // Close has its own time; the first error matters
		return nil, err
	}
	return s, nil
}

// OpenReadOnly opens a database that was created by Open for reading. Nothing is migrated or changed.
func OpenReadOnly(ctx context.Context, url secret.URL, o Options) (*Store, error) {
	s, err := connect(ctx, url, o)
	if err != nil {
		return nil, err
	}
	if err := s.examine(ctx, false); err != nil {
		err = s.failed(ctx, "open for reading", err)
		_ = s.Close() //nolint:contextcheck // Close has its own time; the first error matters
		return nil, err
	}
	return s, nil
}

// Examine fails if Open would fail, as far as that can be found out without changing anything.
func Examine(ctx context.Context, url secret.URL) error {
	s, err := connect(ctx, url, Options{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() //nolint:contextcheck // as above; it only read
	if _, err := s.prepared(ctx); err != nil {
		return s.failed(ctx, "open", err)
	}
	return nil
}

// connect returns a Store with connections that are made when they are needed.
func connect(ctx context.Context, url secret.URL, o Options) (*Store, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	// The pool outlives the context, which is only used to make the connections that must always exist: none.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, errors.New("store: the connections to the database cannot be set up") // the cause may contain the URL
	}
	s := &Store{shared: store.Alone{}, pool: pool, name: name(config.ConnConfig), busy: o.BusyTimeout}
	if s.busy <= 0 {
		s.busy = defaultBusyTimeout
	}
	if o.Duty == "" {
		return s, nil
	}
	config = config.Copy()
	config.MinConns, config.MinIdleConns, config.MaxConns = 0, 0, 1
	if pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config); err != nil {
		return nil, errors.New("store: the connection for the slots cannot be set up") // as above
	}
	s.member = newMember(s, pool, o)
	s.shared = s.member
	return s, nil
}

// Check fails if the URL is not one of a database.
func Check(url secret.URL) error {
	_, err := parse(url)
	return err
}

// parse reads the URL. Its error contains nothing of it.
func parse(url secret.URL) (*pgxpool.Config, error) {
	text := url.Reveal()
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return nil, errors.New("the URL of the store must begin with postgres:// or postgresql://")
	}
	config, err := pgxpool.ParseConfig(text)
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("a file that the URL of the store names (sslrootcert, sslcert or sslkey) cannot be read: %w", fault.Err)
	}
	if err != nil {
		return nil, errors.New("the URL of the store is not valid; a special character in the password must be escaped, such as %40 for @")
	}
	if parsed, err := url.Parse(); err != nil || !parsed.Query().Has("pool_max_conns") {
		config.MaxConns = maxConns
	}
	// Nothing is prepared on the server. What a statement returns is described once per connection.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "weixin_exporter"
	}
	return config, nil
}

// name returns the name of the database in errors.
func name(c *pgx.ConnConfig) string {
	host := c.Host
	if !strings.HasPrefix(host, "/") { // a Unix socket
		host = net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
	}
	return fmt.Sprintf("store %q on %s", c.Database, host)
}

// Close implements store.Store.
func (s *Store) Close() error {
	var err error
	if s.member != nil {
		err = s.member.close()
	}
	s.pool.Close()
	return err
}

// Fault implements store.Store: it is the failure of the latest access, if the database could not be reached.
func (s *Store) Fault() error {
	if fault := s.fault.Load(); fault != nil {
		return errors.New(*fault)
	}
	return nil
}

// Damage implements store.Store. PostgreSQL fails a whole transaction that meets damage, which ReadPending returns.
func (*Store) Damage() error { return nil }

// CheckDisk implements store.Store. The disk is another machine's.
func (*Store) CheckDisk() error { return nil }
