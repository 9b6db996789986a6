package sqlite

import (
	"context"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// ReadFigures implements store.Store. Writers are not blocked, but SQLite cannot reset its WAL file until read
// returns. Damaged parts of the file are skipped.
func (s *Store) ReadFigures(ctx context.Context, read func(*store.FigureReader) error) error {
	source := figureSource{ctx: ctx, store: s}
	r := store.NewFigureReader(ctx, &source)
	var readErr error
	err := s.reading(ctx, func(tx *transaction) error {
		// The first query fixes the instant.
		if _, err := tx.ExecContext(ctx, `SELECT 1 FROM account LIMIT 1`); err != nil {
			return err
		}
		return tx.figures(func(c *figureCursors) error {
			source.cursors = c
			if readErr = read(r); readErr == nil {
				readErr = r.Incomplete()
			}
			return readErr
		})
	})
	if readErr != nil {
		return readErr
	}
	if err != nil {
		return source.Failed(err)
	}
	return nil
}

// figureSource implements store.FigureSource within one transaction.
type figureSource struct {
	ctx     context.Context //nolint:containedctx // of the call of ReadFigures
	store   *Store
	cursors *figureCursors
}

func (f *figureSource) AppIDs(ctx context.Context) ([]string, error) { return f.cursors.appIDs(ctx) }

func (f *figureSource) Days(ctx context.Context, q store.FigureQuery, each func(datacube.Date, []datacube.Figures) error) error {
	number, ok, err := f.cursors.account(ctx, q.Accounts[0])
	if err == nil && ok {
		err = f.cursors.knownDays(ctx, q.API, number, q.From, q.To, each)
	}
	if isDamage(err) {
		return store.WithKind(err, kindOf(err))
	}
	return err
}

func (f *figureSource) Failed(err error) error { return f.store.failed(f.ctx, "read the figures", err) }
