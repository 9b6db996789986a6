package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"unicode"

	"weixin_exporter/internal/files"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"
	"weixin_exporter/weixin/secret"
)

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
	// Callback is the server that receives the account's messages; nil if it is not probed.
	Callback *Callback `yaml:"callback,omitempty"`

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
// in the configuration if there is no file. An error names the file.
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

// maxSecret bounds a secret's length in bytes; a real app secret has 32.
const maxSecret = 4096

// minSecret is the least length of a secret. Each secret is masked wherever it might be shown, and a
// shorter one could be a part of ordinary words.
const minSecret = 8

// validateAccounts checks the accounts of the list under the key and reads the files of their secrets.
func (d *document) validateAccounts(accounts []Account, list string) {
	for i := range accounts {
		key := strictyaml.Item(list, i)
		if d.Broken(key) {
			continue
		}
		account := &accounts[i]
		d.validateName(key+".name", account.Name)
		d.validateAppID(key+".app_id", account.AppID)
		if !d.validateToken(key+".token", &account.Token) {
			d.validateGivenSecret(key, account)
			continue
		}
		d.validateSecret(key, account)
		d.validateCallback(key+".callback", account)
	}
	strictyaml.Sort(d.fileFaults)
	for _, f := range d.fileFaults {
		for i := range accounts {
			if strings.HasPrefix(f.Key, strictyaml.Item(list, i)+".") {
				d.accountFaults = append(d.accountFaults, AccountFault{accounts[i].Name, f})
			}
		}
	}
}

func (d *document) validateName(key, name string) {
	want := i18n.M("want.name")
	switch {
	case !d.Has(key):
		d.Fault(key, i18n.M("fault.missing", want))
	case d.Broken(key):
	case strings.TrimSpace(name) == "":
		d.Fault(key, i18n.M("fault.empty", want))
	case strings.ContainsFunc(name, unicode.IsControl):
		d.Fault(key, i18n.M("fault.control", want))
	default:
		d.unique(key, name, d.shared.names)
	}
}

func (d *document) validateAppID(key, appID string) {
	want := i18n.M("want.app_id")
	switch {
	case !d.Has(key):
		d.Fault(key, i18n.M("fault.missing", want))
	case d.Broken(key):
	case appID == "":
		d.Fault(key, i18n.M("fault.empty", want))
	case strings.ContainsFunc(appID, notInAppID):
		d.Fault(key, i18n.M("fault.app_id_character", want))
	default:
		d.unique(key, appID, d.shared.appIDs)
	}
}

// notInAppID is lenient on the form, wx and 16 hex digits, since simulated accounts need not have it.
func notInAppID(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '-'
}

// unique notes a fault where the value has been seen before.
func (d *document) unique(key, value string, seen map[string]origin) {
	if first := d.first(key, value, seen); !first.IsZero() {
		d.Fault(key, i18n.M("fault.same", first))
	}
}

// validateSecret checks that a token is obtained with the account's secret, or without one.
func (d *document) validateSecret(key string, account *Account) {
	inline, file := key+".app_secret", key+".app_secret_file"
	if t := account.Token.Type; t != StableToken && t != LegacyToken {
		for _, given := range []string{inline, file} {
			if d.Has(given) {
				d.Fault(given, i18n.M("fault.unused_secret", string(t)))
			}
		}
		return
	}
	if !d.Has(inline) && !d.Has(file) {
		d.Fault(inline, i18n.M("fault.no_secret", "app_secret", "app_secret_file"))
		return
	}
	d.validateGivenSecret(key, account)
}

// validateGivenSecret checks the secret, if there is one, and reads its file.
func (d *document) validateGivenSecret(key string, account *Account) {
	inline, file := key+".app_secret", key+".app_secret_file"
	switch {
	case d.Has(inline) && d.Has(file):
		d.Fault(file, i18n.M("fault.together", "app_secret", strconv.Itoa(d.Place(inline).Line)))
		return
	case d.Broken(inline) || d.Broken(file):
		return
	case d.Has(inline):
		if problem := badSecret(account.AppSecret.Reveal(), appSecret); !problem.IsZero() {
			d.Fault(inline, problem)
		}
		return
	case !d.Has(file):
		return
	case account.AppSecretFile == "":
		d.Fault(file, i18n.M("fault.empty", i18n.M("want.secret_file")))
		return
	case looksLikeSecret(account.AppSecretFile):
		d.Fault(file, i18n.M("fault.app_secret_as_path"))
		return
	}
	account.AppSecretFile = d.path(account.AppSecretFile)
	text, err := readSecret(account.AppSecretFile, appSecret)
	if err != nil {
		d.fileFault(file, problemOf(err))
		return
	}
	account.fromFile = secret.New(text)
	d.warnOpen(file, account.AppSecretFile)
}

// warnOpen notes if others than its owner may open the file, which holds a secret.
func (d *document) warnOpen(key, path string) {
	if runtime.GOOS == "windows" {
		return // Its modes say nothing of who may read.
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		d.warn(key, i18n.M("warn.mode", path, fmt.Sprintf("%04o", info.Mode().Perm())))
	}
}

// What a secret's file holds: keys of texts.
const (
	appSecret    = "want.app_secret"
	refreshToken = "want.refresh_token"
)

// readSecret returns the text of a file that holds what. The error is an *i18n.Error.
func readSecret(path, what string) (string, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	if problem := badSecret(text, what); !problem.IsZero() {
		return "", i18n.Errorf("fault.content", path, problem)
	}
	return text, nil
}

// unreadable names the file and the cause.
func unreadable(path string, err error) error {
	return i18n.Errorf("fault.unreadable", path, files.Cause(err))
}

// badSecret says what keeps text from being what it must be; zero if nothing does.
func badSecret(text, what string) i18n.Message {
	want := i18n.M(what)
	switch {
	case text == "":
		return i18n.M("fault.empty", want)
	case len(text) > maxSecret:
		return i18n.M("fault.long", want)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return i18n.M("fault.secret_character", want)
	case len(text) < minSecret:
		return i18n.M("fault.short", minSecret, want)
	}
	return i18n.Message{}
}

// looksLikeSecret reports whether a file's name is 32 hex digits, as every app secret is. Such a name
// is not shown.
func looksLikeSecret(path string) bool {
	name := filepath.Base(path)
	return len(name) == 32 && strings.Trim(strings.ToLower(name), "0123456789abcdef") == ""
}
