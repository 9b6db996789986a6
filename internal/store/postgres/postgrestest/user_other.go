//go:build !unix

package postgrestest

import (
	"os"
	"os/exec"
)

// crash is the signal with which the server ends without writing anything.
var crash = os.Kill

func own(string) error { return nil }

func unprivileged(*exec.Cmd) {}

// Unprivileged makes a command run as the user of the server, who gets some files.
func Unprivileged(cmd *exec.Cmd, _ ...string) *exec.Cmd { return cmd }
