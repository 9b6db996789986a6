//go:build !unix || solaris || illumos || aix

package store

import (
	"errors"
	"os"
)

// flock locks nothing on a system without such locks.
func flock(*os.File) error { return errors.ErrUnsupported }
