// Package config reads the exporter's YAML configuration: its types, defaults and checks.
package config

import (
	"os"
	"slices"
	"time"

	"weixin_exporter/internal/files"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"

	"github.com/prometheus/common/model"
)

// day is the unit of history and retention. China time has no daylight saving, so a day is 24 hours.
const day = 24 * time.Hour

// Config is a configuration that has been checked, with every default filled in.
type Config struct {
	// Accounts holds at least one account; names and app ids are unique. Those of the account files
	// follow those of the configuration itself, in the order of the files' names.
	Accounts []Account `yaml:"accounts"`
	// AccountFiles are the patterns of the files that hold more accounts; relative ones have been
	// joined with the folder of the configuration.
	AccountFiles []string `yaml:"account_files,omitempty"`
	Weixin       Weixin   `yaml:"weixin"`
	Refresh      Refresh  `yaml:"refresh"`
	Store        Store    `yaml:"store"`
	// RemoteWrite are the endpoints that the history is sent to.
	RemoteWrite []RemoteWrite `yaml:"remote_write,omitempty"`

	warnings      []Fault
	accountFaults []AccountFault
}

// Default returns the default of every key. It has no account, and its store's path is relative.
func Default() Config {
	return Config{
		Weixin: Weixin{
			BaseURL:           "https://api.weixin.qq.com",
			Timeout:           model.Duration(10 * time.Second),
			RequestsPerSecond: 10,
			Concurrency:       4,
			HTTPClient:        DefaultHTTPClient(),
		},
		Refresh: Refresh{
			Interval:     model.Duration(15 * time.Minute),
			ReadyAt:      TimeOfDay(8 * time.Hour),
			History:      model.Duration(30 * day),
			RecheckAfter: model.Duration(day),
		},
		Store: Store{Path: "weixin_exporter.db"},
	}
}

// Load reads and checks the file at path and the account files that it names. The error is Faults, with everything
// that is wrong with their text, or wraps the cause if a file cannot be read.
func Load(path string) (*Config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, i18n.Errorf("fault.config_file", path, files.Cause(err))
	}
	return Parse(path, content)
}

// Parse checks content as Load does. file is the name that faults carry; its folder is what relative
// paths in the configuration are relative to. The files that content names are read, account files
// among them.
func Parse(file string, content []byte) (*Config, error) {
	d := newDocument(file, newShared())
	if !d.Parse(content) {
		return nil, d.Faults()
	}
	c := Default()
	if d.IsEmpty() {
		d.Fault("", i18n.M("fault.no_content"))
		return nil, d.Faults()
	}
	d.Decode(&c, i18n.Message{})
	documents := []*document{d}
	d.shared.seeds = d.inDatabase()
	if d.IsMapping() {
		d.validateAccounts(c.Accounts, "accounts")
		documents = append(documents, d.readAccountFiles(&c)...)
	}
	d.validateWeixin(&c.Weixin)
	d.validateRefresh(&c.Refresh)
	d.validateStore(&c.Store, c.Refresh)
	d.validateSealing(&c.Store, c.Accounts)
	d.validateRemoteWrite(c.RemoteWrite)
	d.warnOfRetention(c.Store, c.RemoteWrite)
	var faults Faults
	broken := slices.ContainsFunc(documents, func(d *document) bool { return len(d.Faults()) > 0 })
	for _, d := range documents {
		if broken { // all faults are reported at once
			own := slices.Concat(d.Faults(), d.fileFaults)
			strictyaml.Sort(own)
			faults = append(faults, own...)
		}
		strictyaml.Sort(d.warnings)
		c.warnings = append(c.warnings, d.warnings...)
		c.accountFaults = append(c.accountFaults, d.accountFaults...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return &c, nil
}

// AccountFaults returns the faults of files of single accounts, in the order of the files and their text. The
// configuration can be used nevertheless.
func (c Config) AccountFaults() []AccountFault { return c.accountFaults }

// Warnings returns what deserves the operator's attention without being a fault, in the order of the files and
// their text.
func (c Config) Warnings() []Fault { return c.warnings }
