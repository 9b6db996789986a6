package config

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"
)

// document is a file that is being checked.
type document struct {
	*strictyaml.Document
	// block is the http_config that is being read; nil outside of one.
	block *httpBlock
	// shared is common to all files of the configuration.
	shared *shared

	warnings []Fault
	// fileFaults are faults of files that concern an account alone.
	fileFaults []Fault
	// accountFaults are fileFaults with the names of their accounts.
	accountFaults []AccountFault
}

// shared is what the files of one configuration have in common.
type shared struct {
	types *strictyaml.Types
	// names, appIDs, sources and rotated have the place where a name, an app id, a file or URL of access
	// tokens, and a file of a refresh token was given first.
	names, appIDs, sources, rotated map[string]origin
	// usable has http_config blocks from which a client could be built.
	usable []promconfig.HTTPClientConfig
	// seeds means that refresh tokens are kept in a database, and their files are only read.
	seeds bool
	// folders has the error of writing a file into a folder; nil if there was none.
	folders map[string]error
}

// origin is where a value was given.
type origin struct {
	document *document
	key      string
}

func newShared() *shared {
	return &shared{
		types: newTypes(), names: map[string]origin{}, appIDs: map[string]origin{}, sources: map[string]origin{},
		rotated: map[string]origin{}, folders: map[string]error{},
	}
}

func newDocument(file string, shared *shared) *document {
	d := &document{shared: shared}
	d.Document = strictyaml.New(file, shared.types, strictyaml.Hooks{Structure: d.enter, Scalar: d.remember})
	return d
}

// enter sets the defaults of a structure that may occur several times, and returns its check.
func (d *document) enter(target any, key string) func() {
	switch t := target.(type) {
	case *RemoteWrite:
		return d.enterRemoteWrite(t, key)
	case *promconfig.HTTPClientConfig:
		*t = DefaultHTTPClient()
		return d.enterHTTPConfig(t, key)
	}
	return nil
}

// remember notes the scalars of an http_config.
func (d *document) remember(target any, text, key string) {
	if d.block != nil {
		d.block.remember(target, text, key)
	}
}

// first records that a value is given under the key. It returns where the value was given before; zero if it
// is new.
func (d *document) first(key, value string, seen map[string]origin) i18n.Message {
	former, ok := seen[value]
	if !ok {
		seen[value] = origin{d, key}
		return i18n.Message{}
	}
	line := strconv.Itoa(former.document.Place(former.key).Line)
	if former.document == d {
		return i18n.M("place.line", former.key, line)
	}
	return i18n.M("place.file", former.key, former.document.File, line)
}

// path joins a relative path with the folder of the file.
func (d *document) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(d.File), name)
}

// fileFault adds a fault of a file that a key names. If the key is one of an account it is a fault of that
// account alone, since the file can be fixed while the others run, and otherwise one of the configuration.
func (d *document) fileFault(key string, problem i18n.Message) {
	if !strings.HasPrefix(key, "accounts[") && !strings.HasPrefix(key, "[") {
		d.Fault(key, problem)
		return
	}
	if !d.Broken(key) {
		d.Break(key)
		d.fileFaults = append(d.fileFaults, d.Remark(key, problem))
	}
}

// faulty returns the number of faults of either kind.
func (d *document) faulty() int { return len(d.Faults()) + len(d.fileFaults) }

func (d *document) warn(key string, problem i18n.Message) {
	d.warnings = append(d.warnings, d.Remark(key, problem))
}

// problemOf returns the message of an error, or its text.
func problemOf(err error) i18n.Message {
	if e, ok := errors.AsType[*i18n.Error](err); ok {
		return e.Message
	}
	return i18n.M("error.other", err.Error())
}
