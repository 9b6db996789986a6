// Package i18n has all texts for people, in English and Chinese. Other packages hold messages, a key
// with arguments, and turn them into text at the edge, where it is known who reads them.
package i18n

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// Message is a text in any language: its key in the catalogue, and what its placeholders stand for.
// The zero value means that there is no message.
type Message struct {
	Key  string
	Args []any
}

// M returns a message. An argument may be a Message itself, which is then written in the same language.
func M(key string, args ...any) Message { return Message{key, args} }

// IsZero reports whether there is no message.
func (m Message) IsZero() bool { return m.Key == "" }

// text is an entry of a table: a format of x/text/message. One is used where the first argument is
// a number that the language's grammar treats as one; Chinese has no such form.
type text struct{ one, other string }

func only(other string) text { return text{other: other} }

func counted(one, other string) text { return text{one, other} }

// table holds the texts of a language by their keys.
type table map[string]text

// parts returns the parts of each language. Parts of the same place in the lists hold the same keys.
func parts() [Languages][]func() table {
	return [Languages][]func() table{
		English: {faultEnglish, settingEnglish, checkEnglish, foundEnglish, commandEnglish, pageEnglish, healthEnglish, probesEnglish, adviceEnglish},
		Chinese: {faultChinese, settingChinese, checkChinese, foundChinese, commandChinese, pageChinese, healthChinese, probesChinese, adviceChinese},
	}
}

// Catalogue holds the texts of all languages. It is safe for concurrent use.
type Catalogue struct {
	keys     map[string]bool
	printers [Languages]*message.Printer
}

// New returns the catalogue.
func New() (*Catalogue, error) {
	c := &Catalogue{keys: map[string]bool{}}
	b := catalog.NewBuilder(catalog.Fallback(English.tag()))
	for l, own := range parts() {
		for _, part := range own {
			for key, entry := range part() {
				if err := b.Set(Language(l).tag(), key, entry.message()); err != nil {
					return nil, fmt.Errorf("text %q in %v: %w", key, Language(l), err)
				}
				c.keys[key] = true
			}
		}
	}
	for _, l := range All() {
		c.printers[l] = message.NewPrinter(l.tag(), message.Catalog(b))
	}
	return c, nil
}

func (t text) message() catalog.Message {
	if t.one == "" {
		return catalog.String(t.other)
	}
	return plural.Selectf(1, "%d", plural.One, t.one, plural.Other, t.other)
}

// Keys returns the keys of all texts in order.
func (c *Catalogue) Keys() []string { return slices.Sorted(maps.Keys(c.keys)) }

// Has reports whether there is a text with the key.
func (c *Catalogue) Has(key string) bool { return c.keys[key] }

// In returns the texts in one language.
func (c *Catalogue) In(l Language) Printer { return Printer{Language: l, catalogue: c} }

// Printer writes texts, numbers and times in one language.
type Printer struct {
	Language
	catalogue *Catalogue
}

// Text returns the text with the key. A key without a text, which a test excludes, returns the key.
func (p Printer) Text(key string, args ...any) string {
	if !p.catalogue.Has(key) {
		return key
	}
	written := make([]any, len(args))
	for i, arg := range args {
		written[i] = p.arg(arg)
	}
	return p.catalogue.printers[p.Language].Sprintf(key, written...)
}

// Message returns a message's text; "" where there is none.
func (p Printer) Message(m Message) string {
	if m.IsZero() {
		return ""
	}
	return p.Text(m.Key, m.Args...)
}

// Has reports whether there is a text with the key.
func (p Printer) Has(key string) bool { return p.catalogue.Has(key) }
