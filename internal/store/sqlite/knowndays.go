package sqlite

import (
	"context"
	"fmt"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// KnownDays implements store.Store.
func (s *Store) KnownDays(ctx context.Context, api datacube.API, appIDs []string, upTo datacube.Date,
	each func(appID string, date datacube.Date, knownAt time.Time) bool,
) error {
	err := s.reading(ctx, func(tx *transaction) error {
		return tx.figures(func(c *figureCursors) error {
			for _, appID := range appIDs {
				if err := ctx.Err(); err != nil {
					return err
				}
				err := c.daysBefore(ctx, api, appID, upTo, func(date datacube.Date, knownAt time.Time) bool { return each(appID, date, knownAt) })
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return s.failed(ctx, fmt.Sprintf("read when the days %s up to %v became known", store.OfAccounts(appIDs), upTo), err)
	}
	return nil
}

// daysBefore calls each with the known days of an account up to a date, the latest one first, until it returns false.
func (c *figureCursors) daysBefore(ctx context.Context, api datacube.API, appID string, upTo datacube.Date, each func(datacube.Date, time.Time) bool) error {
	account, ok, err := c.account(ctx, appID)
	if err != nil || !ok {
		return err
	}
	if c.latest[api] == nil {
		if c.latest[api], err = newCursor(ctx, c.conn, latestQuery(api)); err != nil {
			return err
		}
	}
	latest := c.latest[api]
	if err := latest.open(ctx, account, int64(upTo)); err != nil {
		return err
	}
	defer latest.close()
	for {
		if err := latest.next(); err != nil || latest.done {
			return err
		}
		if !each(datacube.Date(latest.row[0]), store.FromUnix(latest.row[1])) {
			return nil
		}
	}
}
