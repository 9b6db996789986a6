package weixin_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weixin_exporter/internal/files"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// saveSteps are the steps of a successful Save.
var saveSteps = []string{
	files.StepCleanUp, files.StepCreate, files.StepFill, files.StepSync, files.StepClose, files.StepRename, files.StepSyncFolder,
}

const otherRefresh = "sim-token-refresh@@@other"

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// names returns the names of the files in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func TestRefreshTokenFile(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "shop"), "\uFEFF "+firstRefresh+"\r\n\n")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	leftover := write(t, filepath.Join(dir, ".shop.tmp-123"), "half of")
	neighbours := []string{
		write(t, filepath.Join(dir, ".shop2.tmp-123"), "of another file"),
		write(t, filepath.Join(dir, "shop.tmp-123"), "without the dot"),
	}
	if err := os.Mkdir(filepath.Join(dir, ".shop.tmp-folder"), 0o700); err != nil {
		t.Fatal(err)
	}

	var steps []string
	file := weixin.NewRefreshTokenFile(path)
	file.BeforeStep = func(step string) { steps = append(steps, step) }
	if got, err := file.Load(t.Context()); err != nil || !got.Equal(secret.New(firstRefresh)) {
		t.Errorf("the first one: %v", err)
	}
	if err := file.Save(t.Context(), secret.New(firstRefresh), secret.New(otherRefresh)); err != nil {
		t.Fatal(err)
	}
	if got, err := file.Load(t.Context()); err != nil || !got.Equal(secret.New(otherRefresh)) || read(t, path) != otherRefresh+"\n" {
		t.Errorf("the one that was saved: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v; want 0600", info.Mode(), err)
	}
	if !slices.Equal(steps, saveSteps) {
		t.Errorf("steps %q, want %q", steps, saveSteps)
	}
	if _, err := os.Stat(leftover); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a leftover of a crash remains: %v", err)
	}
	for _, neighbour := range neighbours {
		if _, err := os.Stat(neighbour); err != nil {
			t.Errorf("another file was removed: %v", err)
		}
	}
	if got := names(t, dir); len(got) != 4 {
		t.Errorf("the folder has %q", got)
	}
}

func TestRefreshTokenFileBehindLinks(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"config", "state", "state/deep"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	target := write(t, filepath.Join(dir, "state", "shop"), firstRefresh)
	links := map[string]string{
		filepath.Join(dir, "config", "absolute"): target,
		filepath.Join(dir, "config", "relative"): filepath.Join("..", "state", "shop"),
		filepath.Join(dir, "config", "twice"):    "relative",
		filepath.Join(dir, "config", "dangling"): filepath.Join("..", "state", "later"),
		filepath.Join(dir, "folder"):             filepath.Join("state", "deep"),
		filepath.Join(dir, "state/deep/up"):      filepath.Join("..", "shop"),
	}
	for link, to := range links {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"config/absolute", "config/relative", "config/twice", "config/dangling", "folder/up"} {
		path, behind := filepath.Join(dir, name), target
		if name == "config/dangling" {
			behind = filepath.Join(dir, "state", "later")
		}
		text := "sim-token-" + filepath.Base(name)
		file := weixin.NewRefreshTokenFile(path)
		used, _ := file.Load(t.Context()) // there is none behind the dangling link
		if err := file.Save(t.Context(), used, secret.New(text)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 || read(t, behind) != text+"\n" {
			t.Errorf("%s: the link was replaced, or its target was not: %v", name, err)
		}
	}
	if got := names(t, filepath.Join(dir, "config")); len(got) != 4 {
		t.Errorf("the folder of the links has %q", got)
	}
	circle := filepath.Join(dir, "circle")
	if err := os.Symlink("circle", circle); err != nil {
		t.Fatal(err)
	}
	if err := weixin.NewRefreshTokenFile(circle).Save(t.Context(), secret.New(firstRefresh), secret.New(otherRefresh)); err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
		t.Errorf("a loop of links: got %v", err)
	}
}

func TestRefreshTokenFileThatCannotBeLoaded(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ content, says string }{
		"missing": {"", "no such file or directory"},
		"empty":   {"\n", "found an empty text instead of a token"},
		"lines":   {firstRefresh + "\n" + firstRefresh, "found 2 lines of text instead of a token"},
		"object":  {`{"authorizer_refresh_token":"` + firstRefresh + `"}`, "found JSON of another form instead of a token"},
		"large":   {strings.Repeat(firstRefresh, 4000), "file larger than 64 KiB"},
	} {
		path := filepath.Join(dir, name)
		if test.content != "" {
			write(t, path, test.content)
		}
		got, err := weixin.NewRefreshTokenFile(path).Load(t.Context())
		if want := "the file " + path + ": " + test.says; err == nil || err.Error() != want || !got.IsZero() {
			t.Errorf("got  %v\nwant %s", err, want)
			continue
		}
		wantClean(t, err)
	}
}

func TestRefreshTokenFileThatCannotBeSaved(t *testing.T) {
	dir := t.TempDir()
	occupied := filepath.Join(dir, "occupied")
	if err := os.MkdirAll(filepath.Join(occupied, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		occupied:                           "this is a folder; name a file in it",
		filepath.Join(dir, "none", "shop"): "no such file or directory",
	} {
		err := weixin.NewRefreshTokenFile(path).Save(t.Context(), secret.New(firstRefresh), secret.New(otherRefresh))
		if want := "the file " + path + ": " + says; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
			continue
		}
		wantClean(t, err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("a failed Save left %q", got)
	}

	// The folder is removed, with the temporary file, during a Save.
	vanishing := filepath.Join(dir, "vanishing")
	if err := os.Mkdir(vanishing, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{files.StepCreate, files.StepRename, files.StepSyncFolder} {
		if err := os.MkdirAll(vanishing, 0o700); err != nil {
			t.Fatal(err)
		}
		file := weixin.NewRefreshTokenFile(filepath.Join(vanishing, "shop"))
		file.BeforeStep = func(step string) {
			if step == at {
				_ = os.RemoveAll(vanishing)
			}
		}
		if err := file.Save(t.Context(), secret.New(firstRefresh), secret.New(otherRefresh)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder vanishes before %q: got %v", at, err)
		} else {
			wantClean(t, err)
		}
	}
}
