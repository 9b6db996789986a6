package secret_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"weixin_exporter/weixin/secret"
)

func masker(texts ...string) secret.Masker { return secret.Masker{}.Add(texts...) }

func TestMask(t *testing.T) {
	for name, c := range map[string]struct {
		hidden     []string
		text, want string
	}{
		"nothing hidden":             {nil, "a text", "a text"},
		"in a word":                  {[]string{"hunter2x"}, "xhunter2xx", "x<secret>x"},
		"one letter":                 {[]string{"s"}, "secret=s&user=s1 was refused: s", "secret=<secret>&user=s1 was refused: <secret>"},
		"one letter in a mask":       {[]string{"s", "hunter2x"}, "token=hunter2x", "token=<secret>"},
		"the word itself":            {[]string{"secret"}, "a secret and <secret>", "a <secret> and <secret>"},
		"one within another":         {[]string{"word", "password"}, "password word", "<secret> <secret>"},
		"overlapping":                {[]string{"abcd", "cdef"}, "abcdef", "<secret>"},
		"overlapping itself":         {[]string{"abab"}, "xababab", "x<secret>"},
		"a secret that holds a mask": {[]string{"x<secret>x"}, "ax<secret>xb", "a<secret>b"},
		"in a URL":                   {[]string{"a b/ü"}, "q=a+b%2F%C3%BC&p=a%20b%2F%C3%BC&l=a+b%2f%c3%bc", "q=<secret>&p=<secret>&l=<secret>"},
		"in JSON":                    {[]string{"a\"<b"}, `{"s":"a\"\u003cb"}`, `{"s":"<secret>"}`},
		"in HTML":                    {[]string{"a<b&c"}, "<p>a&lt;b&amp;c</p>", "<p><secret></p>"},
		"a short one beside letters": {[]string{"1"}, "10 of 1 rows, x1", "10 of <secret> rows, x1"},
	} {
		if got := masker(c.hidden...).Mask(c.text); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// FuzzMask checks that no secret of four bytes or more remains outside of the masks, and that valid UTF-8 stays valid.
func FuzzMask(f *testing.F) {
	f.Add("s", "secret", "secret=s")
	f.Add("abcd", "cdef", "abcdef <secret> <sec")
	f.Fuzz(func(t *testing.T, a, b, text string) {
		m := masker(a, b)
		masked := m.Mask(text)
		for part := range strings.SplitSeq(masked, secret.Mask) {
			for _, hidden := range []string{a, b} {
				if len(hidden) >= 4 && strings.Contains(part, hidden) {
					t.Fatal("a secret is left")
				}
			}
		}
		if utf8.ValidString(text) && utf8.ValidString(a) && utf8.ValidString(b) && !utf8.ValidString(masked) {
			t.Fatal("valid text became invalid")
		}
	})
}

func TestURLShowsNothingSecret(t *testing.T) {
	type holder struct {
		Shown    secret.URL
		internal secret.URL
	}
	for text, want := range map[string]string{
		"https://tokens.example/shop":                         "https://tokens.example/shop",
		"https://hidden-user@tokens.example:8443/a?":          "https://<secret>@tokens.example:8443/a?<secret>",
		"https://u:hidden-word@tokens.example/a@b?k=hidden-q": "https://<secret>@tokens.example/a@b?<secret>",
		"http://hidden:%zz":                                   "<secret>",
		"":                                                    "",
	} {
		u := secret.NewURL(text)
		if u.Redacted() != want || u.String() != want || u.Reveal() != text {
			t.Errorf("shown as %q, want %q", u.Redacted(), want)
		}
		h := holder{u, u}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			for _, x := range []any{u, &u, h, &h, []secret.URL{u}} {
				shown := fmt.Sprintf(verb, x)
				if strings.Contains(shown, "hidden") || strings.Contains(shown, fmt.Sprintf("%x", "hidden")) {
					t.Errorf("%s of %T shows a secret part: %s", verb, x, shown)
				}
			}
		}
		if text, err := u.MarshalText(); err != nil || string(text) != want {
			t.Errorf("marshalled as %s, %v", text, err)
		}
	}
	u := secret.NewURL("https://u:hidden-word@tokens.example/shop?k=hidden-q&x=1")
	if got := u.Endpoint(); got != "https://tokens.example/shop" {
		t.Errorf("the endpoint is %q", got)
	}
	if got := u.Masker().Mask("GET /shop?k=hidden-q&x=1: hidden-word, hidden-q: 1"); got != "GET /shop?<secret>: <secret>, <secret>: 1" {
		t.Errorf("masked as %q", got)
	}
	if _, err := secret.NewURL("http://hidden:%zz").Parse(); err == nil || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "zz") {
		t.Errorf("the error quotes the URL: %v", err)
	}
}

func FuzzURL(f *testing.F) {
	f.Add("user", "pass@/word", "tokens.example", "a b")
	f.Fuzz(func(t *testing.T, user, password, host, query string) {
		const mark = "hiddenpart"
		text := (&url.URL{
			Scheme: "https", Host: host, Path: "/", User: url.UserPassword(mark+user, mark+password),
			RawQuery: url.Values{"k": {mark + query}}.Encode(),
		}).String()
		if strings.Contains(secret.NewURL(text).Redacted(), mark) && !strings.Contains(host, mark) {
			t.Fatal("a secret part is shown")
		}
	})
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{
		"word":                      "word",
		"word\r\n":                  "word",
		"\uFEFFword\n":              "word",
		"\n \uFEFF word \n\n":       "word",
		"":                          "",
		"\uFEFF":                    "",
		strings.Repeat("x", 64<<10): strings.Repeat("x", 64<<10),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := secret.ReadFile(path); err != nil || got != want {
			t.Errorf("%.20q: %.20q, %v", content, got, err)
		}
	}
	if err := os.WriteFile(path, make([]byte, 64<<10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		path: "file larger than 64 KiB", path + "-none": "no such file or directory", filepath.Dir(path): "not a regular file",
	} {
		if _, err := secret.ReadFile(name); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
