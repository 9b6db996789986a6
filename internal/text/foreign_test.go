package text_test

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"unicode/utf8"

	"weixin_exporter/internal/text"
)

func TestOneLine(t *testing.T) {
	for from, want := range map[string]string{
		"":                            "",
		" a  b ":                      "a b",
		"a\r\n\tb\x00\x1b[31mc":       "a b [31mc",
		"中文\u202eabc\u2028d":          "中文 abc d",
		"a\xffb\uFFFDc":               "a b c",
		"already one line: 1, 2 (3).": "already one line: 1, 2 (3).",
	} {
		if got := text.OneLine(from); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", from, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		from       string
		characters int
		want       string
	}{{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"公众号管理员", 3, "公众号…"}} {
		if got := text.Shorten(c.from, c.characters); got != c.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", c.from, c.characters, got, c.want)
		}
	}
}

func TestWithoutURL(t *testing.T) {
	cause := errors.New("connection refused")
	inner := &url.Error{Op: "Get", URL: "https://user:word@proxy.example", Err: cause}
	for _, err := range []error{cause, inner, fmt.Errorf("asking: %w", &url.Error{Op: "Post", URL: "https://a.example?k=v", Err: inner})} {
		if got := text.WithoutURL(err); got.Error() != cause.Error() {
			t.Errorf("WithoutURL(%v) = %v, want %v", err, got, cause)
		}
	}
	empty := &url.Error{Op: "Get", URL: "https://a.example"}
	if got := text.WithoutURL(empty); !errors.Is(got, empty) {
		t.Errorf("an error without a cause becomes %v", got)
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\nb")
	f.Fuzz(func(t *testing.T, from string) {
		got := text.OneLine(from)
		if !utf8.ValidString(got) || got != text.OneLine(got) {
			t.Errorf("OneLine(%q) = %q, which is not in its final form", from, got)
		}
	})
}
