//go:build unix

package store

import (
	"os"
	"strconv"
	"syscall"
)

// fileID is the number of a file on its disk; "none" where that is not known.
func fileID(info os.FileInfo) string {
	if info == nil {
		return "none"
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(uint64(stat.Ino), 10) //nolint:unconvert // other systems have other types
	}
	return "none"
}
