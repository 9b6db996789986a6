package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

const (
	pageSize = 4096
	// The days of the damaged stores, of these accounts.
	damagedDays     = 24
	damagedAccounts = 2
)

// hoursOf returns the figures of a day, which no other day has: none on each seventh.
func hoursOf(account int, date datacube.Date) datacube.Hours {
	var hours datacube.Hours
	if date%7 == 0 {
		return hours
	}
	for h := range hours {
		n := int64(account+1)*1_000_000 + int64(date-firstDay)*100 + int64(h)
		hours[h] = datacube.Figures{Callbacks: n, Failures: n / 7, TimeCostMillis: n * 31, MaxTimeCostMillis: n%5000 + 1}
	}
	return hours
}

func dayOf(account int, date datacube.Date) datacube.Figures {
	var day datacube.Figures
	for _, f := range hoursOf(account, date) {
		day.Callbacks += f.Callbacks
		day.Failures += f.Failures
		day.TimeCostMillis += f.TimeCostMillis
		day.MaxTimeCostMillis = max(day.MaxTimeCostMillis, f.MaxTimeCostMillis)
	}
	return day
}

// figuresOf returns the right figures of a day as a FigureReader does.
func figuresOf(api datacube.API, account int, date datacube.Date) []datacube.Figures {
	if api == datacube.Daily {
		return []datacube.Figures{dayOf(account, date)}
	}
	hours := hoursOf(account, date)
	return hours[:]
}

// damagedStore returns the content of a file with days of some accounts.
func damagedStore(tb testing.TB) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "store.db")
	s, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	for date := firstDay; date < firstDay+damagedDays; date++ {
		var records []store.Record
		for account := range damagedAccounts {
			hours, day := hoursOf(account, date), dayOf(account, date)
			known := storetest.Known()
			known.Empty = day == datacube.Figures{}
			known.AskedAt = known.AskedAt.AddDate(0, 0, int(date-firstDay))
			known.KnownAt = known.AskedAt
			known.Checksum = store.Checksum(day)
			records = append(records,
				store.Record{AppID: storetest.AppID(account), API: datacube.Daily, Date: date, State: known, Daily: &day},
				store.Record{AppID: storetest.AppID(account), API: datacube.Hourly, Date: date, State: known, Hourly: &hours})
		}
		save(tb, s, records...)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// outcome is what becomes of a damaged file.
type outcome struct {
	refused  bool // by Open
	reported bool // by a method that reads
	right    int  // figures that were read
	wrong    []string
}

// readDamaged opens a damaged file in both ways and reads everything: Open searches it for damage, and OpenReadOnly does
// not, just as a running exporter does not, under which the disk fails.
func readDamaged(t *testing.T, folder string, content []byte) (outcome, error) {
	t.Helper()
	var o outcome
	path := filepath.Join(folder, "store.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return o, err
	}
	if s, err := sqlite.OpenReadOnly(t.Context(), path, sqlite.Options{}); err == nil {
		o.readAll(t.Context(), s)
		_ = s.Close()
	}
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{BusyTimeout: time.Millisecond})
	if err != nil {
		o.refused = true
		left, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(content, left) {
			err = errors.New("a damaged file was changed")
		}
		return o, err
	}
	o.readAll(t.Context(), s)
	_ = s.Close() // it may report the damage
	return o, nil
}

func (o *outcome) readAll(ctx context.Context, s *sqlite.Store) {
	compare := func(how string, api datacube.API, appID string, date datacube.Date, got []datacube.Figures) {
		for account := range damagedAccounts {
			if appID == storetest.AppID(account) && date >= firstDay && date < firstDay+damagedDays && slices.Equal(got, figuresOf(api, account, date)) {
				o.right++
				return
			}
		}
		o.wrong = append(o.wrong, fmt.Sprintf("%s: %v of %s, %v", how, date, appID, api))
	}
	note := func(err error) { o.reported = o.reported || err != nil }

	note(s.ReadFigures(ctx, func(r *store.FigureReader) error {
		for api := range datacube.APIs {
			for day, err := range r.Figures(storetest.AllOf(api)) {
				if err != nil {
					return err
				}
				compare("read", api, day.AppID, day.Date, day.Figures)
			}
		}
		return nil
	}))
	var appIDs []string
	for account := range damagedAccounts {
		appIDs = append(appIDs, storetest.AppID(account))
	}
	accounts, err := s.Load(ctx, beforeAll)
	note(err)
	for appID, a := range accounts {
		if a.Daily != nil {
			compare("loaded", datacube.Daily, appID, a.Daily.Date, []datacube.Figures{a.Daily.Figures})
		}
		if a.Hourly != nil {
			compare("loaded", datacube.Hourly, appID, a.Hourly.Date, a.Hourly.Hours[:])
		}
		for api, states := range a.States {
			for date := range states.All() {
				if date < firstDay || date >= firstDay+damagedDays || !slices.Contains(appIDs, appID) {
					o.wrong = append(o.wrong, fmt.Sprintf("loaded the state of %v of %s, %d", date, appID, api))
				}
			}
		}
	}
	pending, err := s.ReadPending(ctx, "receiver", beforeAll, 1_000_000, appIDs...)
	note(err)
	note(s.Damage())
	for _, p := range pending {
		for _, day := range p.Daily {
			compare("to send", datacube.Daily, p.AppID, day.Date, []datacube.Figures{day.Figures})
		}
		for _, day := range p.Hourly {
			compare("to send", datacube.Hourly, p.AppID, day.Date, day.Hours[:])
		}
	}
}

// damageStep returns how many damages there are for each that is tried: one with TORTURE_DAMAGE, else three.
func damageStep() int {
	if os.Getenv("TORTURE_DAMAGE") != "" {
		return 1
	}
	return 3
}

// outcomes are what became of the files that were damaged in one way.
type outcomes struct {
	group  errgroup.Group
	folder string

	mu                               sync.Mutex
	refused, reported, silent, wrong int
}

func newOutcomes(t *testing.T) *outcomes {
	t.Helper()
	o := &outcomes{folder: t.TempDir()}
	o.group.SetLimit(16) // each waits for seconds, in which goose repeats what fails
	return o
}

// try reads a damaged file in the background, and fails the test if it has wrong figures.
func (all *outcomes) try(t *testing.T, content []byte, format string, args ...any) {
	t.Helper()
	all.group.Go(func() error {
		folder, err := os.MkdirTemp(all.folder, "") //nolint:usetesting // removed at once
		if err != nil {
			return err
		}
		what := fmt.Sprintf(format, args...)
		o, err := readDamaged(t, folder, content)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		all.count(o)
		if len(o.wrong) > 0 {
			t.Errorf("%s, reported: %v: %d wrong, such as %s", what, o.reported, len(o.wrong), o.wrong[0])
		}
		return os.RemoveAll(folder)
	})
}

func (all *outcomes) count(o outcome) {
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case len(o.wrong) > 0:
		all.wrong++
	case o.refused:
		all.refused++
	case o.reported:
		all.reported++
	default:
		all.silent++
	}
}

// wait waits for all that was tried.
func (all *outcomes) wait(t *testing.T) {
	t.Helper()
	if err := all.group.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d were refused, %d reported, %d not noticed but without a wrong figure, %d wrong", all.refused, all.reported, all.silent, all.wrong)
}

// TestSwappedPages: whichever two pages of a file change places, no wrong figure is read.
func TestSwappedPages(t *testing.T) {
	t.Parallel()
	whole, all := damagedStore(t), newOutcomes(t)
	pages := len(whole) / pageSize
	page := func(content []byte, n int) []byte { return content[n*pageSize : (n+1)*pageSize] }
	step := damageStep()
	for one := range pages {
		for other := one % step; other < one; other += step {
			content := slices.Clone(whole)
			copy(page(content, one), page(whole, other))
			copy(page(content, other), page(whole, one))
			all.try(t, content, "pages %d and %d swapped", other+1, one+1)
		}
	}
	all.wait(t)
}

// TestHalfAPageOverwritten: whichever half of a page gets what another page has there, or zeros, no wrong figure is read.
func TestHalfAPageOverwritten(t *testing.T) {
	t.Parallel()
	const half = pageSize / 2
	whole, all := damagedStore(t), newOutcomes(t)
	halves, step := len(whole)/half, damageStep()
	zeros := make([]byte, half)
	for to := range halves {
		for from := to % step; from <= halves; from += step {
			source := zeros
			if from < halves {
				source = whole[from*half : (from+1)*half]
			}
			if from%2 != to%2 && from < halves || bytes.Equal(source, whole[to*half:(to+1)*half]) {
				continue
			}
			content := slices.Clone(whole)
			copy(content[to*half:], source)
			all.try(t, content, "half %d of page %d overwritten from half %d", to%2, to/2+1, from)
		}
	}
	all.wait(t)
}
