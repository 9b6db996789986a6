package e2e_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"weixin_exporter/internal/config"
)

// canaries are the secrets of a configuration that are searched for in all output of a test.
type canaries struct {
	of map[string]string // the key of the configuration, by the secret in one of its forms
	in phrases
}

func newCanaries(found secretFields) *canaries {
	c := &canaries{of: map[string]string{}, in: phrases{}}
	for key, texts := range found {
		for _, text := range texts {
			c.add(key, text)
		}
	}
	return c
}

// add adds a secret in the forms that programs give it: escaped for URLs, JSON and HTML, hexadecimal, in Base64 wherever
// it begins in what is encoded, such as a user and a password, and as words of a stack, where an array that is passed by
// value is shown.
func (c *canaries) add(key, text string) {
	quoted, _ := json.Marshal(text) // never fails for a string
	forms := []string{
		text, url.QueryEscape(text), url.PathEscape(text), string(quoted[1 : len(quoted)-1]), html.EscapeString(text),
		hex.EncodeToString([]byte(text)),
	}
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("-", before) + text))
		forms = append(forms, encoded[4:len(encoded)-3]) // without what depends on its neighbours
	}
	const word = 8
	for at := word; at+word <= len(text); at += word { // all begin with the same words
		forms = append(forms, fmt.Sprintf("%#x", binary.LittleEndian.Uint64([]byte(text[at:]))))
	}
	for _, form := range forms {
		c.of[form] = key
		c.in.add(form)
	}
}

// check fails if an output of the test so far has a secret. It names the key and the output, and shows neither.
func (c *canaries) check(t *testing.T) {
	t.Helper()
	outputs := suite.recorder.of(t.Name())
	if len(outputs) == 0 {
		t.Error("there is no output")
	}
	for _, o := range outputs {
		for _, key := range c.found(o.text) {
			t.Errorf("%s has the secret of %s", o.source, key)
		}
	}
}

// found returns the keys whose secrets a text has.
func (c *canaries) found(text string) []string {
	if !c.in.in(text) {
		return nil
	}
	keys := map[string]bool{}
	for form, key := range c.of {
		if strings.Contains(text, form) {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// of returns the outputs of a test.
func (r *recorder) of(test string) []programOutput {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []programOutput
	for _, o := range r.outputs {
		if o.test == test {
			found = append(found, o)
		}
	}
	return found
}

func TestCanariesAreFound(t *testing.T) {
	t.Parallel()
	const text = "sim-secret-a/b <&\" c"
	c := newCanaries(secretFields{"store.url": {text}})
	for _, shown := range []string{
		text, "x=" + url.QueryEscape(text) + "&", url.PathEscape(text), fmt.Sprintf("%x", text), html.EscapeString(text),
		base64.StdEncoding.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte("u:" + text)),
		base64.URLEncoding.EncodeToString([]byte("user:" + text)), base64.StdEncoding.EncodeToString([]byte("me:" + text)),
		"main.f({0x726365732d6d6973, 0x3c20622f612d7465, 0x6320})",
	} {
		if got := c.found("a log line with " + shown + " in it"); len(got) != 1 || got[0] != "store.url" {
			t.Errorf("%q is not found", mask(shown))
		}
	}
	if got := c.found("a log line with <secret> in it"); len(got) > 0 {
		t.Errorf("found %q in a harmless text", got)
	}
}

// TestEverySecretFieldHasACanary: the configurations of these tests have a secret in each field that can hold one.
func TestEverySecretFieldHasACanary(t *testing.T) {
	t.Parallel()
	held := secretFields{}
	w := newCanaryFixture(t)
	for _, store := range []string{inAFile, inADatabase, "store:\n  url: " + storeURL("in-the-configuration") + "\n  sealing_key_file: sealing-key\n"} {
		w.write(t, canaryConfig(t, w, "http://127.0.0.1:1", store))
		c, err := config.Load(w.config)
		if err != nil {
			t.Fatal(mask(err.Error()))
		}
		for _, fault := range c.AccountFaults() {
			t.Error(mask(fault.String()))
		}
		maps.Copy(held, secretsIn(t, c))
	}
	want := secretKeys()
	if len(want) < 30 || !slices.Contains(want, "accounts.callback.token") || !slices.Contains(want, "http_config.oauth2.tls_config.key") {
		t.Errorf("the secret fields are %q", want)
	}
	for _, key := range want {
		if len(held[key]) == 0 {
			t.Errorf("no configuration of these tests has a secret in %s: add one to canaryconfig_test.go", key)
		}
	}
}
