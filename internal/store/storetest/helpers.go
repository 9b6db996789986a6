package storetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/weixin/datacube"
)

// FirstDay is 2026-11-01.
const FirstDay datacube.Date = 20758

// The app IDs of two accounts, in ascending order.
const (
	Shop = "wx0123456789abcdef"
	Bot  = "wxfedcba9876543210"
)

// Dates before and after all days.
const (
	BeforeAll datacube.Date = math.MinInt32
	AfterAll  datacube.Date = math.MaxInt32
)

// Asked returns nine o'clock on the day after FirstDay, when its figures are available.
func Asked() time.Time { return time.Date(2026, 11, 2, 9, 0, 0, 0, datacube.China) }

// Known returns the state of a day that became known at once.
func Known() store.State {
	return store.State{Status: store.Known, AskedAt: Asked(), KnownAt: Asked()}
}

// Daily returns a record of the daily call.
func Daily(appID string, date datacube.Date, callbacks int64) store.Record {
	return store.Record{
		AppID: appID, API: datacube.Daily, Date: date, State: Known(),
		Daily: &datacube.Figures{Callbacks: callbacks, Failures: 1, TimeCostMillis: 20, MaxTimeCostMillis: 5},
	}
}

// Hourly returns a record of the hourly call.
func Hourly(appID string, date datacube.Date, hours datacube.Hours) store.Record {
	return store.Record{AppID: appID, API: datacube.Hourly, Date: date, State: Known(), Hourly: &hours}
}

// Save saves records.
func Save(tb testing.TB, s store.Records, records ...store.Record) []store.Revision {
	tb.Helper()
	revisions, err := s.Save(tb.Context(), records)
	if err != nil {
		tb.Fatal(err)
	}
	return revisions
}

// Load loads accounts.
func Load(tb testing.TB, s store.Records, since datacube.Date, appIDs ...string) map[string]*store.Account {
	tb.Helper()
	accounts, err := s.Load(tb.Context(), since, appIDs...)
	if err != nil {
		tb.Fatal(err)
	}
	return accounts
}

// AllOf is a query for all known days of the accounts with these app IDs, or of all accounts.
func AllOf(api datacube.API, appIDs ...string) store.FigureQuery {
	return store.FigureQuery{API: api, Accounts: appIDs, From: BeforeAll, To: AfterAll}
}

// FiguresOf returns the known days of an account.
func FiguresOf(t *testing.T, r *store.FigureReader, appID string, from, to datacube.Date) ([]datacube.Day, []datacube.HourlyDay) {
	t.Helper()
	var days []datacube.Day
	var hourlyDays []datacube.HourlyDay
	for api := range datacube.APIs {
		for day, err := range r.Figures(store.FigureQuery{API: api, Accounts: []string{appID}, From: from, To: to}) {
			switch {
			case err != nil:
				t.Fatal(err)
			case day.AppID != appID:
				t.Errorf("got a day of %s, want one of %s", day.AppID, appID)
			case api == datacube.Daily:
				days = append(days, datacube.Day{Date: day.Date, Figures: day.Figures[0]})
			default:
				hourlyDays = append(hourlyDays, datacube.HourlyDay{Date: day.Date, Hours: datacube.Hours(day.Figures)})
			}
		}
	}
	return days, hourlyDays
}

// ReadFigures calls read with the figures of a store, which must be readable.
func ReadFigures(t *testing.T, s store.Figures, read func(*store.FigureReader)) {
	t.Helper()
	called := false
	err := s.ReadFigures(t.Context(), func(r *store.FigureReader) error {
		called = true
		read(r)
		return nil
	})
	if err != nil || !called {
		t.Fatalf("read the figures: %v, called: %v", err, called)
	}
}

// Days are states in the form of a map.
type Days map[datacube.Date]store.State

// StatesOf returns states from a map.
func StatesOf(d Days) store.States {
	var s store.States
	for date, state := range d {
		s.Set(date, state)
	}
	return s
}

// AppID returns one of any number of app IDs.
func AppID(n int) string { return fmt.Sprintf("wx%016d", n) }

// Round returns one day of the hourly call for many accounts, with traffic in each hour.
func Round(accounts int, date datacube.Date) []store.Record {
	records := make([]store.Record, accounts)
	for i := range records {
		hours := datacube.Hours{}
		for h := range hours {
			n := int64(i + h + 1)
			hours[h] = datacube.Figures{Callbacks: n * 100, Failures: n, TimeCostMillis: n * 5000, MaxTimeCostMillis: 4999}
		}
		asked := (date + 1).Start().Add(9 * time.Hour)
		records[i] = store.Record{
			AppID: AppID(i), API: datacube.Hourly, Date: date, Hourly: &hours,
			State: store.State{Status: store.Known, AskedAt: asked, KnownAt: asked},
		}
	}
	return records
}

// Fill stores days of states and figures of the daily call, and the last day's hours.
func Fill(tb testing.TB, s store.Records, accounts, days int) {
	tb.Helper()
	for day := range days {
		date := FirstDay + datacube.Date(day)
		hourly := Round(accounts, date)
		daily := make([]store.Record, len(hourly))
		for i, r := range hourly {
			f := r.Hourly[0]
			daily[i] = store.Record{AppID: r.AppID, API: datacube.Daily, Date: date, State: r.State, Daily: &f}
			if day < days-1 {
				hourly[i].Hourly = nil
			}
		}
		Save(tb, s, hourly...)
		Save(tb, s, daily...)
	}
}
