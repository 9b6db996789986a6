package weixin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"weixin_exporter/internal/files"
)

const (
	// lockWait bounds how long Lock waits for another process, whose exchange is bounded by the timeouts
	// of its requests.
	lockWait = 20 * time.Second
	// lockInterval is the time between two attempts.
	lockInterval = 50 * time.Millisecond
)

// Lock implements RefreshTokenStore: it locks the file itself against other processes that do the
// same, on systems that have flock. Since Save replaces the file, a lock is only valid as long as the locked
// file is still the one at its path.
func (f *RefreshTokenFile) Lock(ctx context.Context) (context.Context, func(), error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Origin(), files.Cause(err))
	}
	if err := f.tryReplace(); err != nil {
		unlock()
		return nil, nil, fmt.Errorf("%s cannot be replaced: %w", f.Origin(), files.Cause(err))
	}
	return ctx, unlock, nil
}

func (f *RefreshTokenFile) lock(ctx context.Context) (func(), error) {
	limited, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		file, locked, err := lockFile(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return func() {}, nil // Load reports it, and there is nothing that another process could use
		case err != nil:
			return nil, err
		case locked:
			return func() { _ = file.Close() }, nil // it was not written to
		}
		timer := time.NewTimer(lockInterval)
		select {
		case <-timer.C:
		case <-limited.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, &RefreshTokenError{RefreshTokenLocked, errors.New("another process is exchanging the refresh token")}
		}
	}
}

// lockFile opens the file and tries to lock it. It returns false if another process has the lock, or has
// replaced the file meanwhile. It does not open what is not a regular file, since that could block; Load
// refuses such a file, so it needs no lock.
func lockFile(path string) (*os.File, bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, fs.ErrNotExist
	}
	// Some network file systems lock only what is open for writing.
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		file, err = os.Open(path)
	}
	if err != nil {
		return nil, false, err
	}
	locked, err := tryLock(file)
	if err == nil && locked {
		if locked, err = isAt(file, path); locked {
			return file, true, nil
		}
	}
	_ = file.Close()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it is being replaced
	}
	return nil, false, err
}

// isAt reports whether an open file is still the one at path.
func isAt(file *os.File, path string) (bool, error) {
	opened, err := file.Stat()
	if err != nil {
		return false, err
	}
	current, err := os.Stat(path)
	return err == nil && os.SameFile(opened, current), err
}

// tryReplace writes a file beside the one that Save replaces, and removes it: anything that prevents a new
// refresh token from being saved must be known before the old one is used.
func (f *RefreshTokenFile) tryReplace() error {
	temporary, err := files.CreateBeside(f.path)
	if err != nil {
		return err
	}
	_, err = temporary.Write(make([]byte, maxToken))
	return cmp.Or(err, temporary.Close(), os.Remove(temporary.Name()))
}
