package weixin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"weixin_exporter/internal/files"
	"weixin_exporter/weixin/secret"
)

// The steps of RefreshTokenFile.Save, in their order.
const (
	StepClean      = "remove leftovers"
	StepCreate     = "create"
	StepWrite      = "write"
	StepSync       = "sync"
	StepClose      = "close"
	StepRename     = "rename"
	StepSyncFolder = "sync folder"
)

// maxLinks bounds how many symbolic links are followed, as the system does.
const maxLinks = 40

// RefreshTokenFile is a RefreshTokenStore in a file. It is safe for concurrent use; other processes may
// replace the file while they hold its Lock.
type RefreshTokenFile struct {
	// BeforeStep is called before each step of Save, so that a test can end the process there. Nil in
	// production.
	BeforeStep func(step string)

	path string
	mu   sync.Mutex // held by Save
}

// NewRefreshTokenFile returns the store in the file at path, which Save replaces. If path is a
// symbolic link, its target is replaced.
func NewRefreshTokenFile(path string) *RefreshTokenFile { return &RefreshTokenFile{path: path} }

// Origin returns where the refresh token is stored, for errors.
func (f *RefreshTokenFile) Origin() Origin { return Origin{File: f.path} }

// Load reads the file: one word, possibly with white space around it.
func (f *RefreshTokenFile) Load() (secret.Value, error) {
	text, err := secret.ReadFile(f.path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", f.Origin(), err)
	}
	if !isWord(text) {
		return secret.Value{}, fmt.Errorf("%s: %w", f.Origin(), found(describe(text)))
	}
	return secret.New(text), nil
}

// Save replaces the file by one of mode 0600 that the user of this process owns. A crash at any point
// leaves the old content or the new one, and perhaps a file .NAME.tmp-… beside it, which the
// next Save removes.
func (f *RefreshTokenFile) Save(refreshToken secret.Value) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.replace(refreshToken.Reveal() + "\n"); err != nil {
		return fmt.Errorf("%s: %w", f.Origin(), files.Cause(err))
	}
	return nil
}

func (f *RefreshTokenFile) replace(content string) error {
	target, err := resolveLinks(f.path)
	if err != nil {
		return err
	}
	folder, pattern := filepath.Dir(target), temporaryPrefix(target)
	f.before(StepClean)
	removeLeftovers(folder, pattern)
	f.before(StepCreate)
	temporary, err := os.CreateTemp(folder, pattern+"*") // mode 0600, and never an existing file
	if err != nil {
		return err
	}
	if err := f.write(temporary, content); err != nil {
		_ = os.Remove(temporary.Name())
		return err
	}
	f.before(StepRename)
	if err := os.Rename(temporary.Name(), target); err != nil {
		_ = os.Remove(temporary.Name())
		return err
	}
	f.before(StepSyncFolder)
	return files.SyncFolder(folder)
}

// temporaryPrefix is the prefix of the names of the temporary files that replace target.
func temporaryPrefix(target string) string { return "." + filepath.Base(target) + ".tmp-" }

// write writes content to the file, syncs it to disk, and closes it in any case.
func (f *RefreshTokenFile) write(file *os.File, content string) error {
	f.before(StepWrite)
	_, err := file.WriteString(content)
	if err == nil {
		f.before(StepSync)
		err = file.Sync()
	}
	f.before(StepClose)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func (f *RefreshTokenFile) before(step string) {
	if f.BeforeStep != nil {
		f.BeforeStep(step)
	}
}

// resolveLinks returns the file that path refers to through symbolic links; the file need not exist.
func resolveLinks(path string) (string, error) {
	for range maxLinks {
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(folder, filepath.Base(path))
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil //nolint:nilerr // it is not a link
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(folder, link)
		}
		path = link
	}
	return "", errors.New("too many symbolic links")
}

// removeLeftovers removes the temporary files of earlier crashes. Those that cannot be removed do no harm.
func removeLeftovers(folder, prefix string) {
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) && entry.Type().IsRegular() {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
}
