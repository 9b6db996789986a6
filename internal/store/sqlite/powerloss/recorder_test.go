//go:build linux && (amd64 || arm64)

package powerloss_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// operation is what SQLite did to a file.
type operation struct {
	kind   kind
	path   string
	offset int64  // of a write
	data   []byte // that was written
	size   int64  // of a file after it was truncated
}

type kind int

const (
	wrote kind = iota
	truncated
	synced
	deleted
)

// recorder is SQLite's VFS of this platform, which also records what is done to the files in one folder.
type recorder struct {
	vfs      *sqlite3.Tsqlite3_vfs // in memory of libc; the original with other functions
	original sqlite3.Tsqlite3_vfs

	mu      sync.Mutex
	folder  string                                   // "" records nothing
	files   map[uintptr]string                       // the paths of recorded files, by their sqlite3_file
	methods map[uintptr]uintptr                      // recording ones, by the original ones
	unix    map[uintptr]*sqlite3.Tsqlite3_io_methods // original ones, by the recording ones
	log     []operation

	// The functions are referred to by memory that the garbage collector does not see.
	open     func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	remove   func(*libc.TLS, uintptr, uintptr, int32) int32
	close    func(*libc.TLS, uintptr) int32
	write    func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	truncate func(*libc.TLS, uintptr, int64) int32
	sync     func(*libc.TLS, uintptr, int32) int32
}

// function returns the function in a field of a structure of SQLite.
func function[F any](field *uintptr) *F { return (*F)(unsafe.Pointer(field)) }

// install makes a recorder the VFS of this process. It must not be freed.
func install() (*recorder, error) {
	tls := libc.NewTLS()
	found := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if found == 0 {
		return nil, errors.New("SQLite has no VFS")
	}
	r := &recorder{files: map[uintptr]string{}, methods: map[uintptr]uintptr{}, unix: map[uintptr]*sqlite3.Tsqlite3_io_methods{}}
	r.original = *(*sqlite3.Tsqlite3_vfs)(memory(found))
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(r.original)))
	name, err := libc.CString("recorder")
	if err != nil || own == 0 {
		return nil, errors.Join(errors.New("no memory"), err)
	}
	r.vfs = (*sqlite3.Tsqlite3_vfs)(memory(own))
	*r.vfs = r.original
	r.vfs.FzName, r.vfs.FpNext = name, 0
	r.open, r.remove = r.xOpen, r.xDelete
	r.close, r.write, r.truncate, r.sync = r.xClose, r.xWrite, r.xTruncate, r.xSync
	*function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](&r.vfs.FxOpen) = r.open
	*function[func(*libc.TLS, uintptr, uintptr, int32) int32](&r.vfs.FxDelete) = r.remove
	if code := sqlite3.Xsqlite3_vfs_register(tls, own, 1); code != sqlite3.SQLITE_OK {
		return nil, fmt.Errorf("registering the VFS: %d", code)
	}
	return r, nil
}

// memory returns memory of libc, which the garbage collector does not move.
func memory(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// record begins a new record, of the files in a folder.
func (r *recorder) record(folder string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.folder, r.log = folder, nil
}

// operations returns what was recorded.
func (r *recorder) operations() []operation {
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

// note records an operation on an open file.
func (r *recorder) note(file uintptr, o operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if path, recorded := r.files[file]; recorded {
		o.path = path
		r.log = append(r.log, o)
	}
}

func (r *recorder) xOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	code := (*function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](&r.original.FxOpen))(tls, vfs, name, file, flags, out)
	if code != sqlite3.SQLITE_OK || name == 0 {
		return code
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if path := libc.GoString(name); r.folder != "" && strings.HasPrefix(path, r.folder) {
		r.files[file] = path
	}
	opened := (*sqlite3.Tsqlite3_file)(memory(file))
	opened.FpMethods = r.recording(tls, opened.FpMethods)
	return code
}

// recording returns the methods of a file with recording ones in their place.
func (r *recorder) recording(tls *libc.TLS, original uintptr) uintptr {
	if own, ok := r.methods[original]; ok {
		return own
	}
	methods := (*sqlite3.Tsqlite3_io_methods)(memory(original))
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(*methods)))
	recording := (*sqlite3.Tsqlite3_io_methods)(memory(own))
	*recording = *methods
	*function[func(*libc.TLS, uintptr) int32](&recording.FxClose) = r.close
	*function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](&recording.FxWrite) = r.write
	*function[func(*libc.TLS, uintptr, int64) int32](&recording.FxTruncate) = r.truncate
	*function[func(*libc.TLS, uintptr, int32) int32](&recording.FxSync) = r.sync
	r.methods[original], r.unix[own] = own, methods
	return own
}

func (r *recorder) xDelete(tls *libc.TLS, vfs, name uintptr, syncFolder int32) int32 {
	code := (*function[func(*libc.TLS, uintptr, uintptr, int32) int32](&r.original.FxDelete))(tls, vfs, name, syncFolder)
	r.mu.Lock()
	defer r.mu.Unlock()
	if path := libc.GoString(name); code == sqlite3.SQLITE_OK && r.folder != "" && strings.HasPrefix(path, r.folder) {
		r.log = append(r.log, operation{kind: deleted, path: path})
	}
	return code
}

// of returns the original methods of a file.
func (r *recorder) of(file uintptr) *sqlite3.Tsqlite3_io_methods {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unix[(*sqlite3.Tsqlite3_file)(memory(file)).FpMethods]
}

func (r *recorder) xClose(tls *libc.TLS, file uintptr) int32 {
	methods := r.of(file)
	r.mu.Lock()
	delete(r.files, file)
	r.mu.Unlock()
	return (*function[func(*libc.TLS, uintptr) int32](&methods.FxClose))(tls, file)
}

func (r *recorder) xWrite(tls *libc.TLS, file, data uintptr, length int32, offset int64) int32 {
	code := (*function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](&r.of(file).FxWrite))(tls, file, data, length, offset)
	if code == sqlite3.SQLITE_OK {
		r.note(file, operation{kind: wrote, offset: offset, data: slices.Clone(unsafe.Slice((*byte)(memory(data)), length))})
	}
	return code
}

func (r *recorder) xTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	code := (*function[func(*libc.TLS, uintptr, int64) int32](&r.of(file).FxTruncate))(tls, file, size)
	if code == sqlite3.SQLITE_OK {
		r.note(file, operation{kind: truncated, size: size})
	}
	return code
}

func (r *recorder) xSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	code := (*function[func(*libc.TLS, uintptr, int32) int32](&r.of(file).FxSync))(tls, file, flags)
	if code == sqlite3.SQLITE_OK {
		r.note(file, operation{kind: synced})
	}
	return code
}
