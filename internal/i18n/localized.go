package i18n

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// Localized is a value with a text in each language, such as a fault of the configuration. An argument of a text
// may be one.
type Localized interface {
	// In returns the text in the printer's language.
	In(p Printer) string
}

// In implements Localized.
func (m Message) In(p Printer) string { return p.Message(m) }

// String returns the text in English, for logs and errors.
func (m Message) String() string {
	for _, part := range parts()[English] {
		t, ok := part()[m.Key]
		if !ok {
			continue
		}
		format := t.other
		if t.one != "" && len(m.Args) > 0 && fmt.Sprint(m.Args[0]) == "1" {
			format = t.one
		}
		if !strings.Contains(format, "%[") {
			return strings.ReplaceAll(format, "%%", "%") // and mentions no argument
		}
		return fmt.Sprintf(format, m.Args...)
	}
	return m.Key
}

// List is values that a text names one after the other.
type List []any

// Names returns the list of names; of many it has the first few and counts the rest.
func Names(names []string) any {
	const most = 5
	list := make(List, len(names))
	for i, name := range names {
		list[i] = name
	}
	if len(list) > most {
		return M("list.more", list[:most], len(list)-most)
	}
	return list
}

// In implements Localized.
func (l List) In(p Printer) string {
	texts := make([]string, len(l))
	for i, item := range l {
		texts[i] = fmt.Sprint(p.arg(item))
	}
	return strings.Join(texts, p.Text("list.comma"))
}

// String returns the list in English.
func (l List) String() string {
	texts := make([]string, len(l))
	for i, item := range l {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, ", ")
}

// Error is an error with a text in each language.
type Error struct {
	Message
	// Err is the cause, which the text may contain; may be nil.
	Err error
}

// Errorf returns an error with a message. The last argument that is an error is its cause.
func Errorf(key string, args ...any) *Error {
	e := &Error{Message: M(key, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			e.Err = err
		}
	}
	return e
}

// Error returns the text in English.
func (e *Error) Error() string { return e.String() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Error returns the text of an error: in the printer's language if it has one, or else its own.
func (p Printer) Error(err error) string {
	if l, ok := err.(Localized); ok {
		return l.In(p)
	}
	if e, ok := err.(*weixin.Error); ok { //nolint:errorlint // the text of an error that wraps another one is its own
		return p.Message(WeixinError(e))
	}
	if err == secret.ErrNotRegular { //nolint:errorlint // the text of an error that wraps another one is its own
		return p.Text("errno.not_regular")
	}
	number, ok := err.(syscall.Errno) //nolint:errorlint // the text of an error that wraps another one is its own
	if !ok {
		return err.Error()
	}
	switch {
	case errors.Is(number, fs.ErrNotExist):
		return p.Text("errno.not_exist")
	case errors.Is(number, fs.ErrPermission):
		return p.Text("errno.permission")
	case number == syscall.EISDIR:
		return p.Text("errno.folder")
	case number == syscall.ENOTDIR:
		return p.Text("errno.not_folder")
	case number == syscall.ENOSPC:
		return p.Text("errno.space")
	case number == syscall.EROFS:
		return p.Text("errno.read_only")
	default:
		return err.Error()
	}
}
