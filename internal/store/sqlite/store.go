// Package sqlite keeps a store in a file of SQLite. Nothing else needs to be installed or run.
//
// Stored figures are read in one place: ReadFigures gives others the known days of any accounts and dates, and
// Load, ReadPending and Save read theirs by the same cursors.
//
// Several processes may have the file open at the same time. A write waits for the writes of other
// processes up to Options.BusyTimeout; reads never wait.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// applicationID marks a database file as one of this program: the letters "WXEx" in the
// application_id field of SQLite's file header, where file(1) and other programs read it.
const applicationID = 'W'<<24 | 'X'<<16 | 'E'<<8 | 'x'

const (
	defaultBusyTimeout = 5 * time.Second
	// readers is the maximum number of connections that read; each has a cache of 2 MB.
	readers = 4
	// closeTime is how long Close waits for reads and writes in progress.
	closeTime = 3 * time.Second
)

// Options of a store.
type Options struct {
	// Lock is the lock of the store if this process is the exporter. With it, the file is watched and
	// its disk probed.
	Lock *Lock
	// Probe writes something to the disk of the store and returns once it is written. It is called
	// before the store is used, unless it has returned in the last 5 milliseconds. nil writes to the lock file.
	Probe func()
	// BusyTimeout is how long an access waits for another process that has locked the file before it
	// fails; 0 means 5 seconds.
	BusyTimeout time.Duration
}

// Store is an open database; it implements store.Store. Writes are serialized.
type Store struct {
	store.Alone // the lock keeps other exporters out

	path    string
	options Options
	busy    time.Duration
	// writer is a mutex for writes; waiting for it ends with the context.
	writer chan struct{}
	disk   *disk // nil if it is not probed

	// mu is held for reading while the handle is used, and for writing while it is replaced.
	mu sync.RWMutex
	*handle
}

// handle holds what is open of one file.
type handle struct {
	write      *sql.DB // one connection
	read       *sql.DB // the same as write for a store in memory
	statements statements
	files      *files // as they were opened; nil if they are not watched
	damages    damages
	// incarnation is how many files were open before this one.
	incarnation int64
}

// Open opens the database file at path and migrates its schema. A file that does not exist is created,
// readable by its owner only; its folder is not. The path "" keeps everything in memory until
// Close. If Open fails, the content of the file is unchanged. The context applies to Open alone, not
// to the store.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s := newStore(path, o)
	if err := s.open(ctx); err != nil {
		return nil, s.failed(ctx, "open", errors.Join(err, s.Close())) //nolint:contextcheck // Close has its own time
	}
	return s, nil
}

func newStore(path string, o Options) *Store {
	s := &Store{path: path, options: o, busy: o.BusyTimeout, writer: make(chan struct{}, 1), handle: &handle{}}
	if s.busy <= 0 {
		s.busy = defaultBusyTimeout
	}
	switch {
	case o.Probe != nil:
		s.disk = &disk{write: o.Probe}
	case o.Lock.held():
		s.disk = &disk{write: func() { _ = o.Lock.touch() }} // a disk that returns an error does respond; SQLite reports what is wrong
	}
	return s
}

func (s *Store) open(ctx context.Context) error {
	found, err := inspect(s.path)
	if err != nil {
		return err
	}
	if err := s.options.Lock.dropStaleWAL(s.path); err != nil {
		return err
	}
	s.write, s.read, err = pools(s.path, s.busy, "")
	if err != nil {
		return err
	}
	if err := s.retryBusy(ctx, func() error { return s.prepareFile(ctx, found) }); err != nil {
		return err
	}
	if err := s.statements.prepare(ctx, s.write); err != nil || s.path == "" {
		return err
	}
	s.files, err = openFiles(ctx, s.path, s.write, s.options.Lock)
	return err
}

// retryBusy repeats work, which must be idempotent, while other processes lock the file, up to the busy
// timeout. SQLite itself waits except where that could lead to a deadlock, which happens while
// several processes create the same file.
func (s *Store) retryBusy(ctx context.Context, work func() error) error {
	const pause = 10 * time.Millisecond
	timeout := time.NewTimer(s.busy)
	defer timeout.Stop()
	for {
		err := work()
		if !isBusy(err) {
			return err
		}
		again := time.NewTimer(pause)
		select {
		case <-again.C:
			continue
		case <-timeout.C:
		case <-ctx.Done():
		}
		again.Stop()
		return err
	}
}

// Close implements store.Store.
func (s *Store) Close() error {
	err := s.disk.wait()
	if err != nil {
		err = fmt.Errorf("left open, which loses nothing: %w", err)
	} else if err = s.checkBeforeClose(); err == nil {
		err = s.close()
	}
	if err != nil {
		return fmt.Errorf("%s: close: %w", name(s.path), err)
	}
	return nil
}

func (h *handle) close() error {
	errs := []error{h.statements.close()}
	if h.read != nil && h.read != h.write {
		errs = append(errs, closePool(h.read))
	}
	// The last connection to be closed moves the content of the WAL file to the main file.
	if h.write != nil {
		errs = append(errs, closePool(h.write))
	}
	if h.files != nil {
		errs = append(errs, h.files.close())
	}
	return errors.Join(errs...)
}

// closePool closes a pool once none of its connections is in use. database/sql alone would not wait: it
// rolls back a transaction whose context has ended in the background.
func closePool(db *sql.DB) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	busy := db.Stats().InUse
	if busy > 0 {
		db.SetMaxOpenConns(busy) // those who wait for a connection get one of these
	}
	for range busy {
		held, err := db.Conn(ctx)
		if err != nil {
			break // closeTime is over
		}
		defer func() { _ = held.Close() }() // it was not used
	}
	return db.Close()
}

// using calls work with the handle, unless the file has changed or its disk does not respond.
func (s *Store) using(work func(*handle) error) error {
	if err := s.disk.wait(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.checkFiles(); err != nil {
		return err
	}
	return work(s.handle)
}

// reading runs work in a read-only transaction, as of one instant.
func (s *Store) reading(ctx context.Context, work func(*transaction) error) error {
	return s.using(func(h *handle) error { return inTx(ctx, h.read, &sql.TxOptions{ReadOnly: true}, work) })
}

// writing runs work in a transaction that excludes other writers, and commits it unless work fails or
// the context ends.
func (s *Store) writing(ctx context.Context, work func(*transaction, *statements) error) error {
	if err := s.lockWrites(ctx); err != nil {
		return err
	}
	defer s.unlockWrites()
	return s.using(func(h *handle) error {
		return inTx(ctx, h.write, nil, func(tx *transaction) error { return work(tx, &h.statements) })
	})
}

// update is writing without the prepared statements.
func (s *Store) update(ctx context.Context, work func(*transaction) error) error {
	return s.writing(ctx, func(tx *transaction, _ *statements) error { return work(tx) })
}

func (s *Store) lockWrites(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) unlockWrites() { <-s.writer }

// Prune implements store.Store. The file does not shrink: later days reuse the space.
func (s *Store) Prune(ctx context.Context, before datacube.Date) (int64, error) {
	var days int64
	err := s.update(ctx, func(tx *transaction) error {
		// The primary keys begin with the account: with all accounts listed, SQLite searches short
		// ranges instead of scanning the tables.
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
