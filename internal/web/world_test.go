package web_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"weixin_exporter/internal/snapshot"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// now is 2026-11-29 10:00 in China, and yesterday the day before.
func now() time.Time { return time.Date(2026, 11, 29, 2, 0, 0, 0, time.UTC) }

func yesterday() datacube.Date { return datacube.DateOf(now()) - 1 }

// storedFigures is a store in memory.
type storedFigures struct {
	days  map[string]map[datacube.Date]datacube.Figures
	hours map[string]map[datacube.Date]datacube.Hours
	fault error
	reads int
	asked int // days that were asked for
}

func newStoredFigures() *storedFigures {
	return &storedFigures{days: map[string]map[datacube.Date]datacube.Figures{}, hours: map[string]map[datacube.Date]datacube.Hours{}}
}

func (s *storedFigures) DailyFigures(_ context.Context, appIDs []string, from, to datacube.Date, each func(string, datacube.Date, datacube.Figures)) error {
	s.reads++
	s.asked = max(s.asked, int(to-from)+1)
	for _, appID := range appIDs {
		for date := from; date <= to; date++ {
			if f, ok := s.days[appID][date]; ok {
				each(appID, date, f)
			}
		}
	}
	return s.fault
}

func (s *storedFigures) HourlyFigures(_ context.Context, appID string, from, to datacube.Date, each func(datacube.Date, *datacube.Hours)) error {
	s.reads++
	s.asked = max(s.asked, int(to-from)+1)
	for date := from; date <= to; date++ {
		if h, ok := s.hours[appID][date]; ok {
			each(date, &h)
		}
	}
	return s.fault
}

var errNoDisk = errors.New("the disk does not answer")

// ordinary returns the hours of a day in which little failed.
func ordinary(callbacks int64) datacube.Hours {
	var h datacube.Hours
	for hour := range h {
		n := callbacks * int64(hour+1) / 300
		h[hour] = datacube.Figures{Callbacks: n, Failures: n / 1000, TimeCostMillis: 88 * n, MaxTimeCostMillis: 1234}
		if n == 0 {
			h[hour] = datacube.Figures{}
		}
	}
	return h
}

// withAnIncident returns them with an hour in which many callbacks timed out.
func withAnIncident(callbacks int64) datacube.Hours {
	h := ordinary(callbacks)
	f := &h[10]
	f.Failures, f.MaxTimeCostMillis, f.TimeCostMillis = f.Callbacks/2, 5003, f.Callbacks*2500
	return h
}

// newAccount returns an account whose yesterday is known, and adds it and a month to the store.
func (s *storedFigures) newAccount(name string, hours datacube.Hours) *snapshot.Account {
	a := &snapshot.Account{Name: name, AppID: "wx" + fmt.Sprintf("%016x", len(s.days))}
	s.days[a.AppID], s.hours[a.AppID] = map[datacube.Date]datacube.Figures{}, map[datacube.Date]datacube.Hours{}
	for date := yesterday() - 29; date < yesterday(); date++ {
		h := ordinary(3000)
		s.days[a.AppID][date], s.hours[a.AppID][date] = h.Total(), h
	}
	s.days[a.AppID][yesterday()], s.hours[a.AppID][yesterday()] = hours.Total(), hours
	a.Daily = &datacube.Day{Date: yesterday(), Figures: hours.Total()}
	a.Hourly = &datacube.HourlyDay{Date: yesterday(), Hours: hours}
	for api := range a.Work {
		a.Work[api].Succeeded, a.Work[api].LastSuccess = true, now().Add(-17*time.Minute)
	}
	return a
}

// refused returns an account that Weixin has refused with an errcode, in both calls.
func refused(name string, errcode int, reason weixin.Reason, needsAction bool) *snapshot.Account {
	a := &snapshot.Account{Name: name, AppID: "wx-" + name}
	advice := weixin.AdviceOn(errcode)
	if errcode == 0 {
		advice = reason.Advice()
	}
	for api := range a.Work {
		a.Work[api].Problem = &snapshot.Problem{
			Since: now().Add(-time.Hour), At: now(), Next: now().Add(15 * time.Minute), Text: fmt.Sprintf("errcode %d: said (rid abc)", errcode),
			Advice: advice, NeedsAction: needsAction, Cause: snapshot.Cause{Reason: reason, Code: errcode},
		}
	}
	return a
}

// publish publishes a snapshot of accounts, by name as the refresher has them.
func (s *surface) publish(accounts ...*snapshot.Account) {
	slices.SortFunc(accounts, func(a, b *snapshot.Account) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	s.board.Publish(&snapshot.Snapshot{Accounts: accounts})
}
