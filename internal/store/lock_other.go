//go:build !unix || solaris || illumos || aix

package store

import (
	"errors"
	"os"
)

// flock fails on systems without such locks.
func flock(*os.File) error { return errors.ErrUnsupported }
