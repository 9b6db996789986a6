//go:build unix

package sqlite

import (
	"os"
	"strconv"
	"syscall"
)

// fileID returns the inode number of a file, or "none" if it is not available.
func fileID(info os.FileInfo) string {
	if info == nil {
		return "none"
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(uint64(stat.Ino), 10) //nolint:unconvert // other systems have other types
	}
	return "none"
}
