package store

import "syscall"

// access fails where this user may not read and write the file. SQLite would open such a
// file for reading without a word, and leave files beside it that it cannot delete. The
// file is not opened for this: closing it again would take away the POSIX locks that
// other connections of this process hold on it.
func access(path string) error {
	const (
		atCwd        = -0x64
		read, write  = 0x4, 0x2
		effectiveIDs = 0x200
	)
	return syscall.Faccessat(atCwd, path, read|write, effectiveIDs)
}
