//go:build linux && (amd64 || arm64)

package powerloss_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

const (
	accounts = 10
	steps    = 100
	// reopenEvery is after how many steps the store is closed and opened, which empties the WAL file.
	reopenEvery = 17
	endpoint    = "receiver"
)

func appIDs() []string {
	var all []string
	for i := range accounts {
		all = append(all, storetest.AppID(i))
	}
	return all
}

// version returns records in which everything tells the same number: a day that each version changes, and one of its own.
func version(n int) []store.Record {
	var hours datacube.Hours
	for h := range hours {
		hours[h].Callbacks = int64(n)
	}
	var records []store.Record
	for _, appID := range appIDs() {
		records = append(records, storetest.Hourly(appID, storetest.FirstDay, hours), storetest.Daily(appID, storetest.FirstDay, int64(n)),
			storetest.Hourly(appID, storetest.FirstDay+datacube.Date(n), hours))
	}
	return records
}

// step changes a store in the nth of the ways in which an exporter does.
func step(ctx context.Context, s *sqlite.Store, n int) error {
	at := storetest.Asked().Add(time.Duration(n) * time.Hour)
	switch n % 10 {
	case 2, 7:
		pending, err := s.ReadPending(ctx, endpoint, storetest.BeforeAll, 1_000_000, appIDs()...)
		if err != nil {
			return err
		}
		return s.MarkDelivered(ctx, endpoint, at, pending...)
	case 3, 8:
		var holds []store.Hold
		for _, appID := range appIDs() {
			holds = append(holds, store.Hold{AppID: appID, Since: at, Until: at.Add(time.Hour), Date: datacube.DateOf(at), Attempts: n, Detail: "{}"})
		}
		return s.SaveHolds(ctx, holds)
	case 4:
		return s.RecordTime(ctx, at)
	case 5:
		_, err := s.Resend(ctx, endpoint, storetest.FirstDay, storetest.AfterAll, appIDs()...)
		return err
	case 9:
		_, err := s.Prune(ctx, storetest.FirstDay+datacube.Date(n/2))
		return err
	default:
		_, err := s.Save(ctx, version(n))
		return err
	}
}

// view returns all that a store tells, one thing a line.
func view(ctx context.Context, s *sqlite.Store) (string, error) {
	var b strings.Builder
	known, err := s.Load(ctx, storetest.BeforeAll)
	if err != nil {
		return "", err
	}
	for _, appID := range appIDs() {
		a := known[appID]
		if a == nil {
			continue
		}
		fmt.Fprintf(&b, "%s has %v days\n", appID, a.Days)
		if a.Daily != nil {
			fmt.Fprintf(&b, "%s: latest day %v\n", appID, *a.Daily)
		}
		if a.Hourly != nil {
			fmt.Fprintf(&b, "%s: latest hours %v\n", appID, *a.Hourly)
		}
		for api, states := range a.States {
			for date, state := range states.All() {
				fmt.Fprintf(&b, "%s, %v, %v: %+v\n", appID, datacube.API(api), date, state)
			}
		}
	}
	err = s.ReadFigures(ctx, func(r *store.FigureReader) error {
		for api := range datacube.APIs {
			for day, err := range r.Figures(storetest.AllOf(api)) {
				if err != nil {
					return err
				}
				fmt.Fprintf(&b, "%s, %v, %v: %v\n", day.AppID, api, day.Date, day.Figures)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	holds, err := s.Holds(ctx, appIDs()...)
	if err != nil {
		return "", err
	}
	slices.SortFunc(holds, func(a, b store.Hold) int { return cmp.Compare(a.AppID, b.AppID) })
	for _, hold := range holds {
		fmt.Fprintf(&b, "hold %+v\n", hold)
	}
	recorded, err := s.RecordedTime(ctx)
	if err != nil {
		return "", err
	}
	delivered, err := s.LastDelivery(ctx, endpoint)
	if err != nil {
		return "", err
	}
	pending, err := s.ReadPending(ctx, endpoint, storetest.BeforeAll, 1_000_000, appIDs()...)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "recorded %v, delivered %v\n", recorded, delivered)
	for _, p := range pending {
		fmt.Fprintf(&b, "to send: %+v\n", p)
	}
	return b.String(), nil
}

// difference returns the first line of a view that another one does not have.
func difference(one, other string) string {
	lines, others := strings.Split(one, "\n"), strings.Split(other, "\n")
	for i, line := range lines {
		if i >= len(others) || line != others[i] {
			return line
		}
	}
	return "the end"
}

// downgrade makes the file one of the schema before the latest, so that the next Open migrates it.
func downgrade(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		`BEGIN IMMEDIATE`, `ALTER TABLE day DROP COLUMN digest`, `DELETE FROM goose_db_version WHERE version_id > 8`, `COMMIT`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
