//go:build linux && (amd64 || arm64)

// Package vfstest lets a test watch and hold what SQLite does to its files: it makes itself the VFS of the process and
// hands everything on to the VFS of the platform.
package vfstest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Kind is what is done to a file.
type Kind int

// What SQLite does to files.
const (
	Read Kind = iota
	Write
	Truncate
	Sync
	Delete
)

// Operation is what SQLite does to a file.
type Operation struct {
	Kind   Kind
	Path   string
	Offset int64  // of a Write
	Data   []byte // of a Write; it belongs to SQLite, and is valid until the function returns that is called with it
	Size   int64  // of a file after Truncate
}

// Watcher is called for each operation, by the goroutine that waits for it: Before when the operation is to begin, After
// when it has succeeded. Either may be nil.
type Watcher struct{ Before, After func(Operation) }

// VFS is SQLite's VFS of this platform, which calls a Watcher for the files in one folder.
type VFS struct {
	own      *sqlite3.Tsqlite3_vfs // in memory of libc; the original with other functions
	original sqlite3.Tsqlite3_vfs

	mu      sync.Mutex
	folder  string // "": none
	watcher Watcher
	files   map[uintptr]string                       // the paths of watched files, by their sqlite3_file
	methods map[uintptr]uintptr                      // own ones, by the original ones
	unix    map[uintptr]*sqlite3.Tsqlite3_io_methods // original ones, by the own ones

	// The functions are referred to by memory that the garbage collector does not see.
	open     func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	remove   func(*libc.TLS, uintptr, uintptr, int32) int32
	close    func(*libc.TLS, uintptr) int32
	read     func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	write    func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	truncate func(*libc.TLS, uintptr, int64) int32
	sync     func(*libc.TLS, uintptr, int32) int32
}

// function returns the function in a field of a structure of SQLite.
func function[F any](field *uintptr) *F { return (*F)(unsafe.Pointer(field)) }

// Install makes a VFS that of this process, for the rest of its life.
func Install() (*VFS, error) {
	tls := libc.NewTLS()
	found := sqlite3.Xsqlite3_vfs_find(tls, 0)
	if found == 0 {
		return nil, errors.New("SQLite has no VFS")
	}
	v := &VFS{files: map[uintptr]string{}, methods: map[uintptr]uintptr{}, unix: map[uintptr]*sqlite3.Tsqlite3_io_methods{}}
	v.original = *(*sqlite3.Tsqlite3_vfs)(memory(found))
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(v.original)))
	name, err := libc.CString("vfstest")
	if err != nil || own == 0 {
		return nil, errors.Join(errors.New("no memory"), err)
	}
	v.own = (*sqlite3.Tsqlite3_vfs)(memory(own))
	*v.own = v.original
	v.own.FzName, v.own.FpNext = name, 0
	v.open, v.remove, v.close = v.xOpen, v.xDelete, v.xClose
	v.read, v.write, v.truncate, v.sync = v.xRead, v.xWrite, v.xTruncate, v.xSync
	*function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](&v.own.FxOpen) = v.open
	*function[func(*libc.TLS, uintptr, uintptr, int32) int32](&v.own.FxDelete) = v.remove
	if code := sqlite3.Xsqlite3_vfs_register(tls, own, 1); code != sqlite3.SQLITE_OK {
		return nil, fmt.Errorf("registering the VFS: %d", code)
	}
	return v, nil
}

// memory returns memory of libc, which the garbage collector does not move.
func memory(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// Watch calls w for the operations on files that are opened or deleted in a folder from now on, instead of the former
// Watcher; the folder "" ends that. Files that are open already go on to be watched.
func (v *VFS) Watch(folder string, w Watcher) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.folder, v.watcher = folder, w
}

// do calls work for an operation, between the functions of the Watcher if the file is watched.
func (v *VFS) do(path string, watched bool, o Operation, work func() int32) int32 {
	v.mu.Lock()
	w := v.watcher
	v.mu.Unlock()
	o.Path = path
	if watched && w.Before != nil {
		w.Before(o)
	}
	code := work()
	if watched && w.After != nil && code == sqlite3.SQLITE_OK {
		w.After(o)
	}
	return code
}

// of returns the original methods of an open file, and whether it is watched.
func (v *VFS) of(file uintptr) (methods *sqlite3.Tsqlite3_io_methods, path string, watched bool) { //nolint:nonamedreturns // three of a kind
	v.mu.Lock()
	defer v.mu.Unlock()
	path, watched = v.files[file]
	return v.unix[(*sqlite3.Tsqlite3_file)(memory(file)).FpMethods], path, watched
}

func (v *VFS) xOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	code := (*function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](&v.original.FxOpen))(tls, vfs, name, file, flags, out)
	if code != sqlite3.SQLITE_OK || name == 0 {
		return code
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if path := libc.GoString(name); v.folder != "" && strings.HasPrefix(path, v.folder) {
		v.files[file] = path
	}
	opened := (*sqlite3.Tsqlite3_file)(memory(file))
	opened.FpMethods = v.watching(tls, opened.FpMethods)
	return code
}

// watching returns the methods of a file with own ones in their place.
func (v *VFS) watching(tls *libc.TLS, original uintptr) uintptr {
	if own, ok := v.methods[original]; ok {
		return own
	}
	methods := (*sqlite3.Tsqlite3_io_methods)(memory(original))
	own := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(*methods)))
	watching := (*sqlite3.Tsqlite3_io_methods)(memory(own))
	*watching = *methods
	*function[func(*libc.TLS, uintptr) int32](&watching.FxClose) = v.close
	*function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](&watching.FxRead) = v.read
	*function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](&watching.FxWrite) = v.write
	*function[func(*libc.TLS, uintptr, int64) int32](&watching.FxTruncate) = v.truncate
	*function[func(*libc.TLS, uintptr, int32) int32](&watching.FxSync) = v.sync
	v.methods[original], v.unix[own] = own, methods
	return own
}

func (v *VFS) xDelete(tls *libc.TLS, vfs, name uintptr, syncFolder int32) int32 {
	path := libc.GoString(name)
	v.mu.Lock()
	watched := v.folder != "" && strings.HasPrefix(path, v.folder)
	v.mu.Unlock()
	return v.do(path, watched, Operation{Kind: Delete}, func() int32 {
		return (*function[func(*libc.TLS, uintptr, uintptr, int32) int32](&v.original.FxDelete))(tls, vfs, name, syncFolder)
	})
}

func (v *VFS) xClose(tls *libc.TLS, file uintptr) int32 {
	methods, _, _ := v.of(file)
	v.mu.Lock()
	delete(v.files, file)
	v.mu.Unlock()
	return (*function[func(*libc.TLS, uintptr) int32](&methods.FxClose))(tls, file)
}

func (v *VFS) xRead(tls *libc.TLS, file, data uintptr, length int32, offset int64) int32 {
	methods, path, watched := v.of(file)
	return v.do(path, watched, Operation{Kind: Read, Offset: offset}, func() int32 {
		return (*function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](&methods.FxRead))(tls, file, data, length, offset)
	})
}

func (v *VFS) xWrite(tls *libc.TLS, file, data uintptr, length int32, offset int64) int32 {
	methods, path, watched := v.of(file)
	return v.do(path, watched, Operation{Kind: Write, Offset: offset, Data: unsafe.Slice((*byte)(memory(data)), length)}, func() int32 {
		return (*function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](&methods.FxWrite))(tls, file, data, length, offset)
	})
}

func (v *VFS) xTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	methods, path, watched := v.of(file)
	return v.do(path, watched, Operation{Kind: Truncate, Size: size}, func() int32 {
		return (*function[func(*libc.TLS, uintptr, int64) int32](&methods.FxTruncate))(tls, file, size)
	})
}

func (v *VFS) xSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	methods, path, watched := v.of(file)
	return v.do(path, watched, Operation{Kind: Sync}, func() int32 {
		return (*function[func(*libc.TLS, uintptr, int32) int32](&methods.FxSync))(tls, file, flags)
	})
}
