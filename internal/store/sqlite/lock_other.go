//go:build !unix || solaris || illumos || aix

package sqlite

import (
	"errors"
	"os"
)

// flock fails on systems without such locks.
func flock(*os.File) error { return errors.ErrUnsupported }
