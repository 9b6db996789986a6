// Package access finds out what this process may do with a file or folder, without trying it.
package access

import "syscall"

// Write fails where this process may not read and write the file, or list and change the folder.
func Write(path string) error {
	const (
		atCwd        = -0x64
		read, write  = 0x4, 0x2
		effectiveIDs = 0x200
	)
	return syscall.Faccessat(atCwd, path, read|write, effectiveIDs)
}
