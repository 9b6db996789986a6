package e2e_test

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	promconfig "github.com/prometheus/common/config"

	"weixin_exporter/internal/config"
	"weixin_exporter/weixin/secret"
)

// secretFields are the secrets of a configuration, by the keys that lead to them.
type secretFields map[string][]string

// secretKeys returns the keys of all fields of the configuration that hold a secret, found by their types, so that a
// new field cannot be forgotten.
func secretKeys() []string {
	found := secretFields{}
	found.ofType(reflect.TypeFor[config.Config](), "")
	return slices.Sorted(maps.Keys(found))
}

// secretsIn returns what the secret fields of a configuration hold.
func secretsIn(t *testing.T, c *config.Config) secretFields {
	t.Helper()
	found := secretFields{}
	found.ofValue(t, reflect.ValueOf(*c), "")
	return found
}

// isPath reports whether a field of text names a file with a secret.
func isPath(key string) bool {
	switch name := key[strings.LastIndex(key, ".")+1:]; name {
	case "ca_file", "cert_file", "username_file", "account_files":
		return false // nothing in them is secret
	case "path":
		return key != "store.path"
	default:
		return strings.HasSuffix(name, "_file") || key == "http_config.http_headers.files"
	}
}

// isFree reports whether a field holds secrets although its type does not say so.
func isFree(key string) bool {
	return slices.Contains([]string{"http_config.oauth2.token_url", "http_config.oauth2.endpoint_params", "http_config.oauth2.claims"}, key)
}

// isSecret reports whether values of the type are secrets.
func isSecret(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[secret.Value](), reflect.TypeFor[secret.URL](), reflect.TypeFor[promconfig.Secret](), reflect.TypeFor[promconfig.URL]():
		return true
	}
	return false
}

// keyOf returns the key of a field of the structure that key leads to; "" for one that the configuration does not have.
// All http_config are one, since they have one type, and most of their keys exclude others.
func keyOf(f reflect.StructField, key string) string {
	name, inline, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	switch {
	case !f.IsExported() || name == "-" || strings.HasPrefix(name, "bearer_token"):
		return "" // a bearer_token becomes the credentials of an authorization
	case f.Type == reflect.TypeFor[promconfig.HTTPClientConfig]() || f.Type == reflect.TypeFor[*promconfig.HTTPClientConfig]():
		return "http_config"
	case inline == "inline":
		return key
	case key == "":
		return name
	default:
		return key + "." + name
	}
}

func (f secretFields) ofType(t reflect.Type, key string) {
	if isSecret(t) || isFree(key) || t.Kind() == reflect.String && isPath(key) {
		f[key] = nil
		return
	}
	switch t.Kind() { //nolint:exhaustive // the others contain no fields
	case reflect.Pointer, reflect.Slice, reflect.Map:
		f.ofType(t.Elem(), key)
	case reflect.Struct:
		for field := range t.Fields() {
			if child := keyOf(field, key); child != "" {
				f.ofType(field.Type, child)
			}
		}
	}
}

func (f secretFields) ofValue(t *testing.T, v reflect.Value, key string) {
	t.Helper()
	if v.IsZero() {
		return
	}
	switch {
	case isSecret(v.Type()) || isFree(key):
		f.add(t, key, v.Interface())
		return
	case v.Kind() == reflect.String && isPath(key):
		if text, err := os.ReadFile(v.String()); err != nil {
			t.Errorf("%s: %v", key, err)
		} else {
			f.add(t, key, string(text))
		}
		return
	}
	switch v.Kind() { //nolint:exhaustive // as above
	case reflect.Pointer:
		f.ofValue(t, v.Elem(), key)
	case reflect.Slice:
		for i := range v.Len() {
			f.ofValue(t, v.Index(i), key)
		}
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			f.ofValue(t, each.Value(), key)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if child := keyOf(v.Type().Field(i), key); child != "" {
				f.ofValue(t, v.Field(i), child)
			}
		}
	}
}

// add adds what is secret in the value of a field. Of a URL that is its password and its query, since a user's name may be
// shown in http_config.
func (f secretFields) add(t *testing.T, key string, value any) {
	t.Helper()
	address := ""
	switch value := value.(type) {
	case secret.Value:
		f.text(key, value.Reveal())
	case promconfig.Secret:
		f.text(key, string(value))
	case map[string]string:
		for _, text := range value {
			f.text(key, text)
		}
	case map[string]any:
		for _, text := range value {
			f.text(key, fmt.Sprint(text))
		}
	case secret.URL:
		address = value.Reveal()
	case promconfig.URL:
		address = value.String()
	case string:
		if address = value; !strings.Contains(value, "://") {
			f.text(key, value)
			return
		}
	default:
		t.Fatalf("%s is a %T", key, value)
	}
	if u, err := url.Parse(strings.TrimSpace(address)); err != nil {
		t.Errorf("%s: not a URL", key)
	} else {
		password, _ := u.User.Password()
		f.text(key, password)
		for name, texts := range u.Query() {
			if name != "host" { // the folder of a database's socket
				f.text(key, texts[0])
			}
		}
	}
}

// text adds a secret. Of one in PEM a line is enough, which is not the first, since they begin alike.
func (f secretFields) text(key, text string) {
	if strings.HasPrefix(text, "-----BEGIN") {
		text = strings.Split(text, "\n")[2]
	}
	// Shorter ones are names, such as sslmode=require.
	if text = strings.TrimSpace(text); len(text) >= 2*phraseStart {
		f[key] = append(f[key], text)
	}
}
