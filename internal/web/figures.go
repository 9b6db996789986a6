package web

import (
	"context"
	"time"

	"weixin_exporter/internal/gate"
	"weixin_exporter/weixin/datacube"
)

// Figures reads the figures that are stored; *store.Store is one. Both methods call each with the known days
// from one date to another, both included, in order; an account that is not known has none. What each is given
// is valid until it returns.
type Figures interface {
	// DailyFigures reads days of the daily call of many accounts, one account after the other.
	DailyFigures(ctx context.Context, appIDs []string, from, to datacube.Date, each func(appID string, date datacube.Date, f datacube.Figures)) error
	// HourlyFigures reads days of the hourly call of one account.
	HourlyFigures(ctx context.Context, appID string, from, to datacube.Date, each func(date datacube.Date, h *datacube.Hours)) error
}

const (
	// window is how many days the charts show.
	window = 30
	// readers is how many requests read the store at a time: the refresher needs it, too.
	readers = 2
	// readTime is how long a page waits for the store before it shows what it has without.
	readTime = 2 * time.Second
)

// reads bounds what pages read of the store.
type reads struct {
	figures Figures
	turns   *gate.Gate
}

func newReads(f Figures) *reads { return &reads{figures: f, turns: gate.New(readers)} }

// within runs work, unless it has to wait for its turn for long. It returns false where the figures could not be
// read: the page says so.
func (r *reads) within(ctx context.Context, work func(context.Context, Figures) error) bool {
	if r.figures == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	if !r.turns.Enter(ctx) {
		return false
	}
	defer r.turns.Leave()
	return work(ctx, r.figures) == nil
}

// dailySeries are days by date.
type dailySeries map[datacube.Date]datacube.Figures

// daily returns the days of accounts, by app id.
func (r *reads) daily(ctx context.Context, appIDs []string, from, to datacube.Date) (map[string]dailySeries, bool) {
	found := make(map[string]dailySeries, len(appIDs))
	ok := r.within(ctx, func(ctx context.Context, figures Figures) error {
		return figures.DailyFigures(ctx, appIDs, from, to, func(appID string, date datacube.Date, f datacube.Figures) {
			if found[appID] == nil {
				found[appID] = make(dailySeries, window)
			}
			found[appID][date] = f
		})
	})
	return found, ok
}

// hourly returns the hours of an account's days, by date.
func (r *reads) hourly(ctx context.Context, appID string, from, to datacube.Date) (map[datacube.Date]*datacube.Hours, bool) {
	found := make(map[datacube.Date]*datacube.Hours, window)
	ok := r.within(ctx, func(ctx context.Context, figures Figures) error {
		return figures.HourlyFigures(ctx, appID, from, to, func(date datacube.Date, h *datacube.Hours) {
			kept := *h
			found[date] = &kept
		})
	})
	return found, ok
}
