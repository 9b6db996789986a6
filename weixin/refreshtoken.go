package weixin

import (
	"context"
	"fmt"
	"os"
	"sync"

	"weixin_exporter/internal/files"
	"weixin_exporter/weixin/secret"
)

// RefreshTokenFile is a RefreshTokenStore in a file. It is safe for concurrent use; other processes may
// replace the file while they hold its Lock.
type RefreshTokenFile struct {
	// BeforeStep is called before each step of Save (see files.Replacement), so that a test can end the process
	// there. Nil in production.
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
func (f *RefreshTokenFile) Load(context.Context) (secret.Value, error) {
	text, err := secret.ReadFile(f.path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("%s: %w", f.Origin(), err)
	}
	if !isWord(text) {
		return secret.Value{}, fmt.Errorf("%s: %w", f.Origin(), found(describe(text)))
	}
	return secret.New(text), nil
}

// Save replaces the file by one of mode 0600 that the user of this process owns, unless it holds a refresh token that
// is not the used one. A crash at any point leaves the old content or the new one, and perhaps a file .NAME.tmp-… beside
// it, which the next Save removes.
func (f *RefreshTokenFile) Save(ctx context.Context, used, successor secret.Value) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stored, err := f.Load(ctx); err == nil && !stored.Equal(used) && !stored.Equal(successor) {
		return &RefreshTokenError{RefreshTokenReplaced, fmt.Errorf("%s: it has been replaced by another refresh token", f.Origin())}
	}
	replacement := files.Replacement{Mode: 0o600, CleanUp: true, BeforeStep: f.BeforeStep}
	err := replacement.Replace(f.path, func(file *os.File) error {
		_, err := file.WriteString(successor.Reveal() + "\n")
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", f.Origin(), err)
	}
	return nil
}
