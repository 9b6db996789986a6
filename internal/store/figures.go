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

// OfAccounts says in an error of which accounts something is.
func OfAccounts(appIDs []string) string {
	if len(appIDs) == 1 {
		return "of " + appIDs[0]
	}
	return fmt.Sprintf("of %d accounts", len(appIDs))
}

// DayFigures are the figures of one known day of one account.
type DayFigures struct {
	AppID string
	Date  datacube.Date
	// Figures has one element for datacube.Daily and one for each hour for datacube.Hourly. Elements
	// are zero where there was no traffic. The slice is overwritten when the next day is read.
	Figures []datacube.Figures
}

// FigureSource is what an engine provides for a FigureReader: all figures as of one instant.
type FigureSource interface {
	// AppIDs returns the app IDs of all accounts in ascending order; not nil.
	AppIDs(ctx context.Context) ([]string, error)
	// Days calls each with the days of the first account of a query, in ascending order, and returns an error of each
	// unchanged. The slice may be overwritten by the next day. The further accounts are those that will probably be
	// asked for next, with the same dates. An account that the store does not know has no days. An error that
	// concerns only a part of the store is of the kind Damaged or IO.
	Days(ctx context.Context, q FigureQuery, each func(datacube.Date, []datacube.Figures) error) error
	// Failed adds to an error which store it concerns and what to do.
	Failed(err error) error
}

// FigureReader reads figures as of one instant. It must not be used concurrently, nor after the
// function that it was passed to has returned.
type FigureReader struct {
	ctx     context.Context //nolint:containedctx // of the call of ReadFigures
	source  FigureSource
	appIDs  []string // of all accounts; nil until they are needed
	reading bool
	damage  error           // the first that was found
	damaged map[string]bool // app IDs of the accounts with damage
}

// NewFigureReader returns a reader for one call of ReadFigures.
func NewFigureReader(ctx context.Context, source FigureSource) *FigureReader {
	return &FigureReader{ctx: ctx, source: source, damaged: make(map[string]bool)}
}

// Accounts returns the app IDs of all accounts for which the store has had a response, in ascending
// order. The caller must not change the slice.
func (r *FigureReader) Accounts() ([]string, error) {
	if r.appIDs == nil {
		appIDs, err := r.source.AppIDs(r.ctx)
		if err != nil {
			return nil, r.source.Failed(err)
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
			yield(DayFigures{}, r.source.Failed(errors.New("the previous query has not ended")))
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
		for i, appID := range appIDs {
			q.Accounts = appIDs[i:]
			err := r.readAccount(q, appID, yield)
			if errors.Is(err, errStopped) {
				return
			}
			if err != nil {
				yield(DayFigures{}, r.source.Failed(err))
				return
			}
		}
	}
}

// errStopped means that the caller needs no further days.
var errStopped = errors.New("stopped by the caller")

// readAccount yields the known days of the first account of a query. After damage it continues behind it, in growing steps.
func (r *FigureReader) readAccount(q FigureQuery, appID string, yield func(DayFigures, error) bool) error {
	var step int64
	for from := int64(q.From); from <= int64(q.To); {
		last := from - 1 // the last day that was read
		q.From = datacube.Date(from)
		err := r.source.Days(r.ctx, q, func(date datacube.Date, figures []datacube.Figures) error {
			last = int64(date)
			if !yield(DayFigures{AppID: appID, Date: date, Figures: figures}, nil) {
				return errStopped
			}
			return nil
		})
		if err == nil || r.ctx.Err() != nil || !concernsPart(err) {
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

// concernsPart reports whether other parts of the store may be readable in spite of an error.
func concernsPart(err error) bool {
	kind := KindOf(err)
	return kind == Damaged || kind == IO
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
	return r.source.Failed(fmt.Errorf("not all could be read, accounts concerned: %d, first %w", len(r.damaged), r.damage))
}
