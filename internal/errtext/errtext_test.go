package errtext_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"testing"
	"unicode/utf8"

	"weixin_exporter/internal/errtext"
)

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "",
		" a  b ":                      "a b",
		"a\r\n\tb\x00\x1b[31mc":       "a b [31mc",
		"中文\u202eabc\u2028d":          "中文 abc d",
		"a\xffb\uFFFDc":               "a b c",
		"already one line: 1, 2 (3).": "already one line: 1, 2 (3).",
	} {
		if got := errtext.OneLine(text); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct {
		text       string
		characters int
		want       string
	}{{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"公众号管理员", 3, "公众号…"}} {
		if got := errtext.Shorten(c.text, c.characters); got != c.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", c.text, c.characters, got, c.want)
		}
	}
}

func TestWithoutURL(t *testing.T) {
	cause := errors.New("connection refused")
	inner := &url.Error{Op: "Get", URL: "https://user:word@proxy.example", Err: cause}
	for _, err := range []error{cause, inner, fmt.Errorf("asking: %w", &url.Error{Op: "Post", URL: "https://a.example?k=v", Err: inner})} {
		if got := errtext.WithoutURL(err); got != cause {
			t.Errorf("WithoutURL(%v) = %v, want %v", err, got, cause)
		}
	}
	empty := &url.Error{Op: "Get", URL: "https://a.example"}
	if got := errtext.WithoutURL(empty); got != error(empty) {
		t.Errorf("an error without a cause becomes %v", got)
	}
}

func TestWithoutPath(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "/run/x", Err: fs.ErrNotExist}, "file does not exist"},
		{&fs.PathError{Op: "stat", Path: "/run/x", Err: fs.ErrPermission}, "permission denied"},
		{fmt.Errorf("saving: %w", &fs.PathError{Op: "write", Path: "/run/x", Err: fs.ErrClosed}), "write: file already closed"},
		{&os.LinkError{Op: "rename", Old: "/run/x", New: "/run/y", Err: fs.ErrExist}, "rename: file already exists"},
		{errors.New("other"), "other"},
	} {
		got := errtext.WithoutPath(c.err)
		if got.Error() != c.want {
			t.Errorf("WithoutPath(%v) = %v, want %s", c.err, got, c.want)
		}
	}
	if err := errtext.WithoutPath(&fs.PathError{Op: "write", Path: "/run/x", Err: fs.ErrClosed}); !errors.Is(err, fs.ErrClosed) {
		t.Error("the cause is lost")
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\nb")
	f.Fuzz(func(t *testing.T, text string) {
		got := errtext.OneLine(text)
		if !utf8.ValidString(got) || got != errtext.OneLine(got) {
			t.Errorf("OneLine(%q) = %q, which is not in its final form", text, got)
		}
	})
}
