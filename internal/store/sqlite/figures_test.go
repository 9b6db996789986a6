package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

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
			records = append(records, hourly(storetest.AppID(account), firstDay+date, hours), daily(storetest.AppID(account), firstDay+date, random.Int64N(3)))
		}
		save(t, s, records...)
	}
	var got strings.Builder
	line := func(f datacube.Figures, start ...any) {
		fmt.Fprintln(&got, append(start, f.Callbacks, f.Failures, f.TimeCostMillis, f.MaxTimeCostMillis)...)
	}
	storetest.ReadFigures(t, s, func(h *store.FigureReader) {
		appIDs, err := h.Accounts()
		if err != nil {
			t.Fatal(err)
		}
		for _, appID := range appIDs {
			days, hourlyDays := storetest.FiguresOf(t, h, appID, beforeAll, afterAll)
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
			want.WriteString(table(t, db, fmt.Sprintf(`SELECT * FROM %s WHERE app_id = '%s' ORDER BY ref_date%s`, view, storetest.AppID(account), hour)))
		}
	}
	if diff := cmp.Diff(strings.Split(want.String(), "\n"), strings.Split(got.String(), "\n")); diff != "" || got.Len() == 0 {
		t.Errorf("figures of %d bytes (-views +figures):\n%s", got.Len(), diff)
	}
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
				for _, err := range h.Figures(storetest.AllOf(datacube.Hourly)) {
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
	storetest.ReadFigures(t, s, func(h *store.FigureReader) {
		days, hours := storetest.FiguresOf(t, h, shop, beforeAll, afterAll)
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
			days, hourlyDays = storetest.FiguresOf(t, h, shop, beforeAll, afterAll)
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
