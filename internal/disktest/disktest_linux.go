// Package disktest gives tests file systems of their own, with which they can do what they like. Only root can make them, on
// Linux.
package disktest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// options are those of mount: what is not synced stays in memory for as long as ext4 can keep it there.
const options = "loop,noauto_da_alloc,commit=600"

// Disk is a mounted file system of 16 MB.
type Disk struct {
	Folder string // where it is mounted
	file   string // its blocks
}

// New makes and mounts a file system. more are options of mkfs.ext4. It skips the test where no process may mount a file: as
// another user than root, and in ordinary containers. Elsewhere what is missing skips the test as well, or fails it if the
// environment variable E2E_REQUIRED is set.
func New(t *testing.T, more ...string) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	loops, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no file can be mounted here, as in containers that are not privileged: %v", err)
	}
	_ = loops.Close() // it was not used
	d := &Disk{Folder: t.TempDir(), file: filepath.Join(t.TempDir(), "disk")}
	if err := errors.Join(os.WriteFile(d.file, nil, 0o600), os.Truncate(d.file, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := try("mkfs.ext4", append(more, "-q", "-F", "-m", "0", "-e", "remount-ro", d.file)...); err != nil {
		missing(t, "no ext4 can be made here: %v: %s", err, out)
	}
	if out, err := try("mount", "-o", options, d.file, d.Folder); err != nil {
		missing(t, "no file can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { run(t, "umount", "--lazy", d.Folder) })
	return d
}

// missing skips a test for which something is missing, or fails it if E2E_REQUIRED is set.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("E2E_REQUIRED") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// try runs a program and returns its output. It has no context, since that of a test has ended when the test cleans up.
func try(program string, args ...string) (string, error) {
	out, err := exec.Command(program, args...).CombinedOutput() //nolint:gosec,noctx // only tests decide what is run
	return strings.TrimSpace(string(out)), err
}

// run runs a program that must succeed, and returns its output.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := try(program, args...)
	if err != nil {
		t.Errorf("%s %q: %v: %s", program, args, err, out)
	}
	return out
}

// unmount unmounts a folder. It tries again, since any process that looks at all mounts, such as df or another mount, keeps
// one busy for a moment.
func unmount(t *testing.T, folder string) {
	t.Helper()
	var out string
	var err error
	for range 1000 {
		if out, err = try("umount", folder); err == nil {
			return
		}
	}
	t.Errorf("umount %s: %v: %s", folder, err, out)
}

// Sync writes what is in memory to the disk.
func (d *Disk) Sync(t *testing.T) {
	t.Helper()
	run(t, "sync", "--file-system", d.Folder)
}

// Freeze lets each write to the disk wait until the returned function is called, or the test has ended.
func (d *Disk) Freeze(t *testing.T) func() {
	t.Helper()
	run(t, "fsfreeze", "--freeze", d.Folder)
	frozen := true
	thaw := func() {
		if frozen {
			run(t, "fsfreeze", "--unfreeze", d.Folder)
			frozen = false
		}
	}
	t.Cleanup(thaw)
	return thaw
}

// BreakDown makes the file system read-only, as an error in its structure does, until Remount.
func (d *Disk) BreakDown(t *testing.T) {
	t.Helper()
	device := filepath.Base(run(t, "findmnt", "--noheadings", "--output=SOURCE", d.Folder))
	if err := os.WriteFile(filepath.Join("/sys/fs/ext4", device, "trigger_fs_error"), []byte("test"), 0o200); err != nil {
		missing(t, "this kernel reports no error of a file system on request: %v", err)
	}
}

// MakeReadOnly asks Linux to make the file system read-only, which it refuses while a file is open for writing.
func (d *Disk) MakeReadOnly() error {
	if out, err := try("mount", "-o", "remount,ro", d.Folder); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Remount unmounts the file system and mounts it again.
func (d *Disk) Remount(t *testing.T) {
	t.Helper()
	unmount(t, d.Folder)
	run(t, "mount", "-o", options, d.file, d.Folder)
}

// LosePower calls look with a folder as a loss of power at this moment would leave the disk: what has not been synced is
// probably not there. The disk itself stays as it is.
func (d *Disk) LosePower(t *testing.T, look func(folder string)) {
	t.Helper()
	blocks, folder := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	run(t, "cp", "--sparse=always", d.file, blocks)
	run(t, "mount", "-o", "loop", blocks, folder)
	defer func() {
		unmount(t, folder)
		if err := os.Remove(blocks); err != nil {
			t.Error(err)
		}
	}()
	look(folder)
}
