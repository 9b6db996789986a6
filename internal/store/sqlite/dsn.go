package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// pools returns the connections for writing and those for reading. Nothing is opened yet.
// A database in memory exists only within its connection, so both are the same one.
// Further parameters of the URI begin with an ampersand.
func pools(path string, busy time.Duration, further string) (write, read *sql.DB, err error) { //nolint:nonamedreturns // two of a kind need names
	dsn, err := dsnOf(path, busy)
	if err != nil {
		return nil, nil, err
	}
	base, err := sqlite.NewConnector(dsn + further)
	if err != nil {
		return nil, nil, err
	}
	write = pool(connector{base, writing}, 1)
	if path == "" {
		return write, write, nil
	}
	return write, pool(connector{base, reading}, readers), nil
}

func pool(c driver.Connector, connections int) *sql.DB {
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db
}

// dsnOf returns the database file as an SQLite URI, which can express every path. Transactions that
// write take the lock when they begin: taking it later could fail without waiting.
func dsnOf(path string, busy time.Duration) (string, error) {
	options := url.Values{
		"_txlock":       {"immediate"},
		"_busy_timeout": {strconv.FormatInt(max(1, busy.Milliseconds()), 10)},
		"_error_rc":     {"1"}, // errors without a stale message of another call
		"_dqs":          {"0"}, // a misspelt column is an error, not a string
	}
	if path == "" {
		return "file::memory:?" + options.Encode(), nil
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the folder: %w", err)
	}
	absolute = filepath.ToSlash(absolute)
	if !strings.HasPrefix(absolute, "/") {
		absolute = "/" + absolute // a drive letter
	}
	uri := url.URL{Scheme: "file", Path: absolute, RawQuery: options.Encode()}
	return uri.String(), nil
}

// Settings of each connection. With synchronous = FULL all that a method has stored survives a loss of power: each
// transaction waits for the disk. With NORMAL up to 4 MB of them would be lost: the calls would be made again, and so would
// attempts that must wait.
const (
	writing = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
	reading = "PRAGMA query_only = ON"
)

// connector sets up each new connection by SQL rather than by parameters of the DSN, so that waiting
// for a locked file ends with the context.
type connector struct {
	driver.Connector
	setup string
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	execer, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver cannot execute"), conn.Close())
	}
	if _, err := execer.ExecContext(ctx, c.setup, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
