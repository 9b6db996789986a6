package store

import "syscall"

// access fails if this user has no read and write access to the file. SQLite would silently open
// such a file for reading, and leave files beside it that it cannot delete. The file is not opened
// for the check: closing it would release the POSIX locks that other connections of this process hold.
func access(path string) error {
	const (
		atCwd        = -0x64
		read, write  = 0x4, 0x2
		effectiveIDs = 0x200
	)
	return syscall.Faccessat(atCwd, path, read|write, effectiveIDs)
}
