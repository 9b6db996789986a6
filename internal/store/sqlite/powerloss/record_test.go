//go:build linux && (amd64 || arm64)

package powerloss_test

import (
	"slices"
	"sync"

	"weixin_exporter/internal/store/sqlite/vfstest"
)

// recorder records what SQLite has done to the files in a folder.
type recorder struct {
	vfs *vfstest.VFS

	mu  sync.Mutex
	log []vfstest.Operation
}

// record begins a new record, of the files in a folder; "" records nothing.
func (r *recorder) record(folder string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = nil
	r.vfs.Watch(folder, vfstest.Watcher{After: r.note})
}

func (r *recorder) note(o vfstest.Operation) {
	if o.Kind == vfstest.Read {
		return
	}
	o.Data = slices.Clone(o.Data)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, o)
}

// operations returns what was recorded.
func (r *recorder) operations() []vfstest.Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// length returns the number of operations so far.
func (r *recorder) length() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log)
}
