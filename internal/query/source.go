package query

import (
	"context"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// Source has the figures; store.Store is one. Its methods may be called concurrently.
type Source interface {
	// Changed returns the app IDs of the accounts about which something was saved after a mark, and the
	// mark up to which that is all.
	Changed(ctx context.Context, after store.Mark) ([]string, store.Mark, error)
	// ReadFigures calls read with a view of the figures at this moment.
	ReadFigures(ctx context.Context, read func(*store.FigureReader) error) error
	// KnownDays calls each with the known days of one account after the other up to a date, the latest one first. If each
	// returns false, the next account follows. knownAt is when the day became known.
	KnownDays(ctx context.Context, api datacube.API, appIDs []string, upTo datacube.Date,
		each func(appID string, date datacube.Date, knownAt time.Time) bool) error
}
