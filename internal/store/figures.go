package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"weixin_exporter/weixin/datacube"
)

// FigureQuery selects known days.
type FigureQuery struct {
	API datacube.API
	// Accounts are app IDs; nil means all accounts in the store. An account that the store does not
	// know has no days.
	Accounts []string
	// From and To are the first and the last day.
	From, To datacube.Date
}

// DayFigures are the figures of one known day of one account.
type DayFigures struct {
	AppID string
	Date  datacube.Date
	// Figures has one element for datacube.Daily and one for each hour for datacube.Hourly. Elements
	// are zero where there was no traffic. The slice is overwritten when the next day is read.
	Figures []datacube.Figures
}

// FigureReader reads figures as of one instant. It must not be used concurrently, nor after the
// function that it was passed to has returned.
type FigureReader struct {
	ctx     context.Context // of the call of ReadFigures
	store   *Store
	cursors *figureCursors
	appIDs  []string // of all accounts; nil until they are needed
	reading bool
	damage  error           // the first that was found
	damaged map[string]bool // app IDs of the accounts with damage
}

// ReadFigures calls read with a view of the figures at this moment; what is saved later is not in it.
// Writers are not blocked, but SQLite cannot reset its WAL file until read returns, so what goes to a
// slow client should be copied first. An error of read is returned unchanged. Days that cannot
// be read from a damaged file are skipped and reported in an error at the end.
func (s *Store) ReadFigures(ctx context.Context, read func(*FigureReader) error) error {
	r := &FigureReader{ctx: ctx, store: s, damaged: make(map[string]bool)}
	var readErr error
	err := s.reading(ctx, func(tx *transaction) error {
		// The first query fixes the instant.
		if _, err := tx.ExecContext(ctx, `SELECT 1 FROM account LIMIT 1`); err != nil {
			return err
		}
		return tx.figures(func(c *figureCursors) error {
			r.cursors = c
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
		return r.failed(err)
	}
	return nil
}

func (r *FigureReader) failed(err error) error {
	return r.store.failed(r.ctx, "read the figures", err)
}

// Accounts returns the app IDs of all accounts for which the store has had a response, in ascending
// order. The caller must not change the slice.
func (r *FigureReader) Accounts() ([]string, error) {
	if r.appIDs == nil {
		appIDs, err := r.cursors.appIDs(r.ctx)
		if err != nil {
			return nil, r.failed(err)
		}
		r.appIDs = appIDs
	}
	return r.appIDs, nil
}

// Figures yields the known days that match the query, one account after the other in the order of
// the query, or in that of Accounts, and the days of an account in ascending order. Memory does not grow
// with their number, and the caller may stop at any day. An error is yielded as the last element. Only one
// iteration may be under way at a time.
func (r *FigureReader) Figures(q FigureQuery) iter.Seq2[DayFigures, error] {
	return func(yield func(DayFigures, error) bool) {
		if r.reading {
			yield(DayFigures{}, r.failed(errors.New("the previous query has not ended")))
			return
		}
		r.reading = true
		defer func() { r.reading = false }()
		appIDs := q.Accounts
		if appIDs == nil {
			var err error
			if appIDs, err = r.Accounts(); err != nil {
				yield(DayFigures{}, err)
				return
			}
		}
		for _, appID := range appIDs {
			err := r.readAccount(q, appID, yield)
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				yield(DayFigures{}, r.failed(err))
				return
			}
		}
	}
}

// errStopped means that the caller needs no further days.
var errStopped = errors.New("stopped by the caller")

// readAccount yields the known days of an account. After damage it continues behind it, in growing steps.
func (r *FigureReader) readAccount(q FigureQuery, appID string, yield func(DayFigures, error) bool) error {
	number, ok, err := r.cursors.account(r.ctx, appID)
	if err != nil || !ok {
		return err
	}
	var step int64
	for from := int64(q.From); from <= int64(q.To); {
		last := from - 1 // the last day that was read
		err := r.cursors.knownDays(r.ctx, q.API, number, datacube.Date(from), q.To, func(date datacube.Date, figures []datacube.Figures) error {
			last = int64(date)
			if !yield(DayFigures{AppID: appID, Date: date, Figures: figures}, nil) {
				return errStopped
			}
			return nil
		})
		if err == nil || r.ctx.Err() != nil || !isDamage(err) {
			return err
		}
		r.noteDamage(appID, q.API, last+1, err)
		step *= 2
		if last >= from || step == 0 {
			step = 1
		}
		from = last + 1 + step
	}
	return nil
}

// noteDamage remembers the first damage, and which accounts have any.
func (r *FigureReader) noteDamage(appID string, api datacube.API, date int64, err error) {
	if r.damage == nil {
		r.damage = fmt.Errorf("days of %s by the %v call from %v on: %w", appID, api, datacube.Date(max(date, int64(datacube.FirstDate))), err)
	}
	r.damaged[appID] = true
}

// Incomplete returns an error if some of the days that were requested so far could not be read.
func (r *FigureReader) Incomplete() error {
	if r.damage == nil {
		return nil
	}
	return r.failed(fmt.Errorf("not all could be read, accounts concerned: %d, first %w", len(r.damaged), r.damage))
}
