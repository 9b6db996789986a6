package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/seal"
)

// keyOf returns a key whose bytes are all the same.
func keyOf(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func text(b byte) string { return base64.StdEncoding.EncodeToString(keyOf(b)) }

// read returns the keys of a file with this content.
func read(tb testing.TB, content string) (*seal.Keys, error) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	return seal.ReadFile(path)
}

func mustRead(tb testing.TB, content string) *seal.Keys {
	tb.Helper()
	k, err := read(tb, content)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestSeal(t *testing.T) {
	t.Parallel()
	k := mustRead(t, text(1)+"\n")
	const token = "sim-token-sealed"
	sealed := k.Seal([]byte(token), "access", "wx1")
	if bytes.Contains(sealed, []byte(token)) || bytes.Equal(sealed, k.Seal([]byte(token), "access", "wx1")) {
		t.Errorf("sealed as %x, or twice in the same way", sealed)
	}
	got, current, err := k.Open(sealed, "access", "wx1")
	if err != nil || !current || string(got) != token {
		t.Errorf("opened %t, %v", current, err)
	}
	for _, other := range [][2]string{{"refresh", "wx1"}, {"access", "wx2"}, {"accessw", "x1"}, {"acces", "swx1"}, {"", "accesswx1"}} {
		if _, _, err := k.Open(sealed, other[0], other[1]); !isDamaged(err) {
			t.Errorf("opened for %q: %v", other, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x40
		if _, _, err := k.Open(changed, "access", "wx1"); err == nil {
			t.Errorf("opened although byte %d was changed", i)
		}
	}
	for _, short := range [][]byte{nil, sealed[:1], sealed[:9], sealed[:len(sealed)-1]} {
		if _, _, err := k.Open(short, "access", "wx1"); !isDamaged(err) {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
}

func isDamaged(err error) bool {
	_, ok := errors.AsType[*seal.DamagedError](err)
	return ok
}

// TestRotation: the first key seals, and all of them open.
func TestRotation(t *testing.T) {
	t.Parallel()
	before := mustRead(t, text(1))
	during := mustRead(t, text(2)+"\n"+text(1))
	after := mustRead(t, text(2))
	old := before.Seal([]byte("x"), "p", "n")
	if got, current, err := during.Open(old, "p", "n"); err != nil || current || string(got) != "x" {
		t.Errorf("%q, %t, %v", got, current, err)
	}
	again := during.Seal([]byte("x"), "p", "n")
	if got, current, err := after.Open(again, "p", "n"); err != nil || !current || string(got) != "x" {
		t.Errorf("%q, %t, %v", got, current, err)
	}
	_, _, err := after.Open(old, "p", "n")
	unknown, ok := errors.AsType[*seal.UnknownKeyError](err)
	if !ok || filepath.Base(unknown.File) != "keys" || !strings.Contains(err.Error(), unknown.File+"; add that key to the file") {
		t.Errorf("with another key: %v", err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	sealed := mustRead(t, text(7)).Seal([]byte("x"), "p", "n")
	raw := base64.RawURLEncoding.EncodeToString(keyOf(7))
	for name, content := range map[string]string{
		"hex": hex.EncodeToString(keyOf(7)), "upper case": strings.ToUpper(hex.EncodeToString(keyOf(7))),
		"without padding": raw, "Windows": "\uFEFF\r\n" + text(7) + "\r\n\r\n" + text(8) + "\r\n", "spaces": "  " + text(7) + "\t\n\n",
	} {
		if _, _, err := mustRead(t, content).Open(sealed, "p", "n"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, test := range []struct {
		content string
		fault   seal.Fault
		line    int
	}{
		{"", seal.Empty, 0},
		{" \n\n", seal.Empty, 0},
		{"sim-secret-key", seal.NotAKey, 1},
		{text(1) + "\n\nsim-secret-key", seal.NotAKey, 3},
		{text(1)[:40], seal.NotAKey, 1},
		{text(1) + text(2), seal.NotAKey, 1},
		{text(1) + "\n" + hex.EncodeToString(keyOf(1)), seal.Repeated, 2},
	} {
		_, err := read(t, test.content)
		wrong, ok := errors.AsType[*seal.FileError](err)
		if !ok || wrong.Fault != test.fault || wrong.Line != test.line || !strings.Contains(err.Error(), wrong.File) {
			t.Errorf("%d bytes: %v", len(test.content), err)
			continue
		}
		for line := range strings.Lines(test.content) {
			if line = strings.TrimSpace(line); line != "" && strings.Contains(err.Error(), line) {
				t.Errorf("the error shows the content: %v", err)
			}
		}
	}
	if _, err := seal.ReadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if !seal.IsKey(text(1)) || seal.IsKey("secrets/seal") {
		t.Error("a key and a path are not told apart")
	}
}

func TestKeysAreNotShown(t *testing.T) {
	t.Parallel()
	k := mustRead(t, text(1)+"\n"+text(2))
	holder := struct{ Keys *seal.Keys }{k}
	for _, shown := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, k), fmt.Sprintf("%+v", holder)} {
		if strings.Contains(strings.ReplaceAll(shown, "2 sealing keys", ""), "[") {
			t.Errorf("shown as %s", shown)
		}
	}
}

// FuzzOpen: nothing but what was sealed is opened, and nothing makes Open fail in another way than by an error.
func FuzzOpen(f *testing.F) {
	k := mustRead(f, text(1)+"\n"+text(2))
	good := k.Seal([]byte("value"), "purpose", "name")
	f.Add(good, "purpose", "name")
	f.Add(good[:12], "purpose", "name")
	f.Add([]byte{1}, "", "")
	f.Fuzz(func(t *testing.T, sealed []byte, purpose, name string) {
		value, _, err := k.Open(sealed, purpose, name)
		// The nonce is random, so each process of the fuzzing has sealed the value in another way.
		if err == nil && (string(value) != "value" || purpose != "purpose" || name != "name") || err != nil && value != nil {
			t.Errorf("opened %q for %q and %q: %v", value, purpose, name, err)
		}
		if err != nil && bytes.Equal(sealed, good) && purpose == "purpose" && name == "name" {
			t.Errorf("not opened: %v", err)
		}
	})
}
