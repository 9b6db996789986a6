package postgres

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weixin_exporter/internal/store"
)

// Tokens are rows of their own: a change of one waits for no other writer, and needs neither a mark nor the lease.

// LoadToken implements store.Tokens.
func (s *Store) LoadToken(ctx context.Context, key store.TokenKey) (store.SealedToken, error) {
	var token store.SealedToken
	err := s.bounded(ctx, func(ctx context.Context) error {
		var left *float64 // nil: it never expires
		err := s.pool.QueryRow(ctx, `SELECT sealed, revision, extract(epoch FROM expires - clock_timestamp())::double precision
			FROM weixin_exporter.token WHERE app_id = $1 AND kind = $2`, key.AppID, key.Kind).Scan(&token.Sealed, &token.Revision, &left)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err == nil && left != nil && *left <= 0:
			token.Sealed = nil
		case err == nil && left != nil:
			token.Left = time.Duration(*left * float64(time.Second))
		}
		return err
	})
	if err != nil {
		return store.SealedToken{}, s.failed(ctx, "load the "+string(key.Kind)+" token of "+key.AppID, err)
	}
	return token, nil
}

// ReplaceToken implements store.Tokens.
func (s *Store) ReplaceToken(ctx context.Context, key store.TokenKey, revision int64, sealed []byte, life time.Duration) (bool, error) {
	var left *string // nil: it never expires
	if life > 0 {
		left = new(millis(life))
	}
	statement := `UPDATE weixin_exporter.token SET sealed = $3, revision = revision + 1, expires = clock_timestamp() + $4::interval
		WHERE app_id = $1 AND kind = $2 AND revision = $5`
	if revision == 0 {
		// There may be a row nevertheless, for its lock.
		statement = `INSERT INTO weixin_exporter.token AS t (app_id, kind, sealed, revision, expires)
			VALUES ($1, $2, $3, $5 + 1, clock_timestamp() + $4::interval) ON CONFLICT (app_id, kind)
			DO UPDATE SET sealed = excluded.sealed, revision = excluded.revision, expires = excluded.expires WHERE t.revision = $5`
	}
	replaced, err := s.changeToken(ctx, statement, key.AppID, key.Kind, sealed, left, revision)
	if err != nil {
		return false, s.failed(ctx, "store the "+string(key.Kind)+" token of "+key.AppID, err)
	}
	return replaced, nil
}

// removeExpired removes access tokens that expired a day ago: those of accounts that no process works for any more. Refresh tokens
// stay, since no one can tell that an account will not come back, and there is no other one without a new authorization.
func (s *Store) removeExpired(ctx context.Context) error {
	_, err := s.changeToken(ctx, `DELETE FROM weixin_exporter.token
		WHERE kind = 'access' AND expires < clock_timestamp() - interval '1 day' AND locked_until < clock_timestamp()`)
	return err
}

// LockToken implements store.Tokens.
func (s *Store) LockToken(ctx context.Context, key store.TokenKey, owner string, life time.Duration) (store.Lasts, error) {
	lasts := s.member.lasts()
	locked, err := s.changeToken(ctx, `INSERT INTO weixin_exporter.token AS t (app_id, kind, locked_by, locked_until)
		VALUES ($1, $2, $3, clock_timestamp() + $4::interval)
		ON CONFLICT (app_id, kind) DO UPDATE SET locked_by = excluded.locked_by, locked_until = excluded.locked_until
			WHERE t.locked_until < clock_timestamp() OR t.locked_by = excluded.locked_by
				OR t.locked_by LIKE '%/%' AND NOT EXISTS (SELECT 1 FROM weixin_exporter.member
					WHERE id = split_part(t.locked_by, '/', 1) AND until >= clock_timestamp())`,
		key.AppID, key.Kind, s.member.owner(owner), millis(life))
	if err != nil {
		return nil, s.failed(ctx, "lock the "+string(key.Kind)+" token of "+key.AppID, err)
	}
	if !locked {
		return nil, nil //nolint:nilnil // as documented: it is not an error that another one has it
	}
	return lasts, nil
}

// owner returns the owner of a lock as it is stored: with the member before it, if there is one, whose end is also that of
// the lock.
func (m *member) owner(owner string) string {
	if m == nil {
		return owner
	}
	return m.id + "/" + owner
}

// lasts returns for how long the slots of this process, which may be nil, last without an interruption from now on.
func (m *member) lasts() store.Lasts {
	if m == nil {
		return func() time.Duration { return math.MaxInt64 }
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	term := m.term
	return func() time.Duration {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.term != term {
			return 0
		}
		return max(0, m.trustedFor())
	}
}

// UnlockToken implements store.Tokens.
func (s *Store) UnlockToken(ctx context.Context, key store.TokenKey, owner string) error {
	_, err := s.changeToken(ctx, `UPDATE weixin_exporter.token SET locked_by = '', locked_until = to_timestamp(0)
		WHERE app_id = $1 AND kind = $2 AND locked_by = $3`, key.AppID, key.Kind, s.member.owner(owner))
	if err != nil {
		return s.failed(ctx, "unlock the "+string(key.Kind)+" token of "+key.AppID, err)
	}
	return nil
}

// changeToken runs a statement and reports whether it changed a row.
func (s *Store) changeToken(ctx context.Context, statement string, arguments ...any) (bool, error) {
	changed := false
	err := s.inTx(ctx, s.pool, accessTimeout, begin(write, stalledTimeout), func(ctx context.Context, tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue(`SELECT set_config('lock_timeout', $1, true)`, millis(s.busy))
		batch.Queue(statement, arguments...).Exec(func(result pgconn.CommandTag) error {
			changed = result.RowsAffected() > 0
			return nil
		})
		return tx.SendBatch(ctx, &batch).Close()
	})
	return changed, err
}
