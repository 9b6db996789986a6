package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"weixin_exporter/secret"
)

// maxSecret bounds a secret's length in bytes; a real app secret has 32.
const maxSecret = 4096

// validateAccounts checks all accounts and reads their secrets' files.
func (d *document) validateAccounts(accounts []Account) {
	if len(accounts) == 0 {
		d.fault("accounts", "no account is given; list at least one with name, app_id and app_secret or app_secret_file")
		return
	}
	names, appIDs := map[string]string{}, map[string]string{}
	for i := range accounts {
		key := fmt.Sprintf("accounts[%d]", i)
		if d.broken[key] {
			continue
		}
		account := &accounts[i]
		d.validateName(key+".name", account.Name, names)
		d.validateAppID(key+".app_id", account.AppID, appIDs)
		d.validateSecret(key, account)
		if account.Token.Type == "" {
			account.Token.Type = StableToken
		}
		if account.Token.Type == LegacyToken {
			d.warn(key+".token.type", "every token from /cgi-bin/token invalidates the one that other services of this account use, "+
				"which logs them out; stable_token does not")
		}
	}
}

func (d *document) validateName(key, name string, seen map[string]string) {
	const want = "it must be text without control characters, different for each account"
	switch {
	case !d.has(key):
		d.fault(key, "is missing; "+want)
	case d.broken[key]:
	case strings.TrimSpace(name) == "":
		d.fault(key, "is empty; "+want)
	case strings.ContainsFunc(name, unicode.IsControl):
		d.fault(key, "holds a control character; "+want)
	default:
		d.unique(key, name, seen)
	}
}

func (d *document) validateAppID(key, appID string, seen map[string]string) {
	const want = "it must be the account's AppID, such as wx0123456789abcdef: letters, digits, _ and - only"
	switch {
	case !d.has(key):
		d.fault(key, "is missing; "+want)
	case d.broken[key]:
	case appID == "":
		d.fault(key, "is empty; "+want)
	case strings.ContainsFunc(appID, notInAppID):
		d.fault(key, "holds a character that no AppID has; "+want)
	default:
		d.unique(key, appID, seen)
	}
}

// notInAppID is lenient on the form, wx and 16 hex digits, since simulated accounts need not have it.
func notInAppID(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '-'
}

// unique notes a fault where the value has been seen under another key.
func (d *document) unique(key, value string, seen map[string]string) {
	if first, ok := seen[value]; ok {
		d.fault(key, fmt.Sprintf("is the same as %s on line %d; each account needs its own", first, d.place(first).line))
		return
	}
	seen[value] = key
}

func (d *document) validateSecret(key string, account *Account) {
	inline, file := key+".app_secret", key+".app_secret_file"
	switch {
	case d.has(inline) && d.has(file):
		d.fault(file, fmt.Sprintf("stands beside app_secret on line %d; give only one of the two", d.place(inline).line))
		return
	case !d.has(inline) && !d.has(file):
		d.fault(inline, "is missing; give app_secret, or app_secret_file with the path of a file that holds it")
		return
	case d.broken[inline] || d.broken[file]:
		return
	case d.has(inline):
		if problem := badSecret(account.AppSecret.Reveal()); problem != "" {
			d.fault(inline, problem)
		}
		return
	case account.AppSecretFile == "":
		d.fault(file, "is empty; it must be the path of a file that holds the secret")
		return
	case looksLikeSecret(account.AppSecretFile):
		d.fault(file, "looks like the secret itself; it must be the path of a file, and the secret belongs under app_secret")
		return
	}
	account.AppSecretFile = d.path(account.AppSecretFile)
	text, err := readSecret(account.AppSecretFile)
	if err != nil {
		d.fault(file, err.Error())
		return
	}
	account.fromFile = secret.New(text)
}

// readSecret returns the text of a secret's file without the line end that editors add.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", unreadable(path, err)
	}
	if len(content) > maxSecret {
		return "", fmt.Errorf("%s is longer than 4 KiB; it must hold the app secret and nothing else", path)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if problem := badSecret(text); problem != "" {
		return "", fmt.Errorf("the content of %s %s", path, problem)
	}
	return text, nil
}

// unreadable names the file and the cause.
func unreadable(path string, err error) error {
	if cause, ok := errors.AsType[*fs.PathError](err); ok {
		err = cause.Err
	}
	return fmt.Errorf("%s cannot be read: %w; it must be a file that the exporter's user may read", path, err)
}

// badSecret says what keeps text from being an app secret; "" if nothing does.
func badSecret(text string) string {
	const want = "; it must be the app secret, in printable ASCII without blanks"
	switch {
	case text == "":
		return "is empty" + want
	case len(text) > maxSecret:
		return "is longer than 4 KiB" + want
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "holds a blank, a line break or another character that no secret has" + want
	}
	return ""
}

// looksLikeSecret reports whether a file's name is 32 hex digits, as every app secret is. Such a name
// is not shown.
func looksLikeSecret(path string) bool {
	name := filepath.Base(path)
	return len(name) == 32 && strings.Trim(strings.ToLower(name), "0123456789abcdef") == ""
}
