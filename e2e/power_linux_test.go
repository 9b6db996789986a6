package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestLossOfPowerAfterACommand: what `export` and `store backup` have written when they end survives a loss of power, whether
// there was a file before or not. What is left by one while they write is tested in internal/files, by which both replace files.
func TestLossOfPowerAfterACommand(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	w := newFixture(t, newAccount("shop", 1, 9000))
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	x.stop(t, syscall.SIGTERM)
	for name, args := range map[string][]string{
		"export": {"export", "--format=csv", "--output"}, "backup": {"store", "backup"},
	} {
		for name, replaces := range map[string]bool{name + "-first": false, name + "-again": true} {
			path := filepath.Join(d.Folder, name)
			if replaces {
				if err := os.WriteFile(path, []byte("old content"), 0o600); err != nil {
					t.Fatal(err)
				}
				d.Sync(t)
			}
			got := finish(t, nil, append(append([]string{"--config.file=" + w.config}, args...), path)...)
			want, err := os.ReadFile(path)
			if got.code != 0 || err != nil || len(want) < 1000 {
				t.Fatalf("%s ended with code %d and %d bytes: %v %s", name, got.code, len(want), err, mask(got.stderr))
			}
			d.LosePower(t, func(folder string) {
				left, err := os.ReadFile(filepath.Join(folder, name))
				if err != nil || !bytes.Equal(left, want) {
					t.Errorf("%s: a loss of power leaves %d bytes of %d: %v", name, len(left), len(want), err)
				}
			})
		}
	}
}
