package weixin_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

func TestParseToken(t *testing.T) {
	tests := []struct {
		content string // T is the token
		life    time.Duration
	}{
		{"T", 0},
		{" \t\r\n T \r\n\n", 0},
		{"\uFEFFT\n", 0},
		{" \uFEFF T", 0},
		{`"T"`, 0},
		{"\uFEFF\n\"T\"\n", 0},
		{`{"access_token":"T"}`, 0},
		{`{"access_token":"T","expires_in":null}`, 0},
		{`{"access_token":"T","expires_in":7200}`, 2 * time.Hour},
		{`{"access_token":"T","expires_in":"7200"}`, 2 * time.Hour},
		{`{"access_token":"T","expires_in":" 300 "}`, 5 * time.Minute},
		{`{"access_token":"T","expires_in":0.5}`, 500 * time.Millisecond},
		{`{"access_token":"T","expires_in":1e300}`, 365 * 24 * time.Hour},
		{`{"access_token":"T","expires_in":1e999}`, 365 * 24 * time.Hour},
		{"\uFEFF{\n  \"errcode\": 0, \"errmsg\": \"ok\", \"expires_in\": 7199, \"access_token\": \"T\", \"x\": [{}]\n}\n", 7199 * time.Second},
		{`{"errcode":null,"access_token":"T","ACCESS_TOKEN":"other","Expires_In":1}`, 0},
	}
	for _, test := range tests {
		content := strings.Replace(test.content, "T", theToken, 1)
		got, err := weixin.ParseToken([]byte(content), weixin.TokenFormat{})
		if err != nil || !got.Text.Equal(secret.New(theToken)) || got.Life != test.life {
			t.Errorf("%q: got a token: %t, life %s, error %v; want life %s", test.content, !got.Text.IsZero(), got.Life, err, test.life)
		}
	}
	longest := strings.Repeat("T", 4096)
	if got, err := weixin.ParseToken([]byte(longest), weixin.TokenFormat{}); err != nil || !got.Text.Equal(secret.New(longest)) {
		t.Errorf("a token of 4096 bytes: %v", err)
	}
}

func TestParseTokenSaysWhatItFound(t *testing.T) {
	tests := []struct{ content, found string }{
		{"", "an empty text"},
		{" \n\uFEFF\n ", "an empty text"},
		{"<!doctype html><p>T</p>", "an HTML page"},
		{"\uFEFF<Html>\nT", "an HTML page"},
		{"<?xml version='1.0'?>T", "markup such as HTML or XML"},
		{`["T"]`, "JSON of another form"},
		{`[T`, "JSON of another form"},
		{"null", "a single JSON value that is not a string"},
		{"-17", "a single JSON value that is not a string"},
		{"T\nand\n\nT", "4 lines of text"},
		{"Bearer T", "2 words of text"},
		{"access_token: T", "2 words of text"},
		{"T\x00", "32 bytes of binary data"},
		{"T\xff", "32 bytes of binary data"},
		{"\xff\xfeT\x00", "text in UTF-16"},
		{"Tü", "a word with characters that a token cannot have"},
		{`T"`, "a word with characters that a token cannot have"},
		{strings.Repeat("x", 4097), "a word of 4097 bytes"},
		{`"T`, "text that begins like a JSON string but is invalid"},
		{`"T" "T"`, "text that begins like a JSON string but is invalid"},
		{`""`, "a JSON string with an empty text"},
		{`" T "`, "a JSON string with a word with characters that a token cannot have"},
		{`"a T"`, "a JSON string with 2 words of text"},
		{`"{\"access_token\":\"T\"}"`, "a JSON string with JSON of another form"},
		{`{"access_token":"T"`, "text that begins like a JSON object but is invalid"},
		{`{"access_token":"T"}{}`, "text that begins like a JSON object but is invalid"},
		{`{}`, "a JSON object without access_token"},
		{`{"data":{"token":"T"}}`, "a JSON object without access_token"},
		{`{"errcode":0,"errmsg":"T"}`, "a JSON object without access_token"},
		{`{"errcode":40001,"errmsg":"T"}`, "a JSON object with errcode 40001"},
		{`{"errcode":"-1","access_token":"T"}`, "a JSON object with errcode -1"},
		{`{"errcode":"T"}`, "a JSON object whose errcode is not a number"},
		{`{"access_token":17}`, "a JSON object whose access_token is not a string"},
		{`{"access_token":null}`, "a JSON object whose access_token is not a string"},
		{`{"access_token":""}`, "a JSON object whose access_token is an empty text"},
		{`{"access_token":"T\nT"}`, "a JSON object whose access_token is 2 lines of text"},
		{`{"access_token":"T","expires_in":"soon"}`, "a JSON object whose expires_in is not a number"},
		{`{"access_token":"T","expires_in":"Inf"}`, "a JSON object whose expires_in is not a number"},
		{`{"access_token":"T","expires_in":"0x10"}`, "a JSON object whose expires_in is not a number"},
		{`{"access_token":"T","expires_in":""}`, "a JSON object whose expires_in is not a number"},
		{`{"access_token":"T","expires_in":[]}`, "a JSON object whose expires_in is not a number"},
		{`{"access_token":"T","expires_in":true}`, "a JSON object whose expires_in is not a number"},
		{`{"access_token":"T","expires_in":0}`, ""},
		{`{"access_token":"T","expires_in":"-5"}`, ""},
		{`{"access_token":"T","expires_in":-1e999}`, ""},
	}
	for _, test := range tests {
		token, err := weixin.ParseToken([]byte(strings.ReplaceAll(test.content, "T", theToken)), weixin.TokenFormat{})
		want := "found " + test.found + " instead of a token"
		if test.found == "" {
			want = "found a JSON object that says that the token has expired (expires_in)"
		}
		if err == nil || err.Error() != want {
			t.Errorf("%.60q:\ngot  %v\nwant %s", test.content, err, want)
			continue
		}
		wantClean(t, err)
		if !token.Text.IsZero() {
			t.Errorf("%.60q: a token is returned with the error", test.content)
		}
	}
}

// foundPattern matches all errors of ParseToken.
var foundPattern = regexp.MustCompile(`^found (?:a JSON object that says that the token has expired \(expires_in\)|` +
	`(?:a JSON string with |a JSON object whose (?:authorizer_)?access_token is )?` +
	`(?:an empty text|an HTML page|markup such as HTML or XML|JSON of another form|a single JSON value that is not a string|` +
	`text in UTF-16|\d+ bytes of binary data|\d+ (?:lines|words) of text|a word of \d+ bytes|a word with characters that a token cannot have|` +
	`text that begins like a JSON (?:string|object) but is invalid|a JSON object with errcode -?\d+|a JSON object without access_token|a JSON object with component_access_token, which is a token of another kind,|` +
	`a JSON object whose (?:errcode|expires_in) is not a number|a JSON object whose (?:authorizer_)?access_token is not a string) instead of a token)$`)

func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{
		"", theToken, "\uFEFF" + theToken + "\r\n", `"` + theToken + `"`, `"\u0041"`,
		`{"access_token":"` + theToken + `","expires_in":7200}`, `{"access_token":"a","expires_in":"1e3"}`,
		`{"errcode":40001,"errmsg":"invalid credential"}`, "<html>", "[1]", "null", "a b\nc", "\x00\xff", `{"access_token":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		before := bytes.Clone(content)
		token, err := weixin.ParseToken(content, weixin.TokenFormat{})
		if !bytes.Equal(before, content) {
			t.Error("the content was changed")
		}
		if err != nil {
			if !foundPattern.MatchString(err.Error()) || !token.Text.IsZero() {
				t.Errorf("error %q", err)
			}
			return
		}
		text := token.Text.Reveal()
		if text == "" || len(text) > 4096 || token.Life < 0 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("a token of %d bytes and life %s that cannot be used", len(text), token.Life)
		}
		again, err := weixin.ParseToken([]byte(`{"access_token":"`+strings.ReplaceAll(text, `\`, `\\`)+`"}`), weixin.TokenFormat{})
		if err != nil || !again.Text.Equal(token.Text) {
			t.Errorf("in an object it is another token: %v", err)
		}
	})
}

// The token in an object: Weixin's own response, as it is, nested, or under another name.
func TestTokenFormats(t *testing.T) {
	account, component := weixin.TokenFormat{}, weixin.TokenFormat{Component: true}
	at := func(path string) weixin.TokenFormat { return weixin.TokenFormat{Path: path} }
	for _, c := range []struct {
		format  weixin.TokenFormat
		content string
		life    time.Duration
		says    string // in the error; "" if the token is found
	}{
		{account, `{"authorizer_access_token":"T","expires_in":"7200"}`, 2 * time.Hour, ""},
		{account, `{"data":{"access_token":"T","expires_in":60}}`, time.Minute, ""},
		{account, `{"code":0,"data":{"access_token":"T"},"expires_in":60}`, time.Minute, ""},
		{account, `{"component_access_token":"T","expires_in":60}`, 0, "a JSON object with component_access_token, which is a token of another kind, instead of a token"},
		{account, `{"data":null}`, 0, "a JSON object without access_token"},
		{component, `{"component_access_token":"T","expires_in":7200}`, 2 * time.Hour, ""},
		{component, `{"access_token":"T"}`, 0, ""},
		{component, `{"data":{"component_access_token":"T","authorizer_access_token":"other"}}`, 0, ""},
		{component, `{"authorizer_access_token":"T"}`, 0, "a JSON object with authorizer_access_token, which is a token of another kind, instead of a token"},
		{component, `{}`, 0, "a JSON object without component_access_token"},
		{at("token"), `{"token":"T","access_token":"other","expires_in":60}`, time.Minute, ""},
		{at("data.token"), "\uFEFF{\"message\":\"\xb3\xc9\xb9\xa6\n\",\"data\":{\"token\":\"T\",\"expires_in\":60}}", time.Minute, ""},
		{at("data"), `{"data":"T"}`, 0, ""},
		{at("data.token"), `{"data":{"access_token":"T"}}`, 0, "a JSON object without data.token"},
		{at("data.token"), `{"data":["T"]}`, 0, "a JSON object without data.token"},
		{at("data.token"), `{"data":{"token":{}}}`, 0, "a JSON object whose data.token is not a string"},
		{at("data.token"), `{"errcode":40013}`, 0, "a JSON object with errcode 40013"},
		{at("data.token"), `T`, 0, "text that is not a JSON object with data.token"},
	} {
		got, err := weixin.ParseToken([]byte(strings.ReplaceAll(c.content, "T", theToken)), c.format)
		switch {
		case c.says == "" && (err != nil || !got.Text.Equal(secret.New(theToken)) || got.Life != c.life):
			t.Errorf("%+v of %s: life %s, error %v", c.format, c.content, got.Life, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), theToken)):
			t.Errorf("%+v of %s: error %v, want %q in it", c.format, c.content, err, c.says)
		}
	}
}

// FuzzTokenFormats checks for all formats that a token can be used, and that an error shows nothing of the
// content.
func FuzzTokenFormats(f *testing.F) {
	f.Add([]byte(`{"data":{"token":"`+theToken+`","expires_in":60}}`), "data.token", false)
	f.Add([]byte(`{"component_access_token":"`+theToken+`"}`), "", true)
	f.Add([]byte("{\"a\":\"\n\x81\\\"}"), "a", false)
	f.Fuzz(func(t *testing.T, content []byte, path string, component bool) {
		token, err := weixin.ParseToken(content, weixin.TokenFormat{Path: path, Component: component})
		switch {
		case err == nil && (token.Text.IsZero() || token.Life < 0):
			t.Error("a token that cannot be used")
		case err != nil && !token.Text.IsZero():
			t.Error("a token is returned with an error")
		case err != nil && !strings.HasPrefix(err.Error(), "found "):
			t.Errorf("error %q", err)
		}
	})
}
