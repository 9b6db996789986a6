package e2e_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// window is how many days are checked after each kill; all of them are checked at the end.
const window = 40

// storedDay is a day of an account and API.
type storedDay struct {
	appID string
	api   datacube.API
	date  datacube.Date
}

// openCopy opens a copy of the store as it was left behind, so that the next exporter finds it unchanged. The returned
// function closes and removes it.
func (w *torture) openCopy(t *testing.T) (*sqlite.Store, func()) {
	t.Helper()
	folder := w.path("copy")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"store.db", "store.db-wal"} {
		if err := copyFile(w.path(name), filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(folder, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := errors.Join(s.Close(), os.RemoveAll(folder)); err != nil {
			t.Error(err)
		}
	}
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// check checks the days of the store since a date after a kill: all that was known is known and right, and only the
// latest answers are lost. beside says that two processes called Weixin: both may have requested a day.
func (w *torture) check(t *testing.T, killed time.Time, since datacube.Date, beside bool) {
	t.Helper()
	s, remove := w.openCopy(t)
	defer remove()
	accounts, err := s.Load(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	state := func(d storedDay) store.State {
		if accounts[d.appID] == nil {
			return store.State{}
		}
		return accounts[d.appID].States[d.api].At(d.date)
	}
	for d := range w.known {
		if d.date >= since && state(d).Status != store.Known {
			t.Errorf("after kill %d, %s of %s, %v is no longer known", w.kills, d.date, d.appID, d.api)
		}
	}
	w.checkFiguresIn(t, s, since, datacube.DateOf(killed))

	lost, all := 0, w.sim.Calls()
	learned := map[storedDay]bool{}
	for _, c := range all[w.calls:] {
		if !succeeded(c) {
			continue
		}
		api := datacube.API(slices.Index(apis(), c.API))
		if stored := func(date datacube.Date) bool {
			return !state(storedDay{c.AppID, api, date}).AskedAt.Before(c.At.Truncate(time.Second))
		}; !stored(c.Begin) || !stored(c.End) { // another process may have requested one of them
			lost++
			w.oldest = max(w.oldest, killed.Sub(c.At))
			continue
		}
		for date := c.Begin; date <= c.End; date++ {
			d := storedDay{c.AppID, api, date}
			if w.known[d] || learned[d] && !beside {
				t.Errorf("before kill %d, %s of %s, %v was requested although it was known", w.kills, date, c.AppID, api)
			}
			if state(d).Status == store.Known {
				learned[d] = true
			}
		}
	}
	maps.Copy(w.known, learned)
	w.calls = len(all)
	w.lost += lost
	w.worst = max(w.worst, lost)
	if lost > mostLost {
		t.Errorf("kill %d lost %d answers, want at most %d", w.kills, lost, mostLost)
	}
}

// checkFiguresIn compares all stored figures of days with those of Weixin, and returns the number of days.
func (w *torture) checkFiguresIn(t *testing.T, s *sqlite.Store, from, to datacube.Date) int {
	t.Helper()
	days := 0
	err := s.ReadFigures(t.Context(), func(r *store.FigureReader) error {
		for api := range datacube.APIs {
			for day, err := range r.Figures(store.FigureQuery{API: api, From: from, To: to}) {
				if err != nil {
					return err
				}
				days++
				hours := w.sim.Hours(day.AppID, day.Date)
				want := hours[:]
				if api == datacube.Daily {
					want = []datacube.Figures{w.sim.Day(day.AppID, day.Date)}
				}
				if !slices.Equal(want, day.Figures) {
					t.Errorf("%s of %s, %v: the store has other figures than Weixin", day.Date, day.AppID, api)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return days
}

// checkDays checks that the store has each day of all accounts, with the figures of Weixin.
func (w *torture) checkDays(t *testing.T, first, last datacube.Date) {
	t.Helper()
	s, remove := w.openCopy(t)
	defer remove()
	want := len(w.accounts) * int(datacube.APIs) * int(last-first+1)
	if got := w.checkFiguresIn(t, s, first, last); got != want {
		t.Errorf("the store has %d days, want %d", got, want)
	}
}

// atLeastOnce returns the samples. One that arrived more than once must have had the same value each time.
func (l *listener) atLeastOnce(t *testing.T) map[string]map[int64]float64 {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := map[string]map[int64]float64{}
	for key, values := range l.samples {
		got[key] = map[int64]float64{}
		for at, arrived := range values {
			if slices.Min(arrived) != slices.Max(arrived) {
				t.Errorf("%s at %d arrived with different values: %v", key, at, arrived)
			}
			got[key][at] = arrived[0]
		}
	}
	return got
}
