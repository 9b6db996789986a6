//go:build !unix

package store

import "os"

// fileID is not available on this system.
func fileID(os.FileInfo) string { return "none" }
