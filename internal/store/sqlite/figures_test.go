package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

const (
	beforeAll datacube.Date = math.MinInt32
	afterAll  datacube.Date = math.MaxInt32
)

// allOf is a query for all known days of the accounts with these app IDs, or of all accounts.
func allOf(api datacube.API, appIDs ...string) store.FigureQuery {
	return store.FigureQuery{API: api, Accounts: appIDs, From: beforeAll, To: afterAll}
}

// figuresOf returns the known days of an account.
func figuresOf(t *testing.T, r *store.FigureReader, appID string, from, to datacube.Date) ([]datacube.Day, []datacube.HourlyDay) {
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

// readFigures calls read with the figures of a store, which must be readable.
func readFigures(t *testing.T, s *sqlite.Store, read func(*store.FigureReader)) {
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

func TestFigures(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, reopen func() *sqlite.Store) {
		t.Helper()
		busy := datacube.Hours{0: {Callbacks: 7, Failures: 1, TimeCostMillis: 900, MaxTimeCostMillis: 300}, 23: {Callbacks: math.MaxInt64}}
		quietDay := daily(shop, firstDay+2, 0)
		quietDay.Daily, quietDay.State.Empty = &datacube.Figures{}, true
		save(t, s,
			hourly(shop, firstDay+3, busy), hourly(shop, firstDay, busy), hourly(shop, firstDay+1, datacube.Hours{}), // not in order
			daily(shop, firstDay, 8), quietDay,
			store.Record{AppID: shop, API: datacube.Daily, Date: firstDay + 1, State: store.State{Status: store.NotReady, AskedAt: asked}},
			store.Record{AppID: shop, API: datacube.Hourly, Date: firstDay + 2, State: store.State{Status: store.NotReady, AskedAt: asked}},
			daily(bot, firstDay+1, 9))
		day := func(callbacks int64) datacube.Figures { return *daily(shop, firstDay, callbacks).Daily }
		readFigures(t, reopen(), func(h *store.FigureReader) {
			if appIDs, err := h.Accounts(); err != nil || !slices.Equal(appIDs, []string{shop, bot}) {
				t.Errorf("accounts: %q, %v", appIDs, err)
			}
			days, hours := figuresOf(t, h, shop, beforeAll, afterAll)
			if diff := cmp.Diff([]datacube.Day{{Date: firstDay, Figures: day(8)}, {Date: firstDay + 2}}, days); diff != "" {
				t.Errorf("days (-want +got):\n%s", diff)
			}
			want := []datacube.HourlyDay{{Date: firstDay, Hours: busy}, {Date: firstDay + 1}, {Date: firstDay + 3, Hours: busy}}
			if diff := cmp.Diff(want, hours); diff != "" {
				t.Errorf("hours (-want +got):\n%s", diff)
			}
			days, hours = figuresOf(t, h, shop, firstDay+1, firstDay+2)
			if len(days) != 1 || days[0].Date != firstDay+2 || len(hours) != 1 || hours[0].Date != firstDay+1 {
				t.Errorf("the second and third day: %v and %v", days, hours)
			}
			days, hours = figuresOf(t, h, bot, beforeAll, afterAll)
			if len(days) != 1 || days[0].Figures != day(9) || len(hours) != 0 {
				t.Errorf("the other account has %v and %v", days, hours)
			}
			if days, hours = figuresOf(t, h, "wxunknown", beforeAll, afterAll); len(days)+len(hours) > 0 {
				t.Errorf("an unknown account has %v and %v", days, hours)
			}
		})
	})
}

// TestFiguresOfSeveralAccounts: the order is that of the query, and the caller may stop at any day.
func TestFiguresOfSeveralAccounts(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	save(t, s, daily(bot, firstDay, 1), daily(bot, firstDay+1, 2), daily(shop, firstDay, 3), daily("wxthird", firstDay+9, 4))
	for _, c := range []struct {
		name  string
		query store.FigureQuery
		limit int
		want  []string
	}{
		{"all accounts", allOf(datacube.Daily), 9, []string{shop + " 0 3", bot + " 0 1", bot + " 1 2", "wxthird 9 4"}},
		{"the order of the query", allOf(datacube.Daily, "wxthird", "wxunknown", shop), 9, []string{"wxthird 9 4", shop + " 0 3"}},
		{"no account", store.FigureQuery{Accounts: []string{}, From: beforeAll, To: afterAll}, 9, nil},
		{"the first day alone", store.FigureQuery{From: firstDay, To: firstDay}, 9, []string{shop + " 0 3", bot + " 0 1"}},
		{"the first two", allOf(datacube.Daily), 2, []string{shop + " 0 3", bot + " 0 1"}},
		{"an API without figures", allOf(datacube.Hourly), 9, nil},
	} {
		readFigures(t, s, func(r *store.FigureReader) {
			for range 2 { // the second time with prepared statements
				var got []string
				for day, err := range r.Figures(c.query) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, fmt.Sprint(day.AppID, " ", int(day.Date-firstDay), " ", day.Figures[0].Callbacks))
					if len(got) == c.limit {
						break
					}
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", c.name, diff)
				}
			}
		})
	}
}

// TestFiguresOneQueryAtATime: a second query would move the first one's cursors.
func TestFiguresOneQueryAtATime(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	save(t, s, daily(bot, firstDay, 1), daily(shop, firstDay, 3))
	readFigures(t, s, func(r *store.FigureReader) {
		days := 0
		for _, err := range r.Figures(allOf(datacube.Daily)) {
			if err != nil {
				t.Fatal(err)
			}
			days++
			for _, err := range r.Figures(allOf(datacube.Daily)) {
				if err == nil || !strings.Contains(err.Error(), "the previous query has not ended") {
					t.Errorf("a query within another: %v", err)
				}
			}
		}
		if days != 2 {
			t.Errorf("read %d days, want 2", days)
		}
	})
}

// TestFiguresMatchTheViews compares random days and hours with the views.
func TestFiguresMatchTheViews(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(4, 5))
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	for account := range 4 {
		var records []store.Record
		for date := range datacube.Date(40) {
			if random.IntN(3) == 0 {
				continue
			}
			var hours datacube.Hours
			for hour := range hours {
				if random.IntN(4) > 0 {
					hours[hour] = datacube.Figures{
						Callbacks: random.Int64N(1000), Failures: random.Int64N(10), TimeCostMillis: random.Int64(), MaxTimeCostMillis: 5,
					}
				}
			}
			records = append(records, hourly(appID(account), firstDay+date, hours), daily(appID(account), firstDay+date, random.Int64N(3)))
		}
		save(t, s, records...)
	}
	var got strings.Builder
	line := func(f datacube.Figures, start ...any) {
		fmt.Fprintln(&got, append(start, f.Callbacks, f.Failures, f.TimeCostMillis, f.MaxTimeCostMillis)...)
	}
	readFigures(t, s, func(h *store.FigureReader) {
		appIDs, err := h.Accounts()
		if err != nil {
			t.Fatal(err)
		}
		for _, appID := range appIDs {
			days, hourlyDays := figuresOf(t, h, appID, beforeAll, afterAll)
			for _, day := range days {
				line(day.Figures, appID, day.Date)
			}
			for _, day := range hourlyDays {
				for hour, f := range day.Hours {
					line(f, appID, day.Date, hour)
				}
			}
		}
	})
	db := shell(t, path)
	var want strings.Builder
	for account := range 4 {
		for _, view := range []string{"interface_daily", "interface_hourly"} {
			hour := map[string]string{"interface_hourly": ", ref_hour"}[view]
			want.WriteString(table(t, db, fmt.Sprintf(`SELECT * FROM %s WHERE app_id = '%s' ORDER BY ref_date%s`, view, appID(account), hour)))
		}
	}
	if diff := cmp.Diff(strings.Split(want.String(), "\n"), strings.Split(got.String(), "\n")); diff != "" || got.Len() == 0 {
		t.Errorf("figures of %d bytes (-views +figures):\n%s", got.Len(), diff)
	}
}

// TestFiguresAreOfOneInstant: saves of others meanwhile are not visible, and do not wait.
func TestFiguresAreOfOneInstant(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	here, there := open(t, path), open(t, path)
	save(t, here, daily(shop, firstDay, 1), daily(bot, firstDay, 1))
	reader, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	readFigures(t, reader, func(h *store.FigureReader) {
		save(t, there, daily(shop, firstDay, 2), daily(shop, firstDay+1, 2), daily("wxnew", firstDay, 2))
		save(t, here, daily(bot, firstDay, 3))
		for _, appID := range []string{shop, bot, "wxnew"} {
			days, _ := figuresOf(t, h, appID, beforeAll, afterAll)
			if appID == "wxnew" && len(days) > 0 || appID != "wxnew" && (len(days) != 1 || days[0].Figures.Callbacks != 1) {
				t.Errorf("%s has %v", appID, days)
			}
		}
	})
	readFigures(t, reader, func(h *store.FigureReader) {
		if days, _ := figuresOf(t, h, shop, beforeAll, afterAll); len(days) != 2 || days[0].Figures.Callbacks != 2 {
			t.Errorf("afterwards there are %v", days)
		}
	})
}

func TestReadFiguresReturnsTheReadersErrors(t *testing.T) {
	t.Parallel()
	s := open(t, "")
	save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 1), hourly(shop, firstDay, datacube.Hours{}))
	full := errors.New("no space left")
	calls := 0
	for _, read := range []func(h *store.FigureReader) error{
		func(*store.FigureReader) error { calls++; return full },
		func(h *store.FigureReader) error {
			for range h.Figures(allOf(datacube.Daily)) {
				calls++
				return full
			}
			return nil
		},
		func(h *store.FigureReader) error {
			for range h.Figures(allOf(datacube.Hourly)) {
				calls++
				return full
			}
			return nil
		},
	} {
		if err := s.ReadFigures(t.Context(), read); err != full { //nolint:errorlint // it must be the same error
			t.Errorf("got %v, want %v", err, full)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
	save(t, s, daily(shop, firstDay+2, 1)) // nothing holds the only connection
}

func TestReadFiguresEndsWithTheContext(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *sqlite.Store, _ func() *sqlite.Store) {
		t.Helper()
		save(t, s, daily(shop, firstDay, 1), daily(shop, firstDay+1, 1))
		ctx, cancel := context.WithCancel(t.Context())
		days := 0
		err := s.ReadFigures(ctx, func(h *store.FigureReader) error {
			for _, err := range h.Figures(allOf(datacube.Daily)) {
				if err != nil {
					return err
				}
				days++
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "read the figures") || days != 1 {
			t.Errorf("after %d days: %v", days, err)
		}
		if err := s.ReadFigures(ctx, func(*store.FigureReader) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("started after the end: %v", err)
		}
	})
}

func TestFiguresOfACorruptedFile(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"hour 24":                    `PRAGMA ignore_check_constraints = ON; UPDATE hourly SET hour = 24`,
		"hour -1":                    `PRAGMA ignore_check_constraints = ON; UPDATE hourly SET hour = -1`,
		"no such table":              `DROP VIEW interface_hourly; DROP TABLE hourly`,
		"in the place of an integer": `PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT, ', '') WHERE name = 'hourly'; PRAGMA writable_schema = RESET; UPDATE hourly SET callbacks = 'many'`,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store.db")
			s := open(t, path)
			save(t, s, hourly(shop, firstDay, datacube.Hours{3: {Callbacks: 1}}))
			db := shell(t, path)
			for part := range strings.SplitSeq(statement, "; ") {
				run(t, db, part)
			}
			err := s.ReadFigures(t.Context(), func(h *store.FigureReader) error {
				for _, err := range h.Figures(allOf(datacube.Hourly)) {
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestFiguresWithoutAState: figures of unknown days are skipped, those of later days are not.
func TestFiguresWithoutAState(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	for date := firstDay; date < firstDay+3; date++ {
		save(t, s, daily(shop, date, 1), hourly(shop, date, datacube.Hours{5: {Callbacks: 1}, 6: {Callbacks: 2}}))
	}
	run(t, shell(t, path), fmt.Sprintf(`DELETE FROM day WHERE date = %d`, firstDay))
	readFigures(t, s, func(h *store.FigureReader) {
		days, hours := figuresOf(t, h, shop, beforeAll, afterAll)
		if len(days) != 2 || days[0] != (datacube.Day{Date: firstDay + 1, Figures: *daily(shop, firstDay, 1).Daily}) {
			t.Errorf("days: %v", days)
		}
		if len(hours) != 2 || hours[0].Date != firstDay+1 || hours[0].Hours[6].Callbacks != 2 || hours[1].Hours[5].Callbacks != 1 {
			t.Errorf("hours: %v", hours)
		}
	})
}

// TestFiguresOfADamagedFile: all that is readable is returned, and nothing that was never stored.
func TestFiguresOfADamagedFile(t *testing.T) {
	t.Parallel()
	const pageSize = 4096
	whole := filepath.Join(t.TempDir(), "store.db")
	s := open(t, whole)
	save(t, s, busyDays(200)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	pages := len(contents(t, filepath.Dir(whole))["store.db"]) / pageSize
	read := 0
	for page := pages / 4; page < pages; page += 5 { // the first ones hold the schema
		path := filepath.Join(t.TempDir(), "store.db")
		copied(t, whole, path)
		change(t, path, func(b []byte) []byte { clear(b[page*pageSize : (page+1)*pageSize]); return b })
		r, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var days []datacube.Day
		var hourlyDays []datacube.HourlyDay
		err = r.ReadFigures(t.Context(), func(h *store.FigureReader) error {
			days, hourlyDays = figuresOf(t, h, shop, beforeAll, afterAll)
			return nil
		})
		if all := len(days) == 200 && len(hourlyDays) == 200; all != (err == nil) {
			t.Errorf("page %d: %d and %d days, %v", page, len(days), len(hourlyDays), err)
		} else if err != nil && !strings.Contains(err.Error(), "not all could be read, accounts concerned: 1, first days of "+shop) {
			t.Errorf("page %d: %v", page, err)
		}
		if len(days)+len(hourlyDays) >= 300 {
			read++ // most of it
		}
		for _, d := range days {
			if d.Figures.Callbacks != 1 {
				t.Errorf("page %d: %v", page, d)
			}
		}
		for _, d := range hourlyDays {
			if d.Hours != busyDay() {
				t.Errorf("page %d: %v", page, d)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if read == 0 {
		t.Error("no file was mostly readable")
	}
}
