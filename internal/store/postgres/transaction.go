package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// attempts is how often a transaction is run that the server has rolled back because of others.
const attempts = 3

// reading runs work in a read-only transaction, as of one instant.
func (s *Store) reading(ctx context.Context, limit time.Duration, work func(context.Context, pgx.Tx) error) error {
	return s.inTx(ctx, s.pool, limit, begin(readOneInstant, stalledTimeout), work)
}

// writing runs work in a transaction that excludes other writers, and commits it unless work fails or the context
// ends. work is called with the mark of the transaction, and must be safe to repeat.
func (s *Store) writing(ctx context.Context, limit time.Duration, work func(context.Context, pgx.Tx, int64) error) error {
	var mark int64
	err := s.inTx(ctx, s.pool, limit, begin(write, stalledTimeout), func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if mark, err = s.exclude(ctx, tx, newMark); err != nil {
			return err
		}
		return work(ctx, tx, mark)
	})
	if err == nil {
		s.own.Add(1)
		s.noteMark(mark)
	}
	return err
}

// updating is writing for what the feed of changes does not contain: it makes no mark.
func (s *Store) updating(ctx context.Context, limit time.Duration, work func(context.Context, pgx.Tx) error) error {
	return s.inTx(ctx, s.pool, limit, begin(write, stalledTimeout), func(ctx context.Context, tx pgx.Tx) error {
		if _, err := s.exclude(ctx, tx, lockMark); err != nil {
			return err
		}
		return work(ctx, tx)
	})
}

// Queries that exclude other writers until the end of the transaction, and return a mark: that of the transaction, or 0, and the
// latest one that is committed.
const (
	newMark  = `UPDATE weixin_exporter.mark SET latest = latest + 1 RETURNING latest, latest - 1`
	lockMark = `SELECT 0, latest FROM weixin_exporter.mark FOR UPDATE`
)

// exclude sets how long the transaction waits for others, runs a query that excludes other writers, and returns the mark of
// the transaction. It notices a database that has gone back to an earlier state before anything else is written into it.
func (s *Store) exclude(ctx context.Context, tx pgx.Tx, query string) (int64, error) {
	before := s.remembered()
	var mark, latest, changed int64
	var batch pgx.Batch
	batch.Queue(`SELECT set_config('lock_timeout', $1, true)`, millis(s.busy))
	batch.Queue(query).QueryRow(func(row pgx.Row) error { return row.Scan(&mark, &latest) })
	batch.Queue(savedQuery, before.saved.appID).QueryRow(func(row pgx.Row) error { return row.Scan(&changed) })
	err := tx.SendBatch(ctx, &batch).Close()
	if err == nil {
		s.compare(before, latest, changed)
	}
	return mark, err
}

// millis returns a duration as a setting.
func millis(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) + "ms" }

// Modes of transactions.
const (
	write          = "ISOLATION LEVEL READ COMMITTED"
	readOneInstant = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"
)

// begin returns how a transaction begins. stalled is how long the server waits for its next statement. It is set by the
// same message, because a pooler lends a connection to the server from the first one on: a few processes that are
// suspended, or partitioned from it, would otherwise keep all others from the database for as long as that lasts.
func begin(mode string, stalled time.Duration) pgx.TxOptions {
	return pgx.TxOptions{BeginQuery: "BEGIN " + mode + "; SET LOCAL idle_in_transaction_session_timeout = '" + millis(stalled) + "'"}
}

// inTx runs work in a transaction, again if the server has rolled it back because of others.
func (s *Store) inTx(ctx context.Context, pool *pgxpool.Pool, limit time.Duration, o pgx.TxOptions, work func(context.Context, pgx.Tx) error) error {
	return s.boundedBy(ctx, limit, func(ctx context.Context) error {
		for attempt := 1; ; attempt++ {
			err := pgx.BeginTxFunc(ctx, pool, o, func(tx pgx.Tx) error { return work(ctx, tx) })
			if err == nil || attempt == attempts || !isRolledBack(err) {
				return err
			}
		}
	})
}

// bounded runs an access to the database with the time that it may take.
func (s *Store) bounded(ctx context.Context, access func(context.Context) error) error {
	return s.boundedBy(ctx, accessTimeout, access)
}

func (s *Store) boundedBy(ctx context.Context, limit time.Duration, access func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := access(limited)
	switch {
	case err == nil:
		s.fault.Store(nil)
		return nil
	case limited.Err() != nil && ctx.Err() == nil:
		return unreachableError{fmt.Errorf("no answer within %v", limit)}
	default:
		return err
	}
}

// eachRow calls take after each row of a result was scanned into targets.
func eachRow(rows pgx.Rows, targets []any, take func() error) error {
	_, err := pgx.ForEachRow(rows, targets, take)
	return err
}
