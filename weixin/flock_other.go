//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package weixin

import "os"

// tryLock does nothing: this system has no lock under which a file can be replaced. Within the process, the
// authorizer makes one exchange of a refresh token at a time.
func tryLock(*os.File) (bool, error) { return true, nil }
