package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/access"
	"weixin_exporter/internal/files"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"
	"weixin_exporter/weixin/secret"
)

// Token says where an account's access token comes from. The keys that its type does not use are zero.
type Token struct {
	Type TokenType `yaml:"type"`
	// Path is the file that holds the access token. It has been joined with the folder of the file
	// that names it, and need not exist yet.
	Path string `yaml:"path,omitempty"`
	// URL is the http or https URL that answers the access token.
	URL secret.URL `yaml:"url,omitempty"`
	// TokenPath holds the keys that lead to the token in a JSON object, joined by dots; "" finds it by
	// its usual names.
	TokenPath string `yaml:"token_path,omitempty"`
	// HTTPClient says how URL is called; nil is DefaultHTTPClient. Relative paths
	// have been joined with the folder of the file that names them.
	HTTPClient *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
	// ComponentAppID is the app id of the third-party platform that calls for the account.
	ComponentAppID string `yaml:"component_app_id,omitempty"`
	// ComponentAccessToken says where the platform's own access token comes from.
	ComponentAccessToken *ComponentToken `yaml:"component_access_token,omitempty"`
	// RefreshTokenFile holds the account's refresh token, or the first one if they are kept in a database; a relative path has been joined as Path has.
	RefreshTokenFile string `yaml:"refresh_token_file,omitempty"`
}

// ComponentToken says where the access token of a third-party platform comes from. Its fields are as
// those of Token.
type ComponentToken struct {
	// Type is FileToken or URLToken.
	Type       TokenType                    `yaml:"type" allowed:"want.component_token_type"`
	Path       string                       `yaml:"path,omitempty"`
	URL        secret.URL                   `yaml:"url,omitempty"`
	TokenPath  string                       `yaml:"token_path,omitempty"`
	HTTPClient *promconfig.HTTPClientConfig `yaml:"http_config,omitempty"`
}

// TokenType is the way in which an access token is obtained.
type TokenType string

const (
	// StableToken is /cgi-bin/stable_token, which leaves the tokens of other services alone.
	StableToken TokenType = "stable_token"
	// LegacyToken is /cgi-bin/token, which invalidates the token that other services obtained from it.
	LegacyToken TokenType = "token"
	// FileToken is a file that another program writes.
	FileToken TokenType = "file"
	// URLToken is the answer of a token server.
	URLToken TokenType = "url"
	// AuthorizerToken is /cgi-bin/component/api_authorizer_token, for a third-party platform that calls
	// for the account.
	AuthorizerToken TokenType = "authorizer"
)

// Allowed implements strictyaml.Scalar.
func (*TokenType) Allowed() i18n.Message { return i18n.M("want.token_type") }

// SetText implements strictyaml.Scalar.
func (t *TokenType) SetText(text string) bool {
	*t = TokenType(text)
	return slices.Contains([]TokenType{StableToken, LegacyToken, FileToken, URLToken, AuthorizerToken}, *t)
}

// typesOf returns the types that use a key under token or component_access_token.
func typesOf(key string) []TokenType {
	switch key {
	case "path":
		return []TokenType{FileToken}
	case "token_path":
		return []TokenType{FileToken, URLToken}
	case "url", "http_config":
		return []TokenType{URLToken}
	}
	return []TokenType{AuthorizerToken}
}

// validateToken checks where a token comes from and reports whether the type is known.
func (d *document) validateToken(key string, t *Token) bool {
	if d.Broken(key) || d.Broken(key+".type") {
		return false
	}
	if t.Type == "" {
		t.Type = StableToken
	}
	if !d.Has(key) {
		return true
	}
	d.refuseOthers(key, t.Type, "path", "url", "token_path", "http_config", "component_app_id", "component_access_token", "refresh_token_file")
	d.validateTokenKeys(key+".token_path", t.TokenPath)
	switch t.Type {
	case StableToken:
	case LegacyToken:
		d.warn(key+".type", i18n.M("warn.legacy_token"))
	case FileToken:
		if d.validateTokenPath(key+".path", &t.Path) {
			d.warnShared(key+".path", absolute(t.Path))
		}
	case URLToken:
		if d.validateTokenURL(key+".url", t.URL) {
			d.warnShared(key+".url", t.URL.Reveal())
		}
	case AuthorizerToken:
		d.validateAuthorizer(key, t)
	}
	return true
}

// refuseOthers notes a fault for each of the keys that the type does not use.
func (d *document) refuseOthers(key string, used TokenType, names ...string) {
	for _, name := range names {
		if owners := typesOf(name); !slices.Contains(owners, used) && d.Has(key+"."+name) {
			d.Fault(key+"."+name, i18n.M("fault.other_type", either(owners), string(used)))
		}
	}
}

// either names one or two types.
func either(types []TokenType) i18n.Message {
	if len(types) == 1 {
		return i18n.M("type.one", string(types[0]))
	}
	return i18n.M("type.either", string(types[0]), string(types[1]))
}

// validateTokenKeys checks the keys that lead to the token in a JSON object.
func (d *document) validateTokenKeys(key, path string) {
	want := i18n.M("want.token_keys")
	switch {
	case !d.Has(key) || d.Broken(key):
	case looksLikeToken(path):
		d.Fault(key, i18n.M("fault.is_token", want))
	case slices.Contains(strings.Split(path, "."), "") || strings.ContainsFunc(path, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		d.Fault(key, i18n.M("fault.must", want))
	}
}

// warnShared notes if two accounts have their access token from the same place.
func (d *document) warnShared(key, source string) {
	if first := d.first(key, source, d.shared.sources); !first.IsZero() {
		d.warn(key, i18n.M("warn.same_source", first))
	}
}

// validateTokenPath joins the path and reports whether it is good.
func (d *document) validateTokenPath(key string, path *string) bool {
	want := i18n.M("want.token_file")
	switch {
	case d.Broken(key):
		return false
	case !d.Has(key):
		d.Fault(key, i18n.M("fault.missing", want))
		return false
	case *path == "":
		d.Fault(key, i18n.M("fault.empty", want))
		return false
	case looksLikeToken(*path):
		d.Fault(key, i18n.M("fault.is_token", want))
		return false
	}
	*path = d.path(*path)
	if info, err := os.Stat(*path); err == nil && info.IsDir() {
		d.fileFault(key, i18n.M("fault.is_folder", *path, want))
	}
	return true
}

// validateTokenURL reports whether the URL is good.
func (d *document) validateTokenURL(key string, given secret.URL) bool {
	want := i18n.M("want.token_url")
	u, err := given.Parse()
	switch {
	case d.Broken(key):
		return false
	case !d.Has(key):
		d.Fault(key, i18n.M("fault.missing", want))
		return false
	case err != nil || !isHTTP(u) || strings.Contains(given.Reveal(), "#"):
		d.Fault(key, i18n.M("fault.must", want))
		return false
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		d.warn(key, i18n.M("warn.clear", i18n.M("warn.clear.tokens")))
	}
	return true
}

func (d *document) validateAuthorizer(key string, t *Token) {
	want := i18n.M("want.platform_app_id")
	switch id := key + ".component_app_id"; {
	case !d.Has(id):
		d.Fault(id, i18n.M("fault.missing", want))
	case t.ComponentAppID == "":
		d.Fault(id, i18n.M("fault.empty", want))
	case strings.ContainsFunc(t.ComponentAppID, notInAppID):
		d.Fault(id, i18n.M("fault.app_id_character", want))
	}
	d.validateComponent(key+".component_access_token", t.ComponentAccessToken)
	d.validateRefreshToken(key+".refresh_token_file", t)
}

func (d *document) validateComponent(key string, t *ComponentToken) {
	switch {
	case d.Broken(key) || d.Broken(key+".type"):
		return
	case t == nil:
		d.Fault(key, i18n.M("fault.no_component_token"))
		return
	}
	switch t.Type {
	case FileToken:
		d.validateTokenPath(key+".path", &t.Path)
	case URLToken:
		d.validateTokenURL(key+".url", t.URL)
	case "":
		d.Fault(key+".type", i18n.M("fault.missing", strictyaml.Allowed(ComponentToken{}, "type")))
		return
	default:
		d.Refuse(key + ".type")
		return
	}
	d.refuseOthers(key, t.Type, "path", "url", "token_path", "http_config")
	d.validateTokenKeys(key+".token_path", t.TokenPath)
}

// validateRefreshToken checks that the file holds a token and that it can be replaced. Neither is needed if refresh
// tokens are kept in a database, and the database has one.
func (d *document) validateRefreshToken(key string, t *Token) {
	want := i18n.M("want.refresh_token_file")
	switch {
	case d.Broken(key):
		return
	case !d.Has(key):
		d.Fault(key, i18n.M("fault.missing", want))
		return
	case t.RefreshTokenFile == "":
		d.Fault(key, i18n.M("fault.empty", want))
		return
	case looksLikeToken(t.RefreshTokenFile):
		d.Fault(key, i18n.M("fault.is_token", want))
		return
	}
	t.RefreshTokenFile = d.path(t.RefreshTokenFile)
	d.unique(key, absolute(t.RefreshTokenFile), d.shared.rotated)
	_, err := readSecret(t.RefreshTokenFile, refreshToken)
	switch {
	case err == nil && d.shared.seeds:
		d.warnOpen(key, t.RefreshTokenFile)
		return
	case d.shared.seeds:
		if !isMissing(t.RefreshTokenFile) {
			d.warn(key, i18n.M("warn.seed", problemOf(err)))
		}
		return
	case err != nil:
		d.fileFault(key, problemOf(err))
		return
	}
	if err := d.shared.writable(filepath.Dir(t.RefreshTokenFile)); err != nil {
		d.fileFault(key, problemOf(err))
		return
	}
	d.warnOpen(key, t.RefreshTokenFile)
}

// isMissing reports whether there is no such file.
func isMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// writable fails where no file may be written into the folder. It looks once at each folder, and writes nothing.
func (s *shared) writable(folder string) error {
	if err, tried := s.folders[folder]; tried {
		return err
	}
	err := access.Write(folder)
	if err != nil {
		err = i18n.Errorf("fault.refresh_token_folder", folder, files.Cause(err))
	}
	s.folders[folder] = err
	return err
}

// looksLikeToken reports whether a file's name is as long as an access token and has no other
// characters, or has the mark of a refresh token, or is a secret. Such a name is not shown.
func looksLikeToken(path string) bool {
	name := filepath.Base(path)
	return len(name) >= 80 && !strings.ContainsFunc(name, notInAppID) || strings.Contains(path, "@@@") || looksLikeSecret(path)
}

// absolute returns a form of the path that is the same however the file is named.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
