package store

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
// A database in memory lives and dies with its connection, so both are the same one.
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

// dsnOf returns the database file in the URI form of SQLite, in which every path can be
// written. Transactions that write take the lock at their begin: one that asked for it
// later could fail without waiting.
func dsnOf(path string, busy time.Duration) (string, error) {
	options := url.Values{
		"_txlock":       {"immediate"},
		"_busy_timeout": {strconv.FormatInt(max(1, busy.Milliseconds()), 10)},
		"_error_rc":     {"1"}, // no stale message of another call in an error
		"_dqs":          {"0"}, // a misspelt column is no string
	}
	if path == "" {
		return "file::memory:?" + options.Encode(), nil
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find its folder: %w", err)
	}
	absolute = filepath.ToSlash(absolute)
	if !strings.HasPrefix(absolute, "/") {
		absolute = "/" + absolute // a drive letter
	}
	uri := url.URL{Scheme: "file", Path: absolute, RawQuery: options.Encode()}
	return uri.String(), nil
}

// What is set on each connection. synchronous NORMAL keeps the file whole whatever
// happens; with a power cut the last answers may be asked for again.
const (
	writing = "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON"
	reading = "PRAGMA query_only = ON"
)

// connector sets up each new connection by SQL rather than by parameters of the DSN,
// because waiting for a locked file then ends with the context.
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
