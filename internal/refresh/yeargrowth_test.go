package refresh_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"

	"weixin_exporter/internal/racetest"
	"weixin_exporter/internal/store/sqlite"
	"weixin_exporter/weixin/datacube"
)

// resources are what a process uses.
type resources struct {
	heap                    int64
	goroutines, descriptors int
}

func used(t *testing.T) resources {
	t.Helper()
	runtime.GC()
	runtime.GC() // what the first one has only marked for finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("the descriptors of a process are known only on Linux")
	}
	return resources{heap: int64(m.HeapAlloc), goroutines: runtime.NumGoroutine(), descriptors: len(files)}
}

// end ends the process and returns what it used. What the simulator, the judge and other tests use is there before and after.
func (y *year) end() resources {
	synctest.Wait()
	before := used(y.t)
	y.stop()
	y.runner, y.db, y.config.Accounts, y.stop = nil, nil, nil, func() {}
	y.clock.Store(nil)
	y.trustedNow, y.open = nil, nil
	after := used(y.t)
	return resources{before.heap - after.heap, before.goroutines - after.goroutines, before.descriptors - after.descriptors}
}

// TestYearDoesNotGrow: an exporter that has lived through months of faults without a restart uses no more memory, goroutines
// and descriptors than one that has just been started with the same store, and the file has the size of pages of a
// B-tree with its rows. It runs alone, since it measures the whole process.
func TestYearDoesNotGrow(t *testing.T) { //nolint:paralleltest // see above
	synctest.Test(t, func(t *testing.T) {
		n, long := 5, datacube.Date(5*phase) // its last month is without faults
		if racetest.Enabled() {
			n, long = 1, phase
		}
		y := newYear(t, 1, n, mostRounds, inFile)
		y.steady = true
		const retention = yearHistory + 20 // so that days are pruned
		y.config.RetentionDays, y.judge.retention = retention, retention
		trustedNow, open := y.trustedNow, y.open
		y.begin()
		first := datacube.DateOf(y.trueNow())
		for round := range long {
			today := first + round
			y.pass(y.troubles(int(round), today))
			y.until(today.End())
		}
		lived := y.end()
		y.trustedNow, y.open = trustedNow, open
		y.begin()
		y.until((first + long + 1).Start())
		fresh := y.end()

		const someHeap = 512 << 10 // buffers of the driver and of the client
		if lived.heap > 3*fresh.heap/2+someHeap {
			t.Errorf("%d bytes of heap after %d days, %d after one", lived.heap, long, fresh.heap)
		}
		if lived.goroutines > fresh.goroutines+2 || lived.descriptors > fresh.descriptors+2 {
			t.Errorf("%d goroutines and %d descriptors after %d days, %d and %d after one",
				lived.goroutines, lived.descriptors, long, fresh.goroutines, fresh.descriptors)
		}
		size, compact := y.sizes()
		const free = 64 << 10 // pages that a change left and the next one takes
		// While the clock was a year behind, the store had the history of that time as well.
		most := compact * (retention + yearHistory) / retention
		if size > 2*most+free { // pages of a B-tree are at least half full
			t.Errorf("the file has %d bytes, its rows take %d", size, compact)
		}
		t.Logf("after %d days: %d bytes of heap, %d goroutines, %d descriptors; after one: %d, %d, %d; file: %d bytes, compacted: %d", long,
			lived.heap, lived.goroutines, lived.descriptors, fresh.heap, fresh.goroutines, fresh.descriptors, size, compact)
	})
}

// sizes returns the size of the file of the store, and of a copy without free pages.
func (y *year) sizes() (int64, int64) {
	path := filepath.Join(y.t.TempDir(), "copy.db")
	db, err := sqlite.OpenReadOnly(y.t.Context(), y.path, sqlite.Options{})
	if err == nil {
		err = errors.Join(db.Backup(y.t.Context(), path), db.Close())
	}
	if err != nil {
		y.t.Fatal(err)
	}
	var sizes [2]int64
	for i, p := range []string{y.path, path} {
		info, err := os.Stat(p)
		if err != nil {
			y.t.Fatal(err)
		}
		sizes[i] = info.Size()
	}
	return sizes[0], sizes[1]
}
