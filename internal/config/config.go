// Package config reads the exporter's YAML configuration: its types, defaults and checks.
package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"weixin_exporter/weixin/secret"
)

// day is the unit of history and retention. China time has no daylight saving, so a day is 24 hours.
const day = 24 * time.Hour

// Config is a configuration that has been checked, with every default filled in.
type Config struct {
	// Accounts holds at least one account; names and app ids are unique. Those of the account files
	// stand behind those of the configuration itself, in the order of the files' names.
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

// Account is a Weixin Official Account whose statistics are fetched.
type Account struct {
	// Name is the label "account": any UTF-8 text without control characters.
	Name string `yaml:"name"`
	// AppID is the account's id at Weixin.
	AppID string `yaml:"app_id"`
	// AppSecret is the secret given in the configuration itself; zero if a file holds it.
	AppSecret secret.Value `yaml:"app_secret,omitempty"`
	// AppSecretFile is the file that holds the secret; a relative path in the configuration has been
	// joined with the folder of the file that names it.
	AppSecretFile string `yaml:"app_secret_file,omitempty"`
	// Token says where the access token comes from.
	Token Token `yaml:"token"`

	fromFile secret.Value
}

// Secret returns the app secret, given in the configuration or read from its file when the
// configuration was loaded; zero where the file could not be used.
func (a Account) Secret() secret.Value {
	if !a.AppSecret.IsZero() {
		return a.AppSecret
	}
	return a.fromFile
}

// RereadSecret returns the app secret as its file holds it at the time of the call, or the one given
// in the configuration where there is no file. An error names the file.
func (a Account) RereadSecret() (secret.Value, error) {
	if a.AppSecretFile == "" {
		return a.AppSecret, nil
	}
	text, err := readSecret(a.AppSecretFile, appSecret)
	if err != nil {
		return secret.Value{}, fmt.Errorf("reading the app secret of account %q: %w", a.Name, err)
	}
	return secret.New(text), nil
}

// KeepSecret returns a with the secret that former, the same account before a reload, had from the same
// file, where the file cannot be used now.
func (a Account) KeepSecret(former Account) Account {
	if a.Secret().IsZero() && a.AppSecretFile != "" && a.AppSecretFile == former.AppSecretFile {
		a.fromFile = former.fromFile
	}
	return a
}

// SameCredentials reports whether a token that was obtained for a serves b, too: both are the same
// app and have their token from the same source with the same secret.
func (a Account) SameCredentials(b Account) bool {
	return a.AppID == b.AppID && a.Secret().Equal(b.Secret()) && reflect.DeepEqual(a.Token, b.Token)
}

// Weixin says how the API is called, for all accounts together.
type Weixin struct {
	// BaseURL is http or https with a host and perhaps a path, without user, query and fragment.
	BaseURL string `yaml:"base_url"`
	// Timeout bounds one request.
	Timeout model.Duration `yaml:"timeout"`
	// RequestsPerSecond is the highest rate over all accounts.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// Concurrency is the highest number of requests under way at a time.
	Concurrency int `yaml:"concurrency"`
	// Quota says whether each account's quota of calls is asked for.
	Quota bool `yaml:"quota"`
	// HTTPClient holds proxy, TLS and the like; its relative paths have been joined with the folder
	// of the configuration.
	HTTPClient promconfig.HTTPClientConfig `yaml:"http_config"`
}

// Refresh says when what is asked for.
type Refresh struct {
	// Interval is how often the exporter looks what is due.
	Interval model.Duration `yaml:"interval"`
	// ReadyAt is the China time before which yesterday is not asked for.
	ReadyAt TimeOfDay `yaml:"ready_at"`
	// History is how far back days are filled: whole days, 1d is only yesterday.
	History model.Duration `yaml:"history"`
	// RecheckAfter is how long after its first answer a day is asked for once more; 0 is never.
	RecheckAfter model.Duration `yaml:"recheck_after"`
}

// HistoryDays returns History as a number of days.
func (r Refresh) HistoryDays() int { return int(time.Duration(r.History) / day) }

// Store says where what is known is kept.
type Store struct {
	// Path is the database file, joined with the folder of the configuration if it was relative;
	// "" keeps everything in memory.
	Path string `yaml:"path"`
	// Retention is how long a day is kept: whole days; 0 is for ever.
	Retention model.Duration `yaml:"retention"`
}

// RetentionDays returns Retention as a number of days; 0 is for ever.
func (s Store) RetentionDays() int { return int(time.Duration(s.Retention) / day) }

// TimeOfDay is the time since midnight, a whole number of minutes below 24 hours.
type TimeOfDay time.Duration

// Offset returns the time since midnight.
func (t TimeOfDay) Offset() time.Duration { return time.Duration(t) }

// String returns the form HH:MM.
func (t TimeOfDay) String() string {
	minutes := int(time.Duration(t) / time.Minute)
	return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60)
}

// MarshalYAML writes the form HH:MM.
func (t TimeOfDay) MarshalYAML() (any, error) { return t.String(), nil }

// Default returns the configuration that holds wherever a file says nothing. It has no account, and
// its store's path is relative.
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

// Load reads and checks the file at path and the account files that it names. What is wrong with
// their text comes back as Faults, all of them at once; a file that cannot be read as an error that wraps the cause.
func Load(path string) (*Config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: the configuration cannot be read: %w; name a readable file with --config.file", path, cause(err))
	}
	return Parse(path, content)
}

// Parse checks content as Load does. file is the name that faults carry; its folder is what relative
// paths in the configuration are relative to. The files that content names are read, account files
// among them.
func Parse(file string, content []byte) (*Config, error) {
	d := newDocument(file, newShared())
	root := d.compose(content)
	if root == nil {
		return nil, d.faults
	}
	c := Default()
	if isNull(root) {
		d.faultAt(place{1, 1}, "", "the file is empty; it needs "+rootKeys)
		return nil, d.faults
	}
	d.places[""] = placeOf(root)
	d.decode(root, reflect.ValueOf(&c).Elem(), "")
	documents := []*document{d}
	if root.Kind == yaml.MappingNode {
		d.validateAccounts(c.Accounts, "accounts")
		documents = append(documents, d.readAccountFiles(&c)...)
	}
	d.validateWeixin(&c.Weixin)
	d.validateRefresh(&c.Refresh)
	d.validateStore(&c.Store, c.Refresh)
	d.validateRemoteWrite(c.RemoteWrite)
	var faults Faults
	broken := slices.ContainsFunc(documents, func(d *document) bool { return len(d.faults) > 0 })
	for _, d := range documents {
		if broken {
			d.faults = append(d.faults, d.fileFaults...) // everything is told at once
		}
		sortByPlace(d.faults)
		sortByPlace(d.warnings)
		faults = append(faults, d.faults...)
		c.warnings = append(c.warnings, d.warnings...)
		c.accountFaults = append(c.accountFaults, d.accountFaults...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return &c, nil
}

// AccountFaults returns what is wrong with the files of single accounts, in the order of the files and
// of what stands in them. The configuration holds nevertheless.
func (c Config) AccountFaults() []AccountFault { return c.accountFaults }

// Warnings returns what deserves the operator's attention and is not a fault, in the order of the files
// and of what stands in them.
func (c Config) Warnings() []Fault { return c.warnings }
