// Package store keeps what is known of the accounts' interface statistics in an SQLite
// file: the figures of days and hours, and for each account, API and day whether it was
// asked for and what came of it. Accounts are kept by app id, so that giving one another
// name keeps its history.
//
// Several processes may have the file open at the same time. A write waits for that of
// another one up to Options.BusyTimeout; reading waits for nobody.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"weixin_exporter/summary"
)

// ApplicationID marks a database file as one of this program: the letters "WXEx" in the
// field application_id of SQLite's file header, where file(1) and others read it.
const ApplicationID = 'W'<<24 | 'X'<<16 | 'E'<<8 | 'x'

const (
	defaultBusyTimeout = 5 * time.Second
	// readers bounds the connections that read at the same time; each has a cache of 2 MB.
	readers = 4
	// closeTime bounds how long Close waits for what is under way.
	closeTime = 3 * time.Second
)

// Options of a store.
type Options struct {
	// BusyTimeout is how long an access waits for another process that keeps the file
	// locked before it fails; 0 means 5 seconds.
	BusyTimeout time.Duration
}

// Store is an open database. Its methods may be called at the same time; writes queue up.
// Their errors name the file and say what to do.
type Store struct {
	path  string
	write *sql.DB // one connection
	read  *sql.DB // the same as write for a store in memory
	// turn is held by whoever writes, so that waiting for it ends with the context.
	turn       chan struct{}
	statements statements
	busy       time.Duration
}

// Open opens the database file at path and brings its schema up to date. A file that does
// not exist is created, readable by its owner only; its folder is not. The path "" keeps
// everything in memory until Close. Where Open fails it leaves what the file holds as it
// is. The context bounds Open alone, not the store.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s := &Store{path: path, turn: make(chan struct{}, 1), busy: o.BusyTimeout}
	if s.busy <= 0 {
		s.busy = defaultBusyTimeout
	}
	if err := s.open(ctx); err != nil {
		return nil, s.failed(ctx, "open", errors.Join(err, s.Close())) //nolint:contextcheck // Close has its own time
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	found, err := inspect(s.path)
	if err != nil {
		return err
	}
	s.write, s.read, err = pools(s.path, s.busy)
	if err != nil {
		return err
	}
	if err := s.patiently(ctx, func() error { return s.prepareFile(ctx, found) }); err != nil {
		return err
	}
	return s.statements.prepare(ctx, s.write)
}

// patiently repeats what can be done twice until no other process is in its way or the
// busy timeout is over. SQLite waits by itself, except where waiting could lead to a
// deadlock: that happens while several processes create the same file.
func (s *Store) patiently(ctx context.Context, work func() error) error {
	const pause = 10 * time.Millisecond
	patience := time.NewTimer(s.busy)
	defer patience.Stop()
	for {
		err := work()
		if !isBusy(err) {
			return err
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
			continue
		case <-patience.C:
		case <-ctx.Done():
		}
		again.Stop()
		return err
	}
}

// Close waits for what is being read or written and closes the file. The store is of no
// use afterwards.
func (s *Store) Close() error {
	var errs []error
	errs = append(errs, s.statements.close())
	if s.read != nil && s.read != s.write {
		errs = append(errs, closePool(s.read))
	}
	// The connection that closes last moves what stands in the WAL file to the main one.
	if s.write != nil {
		errs = append(errs, closePool(s.write))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s: close: %w", name(s.path), err)
	}
	return nil
}

// closePool closes a pool once none of its connections is in use. database/sql alone would not
// wait: a transaction whose context has ended is rolled back in the background.
func closePool(db *sql.DB) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	busy := db.Stats().InUse
	if busy > 0 {
		db.SetMaxOpenConns(busy) // so that whoever waits for one gets one of these
	}
	for range busy {
		held, err := db.Conn(ctx)
		if err != nil {
			break // it has been waited for long enough
		}
		defer func() { _ = held.Close() }() // nothing was done with it
	}
	return db.Close()
}

// inTurn runs work in a transaction that no other writer disturbs, and commits it unless
// work fails or the context ends.
func (s *Store) inTurn(ctx context.Context, work func(*sql.Tx) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return inTx(ctx, s.write, nil, work)
}

// inTx runs work in a transaction and commits it unless work fails or the context ends.
func inTx(ctx context.Context, db *sql.DB, o *sql.TxOptions, work func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		// What went wrong first is the news; the database rolls back in any case.
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// Prune deletes the figures and states of all days before a date and returns how many
// days that were, those of each account and API counted apart. The file does not shrink:
// later days take the room.
func (s *Store) Prune(ctx context.Context, before summary.Date) (int64, error) {
	var days int64
	err := s.inTurn(ctx, func(tx *sql.Tx) error {
		// The primary keys begin with the account: naming all accounts makes this a few
		// short ranges instead of a walk through the tables.
		for _, query := range []string{
			`DELETE FROM daily WHERE account IN (SELECT id FROM account) AND date < ?`,
			`DELETE FROM hourly WHERE account IN (SELECT id FROM account) AND date < ?`,
			`DELETE FROM day WHERE account IN (SELECT id FROM account) AND api IN (0, 1) AND date < ?`,
		} {
			result, err := tx.ExecContext(ctx, query, before)
			if err != nil {
				return err
			}
			if days, err = result.RowsAffected(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, s.failed(ctx, "delete the days before "+before.String(), err)
	}
	return days, nil
}
