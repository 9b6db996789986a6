// Package strictyaml reads a YAML document into Go values and collects everything that is wrong with it: each
// fault has the file, the line, the column and the path of the key. Unknown keys, keys that are given twice and
// values of the wrong type are faults. Faults never quote a value, which may be a secret.
//
// A field of a structure is the value of the key in its yaml tag. Its tag "allowed" says what the value must
// be, for a fault, by the key of a text in the catalogue:
//
//	Timeout model.Duration `yaml:"timeout" allowed:"want.timeout"`
//
// The checks of values are left to the caller, who adds faults with Document.Fault or Document.Refuse.
package strictyaml

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/i18n"
)

// Place is where a key or an item of a list begins. Both numbers count from 1.
type Place struct{ Line, Column int }

func placeOf(n *yaml.Node) Place { return Place{n.Line, n.Column} }

// Document is a YAML document of one file, with the places of its keys and the faults found so far.
type Document struct {
	// File is the name in faults.
	File string

	types *Types
	hooks Hooks
	root  *yaml.Node
	// places has every key and item of the file, by path; "" is the whole document.
	places map[string]Place
	// allowed says what the values of keys must be, for keys that have such a tag.
	allowed map[string]i18n.Message
	// broken has the keys with a fault, so that no later check adds another one.
	broken map[string]bool
	faults Faults
}

// Hooks are called while a document is decoded. Each of them may be nil.
type Hooks struct {
	// Structure is called with a pointer to each structure before its keys are read. The function that it
	// returns, if any, is called afterwards.
	Structure func(target any, key string) func()
	// Scalar is called after target, a pointer, has been set from text.
	Scalar func(target any, text, key string)
}

// New returns an empty document. file is the name in faults.
func New(file string, types *Types, hooks Hooks) *Document {
	return &Document{
		File: file, types: types, hooks: hooks,
		places: map[string]Place{"": {1, 1}}, allowed: map[string]i18n.Message{}, broken: map[string]bool{},
	}
}

// Parse reads the text of the document and reports whether it is YAML; it adds a fault otherwise.
func (d *Document) Parse(content []byte) bool {
	d.root = d.compose(content)
	return d.root != nil
}

// IsEmpty reports whether the document has no content.
func (d *Document) IsEmpty() bool { return isNull(d.root) }

// IsMapping reports whether the document is a mapping.
func (d *Document) IsMapping() bool { return d.root.Kind == yaml.MappingNode }

// Decode sets what target points to from the parsed document. What cannot be read becomes a fault and leaves
// its part of target unchanged. A list may have a description of what the document must be; zero is "a list".
func (d *Document) Decode(target any, what i18n.Message) {
	d.places[""] = placeOf(d.root)
	if !what.IsZero() {
		d.allowed[""] = what
	}
	d.decode(d.root, reflect.ValueOf(target).Elem(), "")
}

// Has reports whether the file has the key.
func (d *Document) Has(key string) bool {
	_, ok := d.places[key]
	return ok
}

// Place returns the place of the key or, if the file does not have it, of the nearest key around it.
func (d *Document) Place(key string) Place {
	for {
		if at, ok := d.places[key]; ok {
			return at
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
}

// Fault adds a fault of a key, unless the key has one already.
func (d *Document) Fault(key string, problem i18n.Message) {
	if !d.Broken(key) {
		d.faultAt(d.Place(key), key, problem)
	}
}

// Refuse adds the fault that the value of a key is not what its tag "allowed" says.
func (d *Document) Refuse(key string) { d.Fault(key, i18n.M("fault.must", d.allowed[key])) }

// Remark returns a fault of a key without adding it to the document.
func (d *Document) Remark(key string, problem i18n.Message) Fault {
	return d.at(d.Place(key), key, problem)
}

// Broken reports whether the key has a fault.
func (d *Document) Broken(key string) bool { return d.broken[key] }

// Break makes Broken report that the key has a fault.
func (d *Document) Break(key string) { d.broken[key] = true }

// Faults returns the faults in the order in which they were found.
func (d *Document) Faults() Faults { return d.faults }

func (d *Document) faultAt(at Place, key string, problem i18n.Message) {
	d.Break(key)
	d.faults = append(d.faults, d.at(at, key, problem))
}

func (d *Document) at(at Place, key string, problem i18n.Message) Fault {
	return Fault{File: d.File, Line: at.Line, Column: at.Column, Key: key, Problem: problem}
}

// compose returns the root node of the content, a null if there is no content; nil after a fault.
func (d *Document) compose(content []byte) *yaml.Node {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if at, problem := unreadableText(content); !problem.IsZero() {
		d.faultAt(at, "", problem)
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		d.syntax(err)
		return nil
	}
	var first, second yaml.Node
	switch err := loader.Load(&first); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}
	case err != nil:
		d.syntax(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
		return nil
	default:
		d.faultAt(placeOf(&second), "", i18n.M("yaml.second_document"))
	}
	return first.Content[0]
}

// unreadableText returns the first place at which content is not text that YAML allows, and the problem;
// zero if there is none. The YAML library reports the same without a place.
func unreadableText(content []byte) (Place, i18n.Message) {
	at := Place{1, 1}
	for len(content) > 0 {
		r, size := utf8.DecodeRune(content)
		switch {
		case r == utf8.RuneError && size == 1:
			return at, i18n.M("yaml.utf8")
		case r == '\n':
			at = Place{at.Line + 1, 0}
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085', r == '\uFFFE', r == '\uFFFF':
			return at, i18n.M("yaml.control")
		}
		at.Column++
		content = content[size:]
	}
	return at, i18n.Message{}
}
