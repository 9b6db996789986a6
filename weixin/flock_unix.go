//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package weixin

import (
	"errors"
	"os"
	"syscall"
)

// tryLock tries to lock an open file against other processes until it is closed, and reports whether it has
// succeeded. On a file system without locks it reports success: there is nothing to wait for.
func tryLock(file *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK):
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case errors.Is(err, syscall.EINTR):
		default:
			return false, os.NewSyscallError("flock", err)
		}
	}
}
