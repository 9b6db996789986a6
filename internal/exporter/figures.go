package exporter

import (
	"context"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// figures reads the figures of the store for the pages.
type figures struct{ store store.Store }

// DailyFigures implements web.Figures.
func (f figures) DailyFigures(ctx context.Context, appIDs []string, from, to datacube.Date, each func(string, datacube.Date, datacube.Figures)) error {
	return f.read(ctx, store.FigureQuery{API: datacube.Daily, Accounts: appIDs, From: from, To: to}, func(day store.DayFigures) {
		each(day.AppID, day.Date, day.Figures[0])
	})
}

// HourlyFigures implements web.Figures.
func (f figures) HourlyFigures(ctx context.Context, appID string, from, to datacube.Date, each func(datacube.Date, *datacube.Hours)) error {
	return f.read(ctx, store.FigureQuery{API: datacube.Hourly, Accounts: []string{appID}, From: from, To: to}, func(day store.DayFigures) {
		hours := datacube.Hours(day.Figures)
		each(day.Date, &hours)
	})
}

func (f figures) read(ctx context.Context, q store.FigureQuery, each func(store.DayFigures)) error {
	if len(q.Accounts) == 0 {
		return nil // to the store, none means all
	}
	return f.store.ReadFigures(ctx, func(r *store.FigureReader) error {
		for day, err := range r.Figures(q) {
			if err != nil {
				return err
			}
			each(day)
		}
		return nil
	})
}
