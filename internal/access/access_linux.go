// Package access checks what this process may do with a file or folder, without doing it.
package access

import "syscall"

// Write returns an error if this process may not read and write the file, or list and change the folder. The
// error does not name the path.
func Write(path string) error {
	const (
		atCwd        = -0x64
		read, write  = 0x4, 0x2
		effectiveIDs = 0x200
	)
	return syscall.Faccessat(atCwd, path, read|write, effectiveIDs)
}
