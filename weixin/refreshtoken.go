package weixin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

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

// RefreshTokenFile is a RefreshTokenStore in a file of its own. It is safe for concurrent
// use; other processes may replace the file while they hold its Lock.
type RefreshTokenFile struct {
	// BeforeStep is told of each step of Save before it is made, so that a test can end the
	// process there. Nil in production.
	BeforeStep func(step string)

	path string
	mu   sync.Mutex // held by Save
}

// NewRefreshTokenFile returns the store in the file at path, which Save replaces. If path is a
// symbolic link, the file behind it is replaced.
func NewRefreshTokenFile(path string) *RefreshTokenFile { return &RefreshTokenFile{path: path} }

// Name says where the refresh token is, for errors.
func (f *RefreshTokenFile) Name() string { return "the file " + f.path }

// Load reads the file: one word, with white space around it.
func (f *RefreshTokenFile) Load() (secret.Value, error) {
	text, err := secret.ReadFile(f.path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("the file %s: %w", f.path, err)
	}
	if !isWord(text) {
		return secret.Value{}, fmt.Errorf("the file %s: %w", f.path, found(describe(text)))
	}
	return secret.New(text), nil
}

// Save replaces the file, with mode 0600 and owned by this process' user. A crash at any point
// leaves the old content or the new one, and perhaps a file .NAME.tmp-… beside it, which the
// next Save removes.
func (f *RefreshTokenFile) Save(refreshToken secret.Value) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.replace(refreshToken.Reveal() + "\n"); err != nil {
		return fmt.Errorf("the file %s: %w", f.path, withoutPath(err))
	}
	return nil
}

func (f *RefreshTokenFile) replace(content string) error {
	target, err := behindLinks(f.path)
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
	if err := f.fill(temporary, content); err != nil {
		_ = os.Remove(temporary.Name())
		return err
	}
	f.before(StepRename)
	if err := os.Rename(temporary.Name(), target); err != nil {
		_ = os.Remove(temporary.Name())
		return err
	}
	f.before(StepSyncFolder)
	return syncFolder(folder)
}

// temporaryPrefix is how the names of the files begin from which target is replaced.
func temporaryPrefix(target string) string { return "." + filepath.Base(target) + ".tmp-" }

// fill writes content to the file and to the disk, and closes it in any case.
func (f *RefreshTokenFile) fill(file *os.File, content string) error {
	f.before(StepWrite)
	_, err := file.WriteString(content)
	if err == nil {
		f.before(StepSync)
		err = file.Sync()
	}
	f.before(StepClose)
	return errors.Join(err, file.Close())
}

func (f *RefreshTokenFile) before(step string) {
	if f.BeforeStep != nil {
		f.BeforeStep(step)
	}
}

// behindLinks returns the path of the file that path leads to, which need not exist.
func behindLinks(path string) (string, error) {
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

// removeLeftovers removes what earlier crashes have left. What cannot be removed does no harm.
func removeLeftovers(folder, prefix string) {
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) && entry.Type().IsRegular() {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
}

// syncFolder makes a rename in folder survive the end of the machine. Systems that cannot do
// that for folders say so with EINVAL or as unsupported.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	opened, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	err = opened.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// withoutPath returns err of package os without the names of files in it, and without the
// operation where that tells an operator nothing.
func withoutPath(err error) error {
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		switch fault.Op {
		case "stat", "lstat", "open":
			return fault.Err
		}
		return fmt.Errorf("%s: %w", fault.Op, fault.Err)
	}
	if fault, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("%s: %w", fault.Op, fault.Err)
	}
	return err
}
