//go:build !unix

package store

import "os"

// fileID is not known on this system.
func fileID(os.FileInfo) string { return "none" }
