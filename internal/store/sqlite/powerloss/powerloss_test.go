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

	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/sqlite/vfstest"
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

// sector is what a disk writes whole.
const sector = 512

// history is what a store did and told, and after how many operations.
type history struct {
	folder     string
	operations []vfstest.Operation
	done       []int    // the number of operations when each step had returned; of the first, when the new file was open
	views      []string // what the store then told
}

// work lets a store take all steps.
func work(t *testing.T) history {
	t.Helper()
	h := history{folder: t.TempDir()}
	suite.recorder.record(h.folder)
	path := filepath.Join(h.folder, "store.db")
	s := opened(t, path)
	note := func() {
		told, err := view(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(h.views); n > 0 && told == h.views[n-1] {
			t.Fatalf("step %d changes nothing", n)
		}
		h.views = append(h.views, told)
	}
	h.done = append(h.done, suite.recorder.length())
	note()
	for n := 1; n <= steps; n++ {
		if n%reopenEvery == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if n/reopenEvery%2 == 0 {
				downgrade(t, path)
			}
			s = opened(t, path)
		}
		if err := step(t.Context(), s, n); err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		h.done = append(h.done, suite.recorder.length())
		note()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h.operations = suite.recorder.operations()
	suite.recorder.record("")
	return h
}

func opened(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// acknowledged returns the last step that had returned after so many operations; 0: none.
func (h *history) acknowledged(operations int) int {
	last := 0
	for n, at := range h.done {
		if at <= operations {
			last = n
		}
	}
	return last
}

// moment returns after how many operations the power fails. Each step is as likely as the others, however many operations
// it has.
func (h *history) moment(random *rand.Rand) int {
	from, to := 0, len(h.operations)
	n := random.IntN(len(h.done) + 1)
	if n > 0 {
		from = h.done[n-1]
	}
	if n < len(h.done) {
		to = h.done[n]
	}
	return from + random.IntN(to-from+1)
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

// TestPowerLoss: after a loss of power the store opens, has all that the methods that write had acknowledged, and of the one that
// was under way all or nothing: figures, marks of what was sent and is to be sent again, holds, the recorded time, what was
// removed, and all of it after a migration. POWER_ROUNDS is how often the power fails, and POWER_SEED when, and what is left.
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
		operations := h.moment(random)
		disk := h.after(operations, random)
		told, err := open(t.Context(), t.TempDir(), disk)
		last := h.acknowledged(operations)
		switch {
		case err != nil:
			t.Errorf("round %d, after %d operations of %d: %v", round, operations, len(h.operations), err)
		case told != h.views[last] && told != h.views[min(last+1, steps)]:
			lost++
			t.Errorf("round %d, after %d operations of %d: after step %d the store tells\n%s\ninstead of\n%s", round, operations, len(h.operations), last,
				difference(told, h.views[last]), difference(h.views[last], told))
		}
	}
	t.Logf("%d operations with %d syncs for %d steps; the power failed %d times, and %d times something was lost", len(h.operations), syncs, steps, rounds, lost)
}

// open opens the store that a disk has in another folder, and returns what it tells.
func open(ctx context.Context, folder string, disk map[string][]byte) (string, error) {
	for path, content := range disk {
		if strings.HasSuffix(path, "-shm") {
			continue // SQLite makes it again
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(path)), content, 0o600); err != nil {
			return "", err
		}
	}
	s, err := sqlite.Open(ctx, filepath.Join(folder, "store.db"), sqlite.Options{})
	if err != nil {
		return "", err
	}
	told, err := view(ctx, s)
	return told, errors.Join(err, s.Close()) //nolint:contextcheck // Close has no context
}
