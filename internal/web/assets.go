package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// staticPath is where the embedded files are found.
const staticPath = "/static/"

// assets are the embedded files. Their names hold a hash of what is in them, so that a browser may keep them
// for as long as it wants.
type assets struct {
	hashed map[string]string // names with the hash, by name
	files  map[string][]byte // by name with the hash
}

func newAssets() (*assets, error) {
	a := &assets{hashed: map[string]string{}, files: map[string][]byte{}}
	names, err := fs.Glob(staticFiles, "static/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		content, err := staticFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the files of the pages: %w", err)
		}
		const length = 12 // hexadecimal digits
		sum := sha256.Sum256(content)
		extension := path.Ext(name)
		base := strings.TrimSuffix(path.Base(name), extension)
		hashed := base + "." + hex.EncodeToString(sum[:])[:length] + extension
		a.hashed[path.Base(name)], a.files[hashed] = hashed, content
	}
	return a, nil
}

// path returns where a file is found, relative to the root.
func (a *assets) path(name string) string { return staticPath[1:] + a.hashed[name] }

// ServeHTTP answers with a file, and with 404 where the hash is not that of this version.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, ok := a.files[path.Base(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}[path.Ext(r.URL.Path)])
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(content) // the client is gone: nothing can be done
}
