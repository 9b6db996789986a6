//go:build !unix

package sqlite

import "os"

// fileID is not available on this system.
func fileID(os.FileInfo) string { return "none" }
