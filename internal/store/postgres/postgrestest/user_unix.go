//go:build unix

package postgrestest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// crash is the signal with which the server ends without writing anything.
const crash = syscall.SIGQUIT

// account returns the user and group under whose name the server runs if the tests run as root, whom it refuses:
// those of the user postgres, or, without it, ids that own nothing.
func account() (uid, gid int) { //nolint:nonamedreturns // two of a kind need names
	const unprivileged = 65534
	if found, err := user.Lookup("postgres"); err == nil {
		ownUID, uidErr := strconv.Atoi(found.Uid)
		ownGID, gidErr := strconv.Atoi(found.Gid)
		if uidErr == nil && gidErr == nil {
			return ownUID, ownGID
		}
	}
	return unprivileged, unprivileged
}

// own gives a folder to the user of the server.
func own(folder string) error {
	if os.Getuid() != 0 {
		return nil
	}
	uid, gid := account()
	return os.Chown(folder, uid, gid)
}

// unprivileged makes a command run as the user of the server.
func unprivileged(cmd *exec.Cmd) {
	if os.Getuid() != 0 {
		return
	}
	uid, gid := account()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// Unprivileged makes a command run as the user of the server, who gets some files.
func Unprivileged(cmd *exec.Cmd, files ...string) *exec.Cmd {
	unprivileged(cmd)
	for _, file := range files {
		_ = own(file) // the command fails
	}
	return cmd
}
