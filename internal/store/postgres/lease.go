package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/secret"
)

// lease is held by the one exporter that asks Weixin for the accounts of a store.
type lease struct {
	now    func() time.Time
	time   time.Duration
	holder string

	mu sync.Mutex
	// epoch identifies the lease in the database; 0 if none was taken.
	epoch int64
	// renewed is when the latest renewal that succeeded began.
	renewed time.Time
	// taken is true once another exporter has taken over from this one.
	taken bool
	// other is the holder of the lease while this exporter has none.
	other string
}

// ServeOptions are the options of Serve.
type ServeOptions struct {
	Options

	// Now is the clock by which the exporter trusts its lease.
	Now func() time.Time
	// Lease is how long another exporter waits before it takes over from one that does not answer; 0 means 15 seconds.
	Lease time.Duration
}

// Serve opens the database for an exporter: only one at a time asks Weixin for the accounts of a store and writes to
// it. While another one holds the lease, this one is on standby. Recover renews the lease, or takes it once that of the
// other one has ended, and Close gives it back.
func Serve(ctx context.Context, url secret.URL, o ServeOptions) (*Store, error) {
	s, err := Open(ctx, url, o.Options)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	s.lease = &lease{
		now: o.Now, time: o.Lease,
		holder: fmt.Sprintf("process %d on host %s since %s", os.Getpid(), host, o.Now().UTC().Format(time.RFC3339)),
	}
	if s.lease.time <= 0 {
		s.lease.time = leaseTime
	}
	if _, err := s.tryLease(ctx); err != nil {
		err = s.failed(ctx, "take the lease", err)
		_ = s.Close() //nolint:contextcheck // Close has its own time; the first error matters
		return nil, err
	}
	return s, nil
}

// tryLease takes the lease if it is free, and reports whether it did.
func (s *Store) tryLease(ctx context.Context) (bool, error) {
	began := s.lease.now()
	var other string
	var epoch int64
	err := s.inTx(ctx, s.pool, accessTimeout, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(ctx context.Context, tx pgx.Tx) error {
		other = ""
		// Writers are excluded while the lease is taken, so that none of them can commit after it.
		if _, err := s.exclude(ctx, tx, lockMark); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `UPDATE weixin_exporter.lease SET epoch = epoch + 1, holder = $1, until = clock_timestamp() + $2::interval
			WHERE until < clock_timestamp() RETURNING epoch`, s.lease.holder, millis(s.lease.time)).Scan(&epoch)
		if errors.Is(err, pgx.ErrNoRows) {
			return tx.QueryRow(ctx, `SELECT holder FROM weixin_exporter.lease`).Scan(&other)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	s.lease.set(epoch, began, other)
	return other == "", nil
}

func (l *lease) set(epoch int64, renewed time.Time, other string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.other = other; other == "" {
		l.epoch, l.renewed = epoch, renewed
	}
}

// errTaken means that another exporter has taken over.
func (s *Store) errTaken() error {
	return fmt.Errorf("%w: this exporter did not renew its lease for %v", store.ErrTaken, s.lease.time)
}

// checkLease fails if the lease of the transaction is another one. No one can take over before the transaction ends.
func (s *Store) checkLease(current int64) error {
	if s.lease == nil {
		return nil
	}
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	switch s.lease.epoch {
	case current:
		return nil
	case 0:
		return fmt.Errorf("another exporter writes to it (%s)", s.lease.other)
	default:
		s.lease.taken = true
		return s.errTaken()
	}
}

// keepLease renews the lease or, on standby, takes it if it is free. It reports whether it was taken.
func (s *Store) keepLease(ctx context.Context) (bool, error) {
	s.lease.mu.Lock()
	standby := s.lease.epoch == 0
	s.lease.mu.Unlock()
	if standby {
		return s.tryLease(ctx)
	}
	return false, s.renew(ctx)
}

// renew renews the lease. One that has ended is renewed as well, if no one has taken over.
func (s *Store) renew(ctx context.Context) error {
	l := s.lease
	began := l.now()
	l.mu.Lock()
	epoch, taken := l.epoch, l.taken
	l.mu.Unlock()
	if taken {
		return s.errTaken()
	}
	result, err := s.pool.Exec(ctx, `UPDATE weixin_exporter.lease SET until = clock_timestamp() + $2::interval WHERE epoch = $1`, epoch, millis(l.time))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if result.RowsAffected() == 0 {
		l.taken = true
		return s.errTaken()
	}
	l.renewed = began
	return nil
}

// giveBack ends the lease, so that another exporter can take over at once.
func (s *Store) giveBack() error {
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	if s.lease.epoch == 0 || s.lease.taken {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewalTime)
	defer cancel()
	_, err := s.pool.Exec(ctx, `UPDATE weixin_exporter.lease SET until = to_timestamp(0) WHERE epoch = $1`, s.lease.epoch)
	s.lease.epoch = 0
	if err != nil {
		return s.failed(ctx, "give it back", err)
	}
	return nil
}

// Held implements store.Store.
func (s *Store) Held() bool {
	if s.lease == nil {
		return true
	}
	s.lease.mu.Lock()
	defer s.lease.mu.Unlock()
	return s.lease.epoch != 0 && !s.lease.taken && s.lease.now().Sub(s.lease.renewed) < s.lease.time-s.lease.time/marginPart
}
