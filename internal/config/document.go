package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v4"
)

// rootKeys is what a fault of the file as a whole says about its content.
const rootKeys = "accounts, with at least one account's name, app_id and app_secret or app_secret_file, or account_files"

// place is where a key or a list's item begins.
type place struct{ line, column int }

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// document is a file under examination: where its keys are and what was found wrong so far.
type document struct {
	file string
	// places holds every key and item that the file has, by path; "" is the whole.
	places map[string]place
	// broken holds the keys that have a fault already, so that no other check adds to it.
	broken map[string]bool
	// block is the http_config that is being read; nil outside of one.
	block *httpBlock
	// shared is common to all files of the configuration.
	shared *shared

	faults   Faults
	warnings []Fault
	// fileFaults are those of files that concern an account alone.
	fileFaults []Fault
	// accountFaults are fileFaults with the names of their accounts.
	accountFaults []AccountFault
}

// shared is what the files of one configuration have in common.
type shared struct {
	shapes shapes
	// names, appIDs, sources and rotated say where a name, an app id, a file or URL of access tokens,
	// and a file of a refresh token stand first.
	names, appIDs, sources, rotated map[string]origin
	// usable holds http_config blocks from which a client could be built.
	usable []promconfig.HTTPClientConfig
	// folders holds what kept a file from being written into a folder; nil if nothing did.
	folders map[string]error
}

// origin is where something stands.
type origin struct {
	document *document
	key      string
}

func newShared() *shared {
	return &shared{
		shapes: shapes{}, names: map[string]origin{}, appIDs: map[string]origin{}, sources: map[string]origin{},
		rotated: map[string]origin{}, folders: map[string]error{},
	}
}

func newDocument(file string, shared *shared) *document {
	return &document{file: file, places: map[string]place{"": {1, 1}}, broken: map[string]bool{}, shared: shared}
}

// first returns where value, given under the key, stands already, in words; "" where it is new.
func (d *document) first(key, value string, seen map[string]origin) string {
	former, ok := seen[value]
	if !ok {
		seen[value] = origin{d, key}
		return ""
	}
	line := former.document.place(former.key).line
	if former.document == d {
		return fmt.Sprintf("%s on line %d", former.key, line)
	}
	return fmt.Sprintf("%s in %s on line %d", former.key, former.document.file, line)
}

// path joins a relative path with the folder of the file.
func (d *document) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(d.file), name)
}

// has reports whether the file has the key.
func (d *document) has(key string) bool {
	_, ok := d.places[key]
	return ok
}

// place returns where the key is or, if the file does not have it, the nearest one around it.
func (d *document) place(key string) place {
	for {
		if at, ok := d.places[key]; ok {
			return at
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
}

// fault notes what is wrong with a key, unless a fault of it is known already.
func (d *document) fault(key, problem string) {
	if !d.broken[key] {
		d.faultAt(d.place(key), key, problem)
	}
}

func (d *document) faultAt(at place, key, problem string) {
	d.broken[key] = true
	d.faults = append(d.faults, Fault{d.file, at.line, at.column, key, problem})
}

// fileFault notes what is wrong with a file that a key names: a fault of the account where it is one of
// the account's, since a file can be mended while the others run, and else of the configuration.
func (d *document) fileFault(key, problem string) {
	if !strings.HasPrefix(key, "accounts[") && !strings.HasPrefix(key, "[") {
		d.fault(key, problem)
		return
	}
	if !d.broken[key] {
		d.broken[key] = true
		at := d.place(key)
		d.fileFaults = append(d.fileFaults, Fault{d.file, at.line, at.column, key, problem})
	}
}

// faulty returns how many faults of either kind there are, to tell whether more are added.
func (d *document) faulty() int { return len(d.faults) + len(d.fileFaults) }

// refuse notes that a key's value is not what it must be.
func (d *document) refuse(key string) { d.fault(key, "must be "+allowed(key, "")) }

func (d *document) warn(key, problem string) {
	at := d.place(key)
	d.warnings = append(d.warnings, Fault{d.file, at.line, at.column, key, problem})
}

// sortByPlace puts faults in the order of the file.
func sortByPlace(faults []Fault) {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// compose turns content into a tree of nodes, a null where there is nothing; nil after a fault.
func (d *document) compose(content []byte) *yaml.Node {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if at, problem := unreadableText(content); problem != "" {
		d.faultAt(at, "", problem)
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		d.syntax(err)
		return nil
	}
	var first, second yaml.Node
	switch err := loader.Load(&first); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}
	case err != nil:
		d.syntax(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
		return nil
	default:
		d.faultAt(placeOf(&second), "", "a second document begins here; a configuration is one document")
	}
	return first.Content[0]
}

// unreadableText returns the first place that keeps content from being YAML text, and why; "" if there
// is none. The YAML library refuses the same without a place.
func unreadableText(content []byte) (place, string) {
	at := place{1, 1}
	for len(content) > 0 {
		r, size := utf8.DecodeRune(content)
		switch {
		case r == utf8.RuneError && size == 1:
			return at, "this byte is not UTF-8 text; save the file as UTF-8"
		case r == '\n':
			at = place{at.line + 1, 0}
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
			return at, "a control character stands here; the file must be text without any"
		}
		at.column++
		content = content[size:]
	}
	return at, ""
}
