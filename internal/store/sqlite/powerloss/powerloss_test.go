//go:build linux && (amd64 || arm64)

// Package powerloss_test cuts the power of a store: SQLite's VFS tells what the store does to its files, and the test
// opens what a disk may have of that afterwards.
package powerloss_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/sqlite/vfstest"
	"weixin_exporter/internal/store/storetest"
	"weixin_exporter/weixin/datacube"
)

// suite has the recorder of this process. TestMain sets it.
var suite struct{ recorder *recorder }

func TestMain(m *testing.M) {
	vfs, err := vfstest.Install()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	suite.recorder = &recorder{vfs: vfs}
	os.Exit(m.Run())
}

// number returns the number in an environment variable.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("$%s: %v", variable, err)
	}
	return n
}

const (
	accounts = 10
	saves    = 60
	// reopenEvery is after how many Saves the store is closed and opened, which empties the WAL file.
	reopenEvery = 17
	sector      = 512
)

// version returns records in which everything tells the same number: a day that each version changes, and one of its own.
func version(n int64) []store.Record {
	var hours datacube.Hours
	for h := range hours {
		hours[h].Callbacks = n
	}
	var records []store.Record
	for i := range accounts {
		appID := storetest.AppID(i)
		records = append(records, storetest.Hourly(appID, storetest.FirstDay, hours), storetest.Daily(appID, storetest.FirstDay, n),
			storetest.Hourly(appID, storetest.FirstDay+datacube.Date(n), hours))
	}
	return records
}

// history is what a store did, and after how many operations each Save had returned.
type history struct {
	folder     string
	operations []vfstest.Operation
	opened     int   // the number of operations when the new file was open
	saved      []int // by version, from 1 on
}

// work lets a store save versions.
func work(t *testing.T) history {
	t.Helper()
	h := history{folder: t.TempDir(), saved: []int{0}}
	suite.recorder.record(h.folder)
	path := filepath.Join(h.folder, "store.db")
	var s *sqlite.Store
	for n := int64(1); n <= saves; n++ {
		if n%reopenEvery == 1 {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if s, err = sqlite.Open(t.Context(), path, sqlite.Options{}); err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				h.opened = suite.recorder.length()
			}
		}
		storetest.Save(t, s, version(n)...)
		h.saved = append(h.saved, suite.recorder.length())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h.operations = suite.recorder.operations()
	suite.recorder.record("")
	return h
}

// acknowledged returns the last version whose Save had returned after so many operations.
func (h *history) acknowledged(operations int) int64 {
	last := 0
	for n, at := range h.saved {
		if at <= operations {
			last = n
		}
	}
	return int64(last)
}

// inode is a file of the disk, which may have lost its name.
type inode struct {
	path    string
	content []byte
}

// entry is a change of the folder: a file gets its name, or loses it.
type entry struct {
	file *inode
	gone bool
}

func (f *inode) apply(o vfstest.Operation) {
	switch o.Kind {
	case vfstest.Truncate:
		f.content = append(f.content, make([]byte, max(0, o.Size-int64(len(f.content))))...)[:o.Size]
	case vfstest.Write:
		if end := o.Offset + int64(len(o.Data)); end > int64(len(f.content)) {
			f.content = append(f.content, make([]byte, end-int64(len(f.content)))...)
		}
		copy(f.content[o.Offset:], o.Data)
	case vfstest.Sync, vfstest.Delete, vfstest.Read:
	}
}

// after returns what the disk may have when the power fails after so many operations, by path.
//
// Of each file it has all that was done up to its last sync. Of what came later it has any part, of writes any sectors.
// What the folder has changed by its last sync, which SQLite makes with the first one of a new journal or WAL file, is on the
// disk; of later changes as many as happen to be, in their order.
func (h *history) after(operations int, random *rand.Rand) map[string][]byte {
	var changes []entry
	files := make([]*inode, operations) // by operation
	last := map[*inode]int{}            // the last sync
	present := map[string]*inode{}
	folder := 0 // the number of changes by its last sync
	for i, o := range h.operations[:operations] {
		f := present[o.Path]
		if o.Kind == vfstest.Delete {
			changes = append(changes, entry{f, true})
			delete(present, o.Path)
			continue
		}
		if f == nil {
			f = &inode{path: o.Path}
			present[o.Path] = f
			changes = append(changes, entry{f, false})
		}
		files[i] = f
		if o.Kind == vfstest.Sync {
			if _, before := last[f]; !before && !strings.HasSuffix(o.Path, ".db") {
				folder = len(changes)
			}
			last[f] = i
		}
	}
	share := [...]float64{0, 0.1, 0.5, 0.9, 1}[random.IntN(5)] // of what was not synced
	for i, o := range h.operations[:operations] {
		f := files[i]
		if f == nil {
			continue
		}
		at, ever := last[f]
		switch {
		case ever && i <= at:
			f.apply(o)
		case o.Kind != vfstest.Write:
			if random.Float64() < share {
				f.apply(o)
			}
		default:
			for at := 0; at < len(o.Data); at += sector {
				if random.Float64() < share {
					f.apply(vfstest.Operation{Kind: vfstest.Write, Offset: o.Offset + int64(at), Data: o.Data[at:min(at+sector, len(o.Data))]})
				}
			}
		}
	}
	disk := map[string][]byte{}
	names := map[string]*inode{}
	for _, c := range changes[:folder+random.IntN(len(changes)-folder+1)] {
		if c.gone {
			delete(names, c.file.path)
		} else {
			names[c.file.path] = c.file
		}
	}
	for path, f := range names {
		disk[path] = f.content
	}
	return disk
}

// TestPowerLoss: after a loss of power the store opens, has all that Save had acknowledged, and of the Save that was under
// way all or nothing. POWER_ROUNDS is how often the power fails, and POWER_SEED when, and what is left.
func TestPowerLoss(t *testing.T) {
	rounds, seed := number(t, "POWER_ROUNDS", 50), number(t, "POWER_SEED", rand.Uint64())
	t.Logf("to repeat it: POWER_SEED=%d POWER_ROUNDS=%d go test ./internal/store/sqlite/powerloss", seed, rounds)
	h := work(t)
	random := rand.New(rand.NewPCG(seed, 0))
	syncs := 0
	for _, o := range h.operations {
		if o.Kind == vfstest.Sync {
			syncs++
		}
	}
	lost := 0
	for round := range rounds {
		operations := random.IntN(len(h.operations) + 1)
		disk := h.after(operations, random)
		found, err := open(t.Context(), t.TempDir(), disk)
		switch acknowledged := h.acknowledged(operations); {
		case err != nil:
			t.Errorf("round %d, after %d operations of %d: %v", round, operations, len(h.operations), err)
		case found < acknowledged, found > acknowledged+1:
			lost++
			t.Errorf("round %d, after %d operations of %d: the store has version %d, but %d was saved", round, operations, len(h.operations), found, acknowledged)
		}
	}
	t.Logf("%d operations with %d syncs for %d Saves; the power failed %d times, and %d times something was lost", len(h.operations), syncs, saves, rounds, lost)
}

// open opens the store that a disk has in another folder, and returns its version. It fails if something tells another one.
func open(ctx context.Context, folder string, disk map[string][]byte) (int64, error) {
	for path, content := range disk {
		if strings.HasSuffix(path, "-shm") {
			continue // SQLite makes it again
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(path)), content, 0o600); err != nil {
			return 0, err
		}
	}
	s, err := sqlite.Open(ctx, filepath.Join(folder, "store.db"), sqlite.Options{})
	if err != nil {
		return 0, err
	}
	found, err := versionIn(ctx, s)
	return found, errors.Join(err, s.Close()) //nolint:contextcheck // Close has no context
}

func versionIn(ctx context.Context, s *sqlite.Store) (int64, error) {
	found, err := s.Load(ctx, storetest.FirstDay)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	n := found[storetest.AppID(0)].Daily.Figures.Callbacks
	days := map[datacube.Date]int{}
	err = s.ReadFigures(ctx, func(r *store.FigureReader) error {
		for api := range datacube.APIs {
			for day, err := range r.Figures(storetest.AllOf(api)) {
				if err != nil {
					return err
				}
				want := int64(day.Date - storetest.FirstDay)
				if want == 0 {
					want = n
				}
				days[day.Date]++
				for _, f := range day.Figures {
					if f.Callbacks != want {
						return fmt.Errorf("%v of %s, %v has version %d in a store of version %d", day.Date, day.AppID, api, f.Callbacks, n)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return n, err
	}
	if len(days) != int(n)+1 || days[storetest.FirstDay] != 2*accounts {
		return n, fmt.Errorf("a store of version %d has %d days", n, len(days))
	}
	for day := range datacube.Date(n) {
		if days[storetest.FirstDay+day+1] != accounts {
			return n, fmt.Errorf("a store of version %d has %d accounts on day %d", n, days[storetest.FirstDay+day+1], day+1)
		}
	}
	return n, nil
}
