package strictyaml

import (
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/internal/i18n"
)

// The nodes are walked here, rather than by the YAML library, because methods of types such as those of
// prometheus/common stop at their first error, and the library's errors quote values and have no path.
// Scalars of basic types are read by the library.

// Types says how values of types other than the basic ones are read. It may be shared by documents that are
// not used concurrently.
type Types struct {
	// Scalar returns what a target, a pointer, may hold and a function that sets it from text and reports
	// whether the text was valid; nil for a target that is not a scalar. It is asked for targets that are
	// neither basic types nor Scalars.
	Scalar func(target any) (what i18n.Message, set func(text string) bool)
	// Skip reports whether a key of a structure is not allowed although a field has it; may be nil.
	Skip func(key string) bool

	shapes map[reflect.Type]*shape
}

// Scalar is a type that is read from one value.
type Scalar interface {
	// Allowed says what the value must be.
	Allowed() i18n.Message
	// SetText sets the value from text and reports whether the text was valid.
	SetText(text string) bool
}

// shape is the keys of a structure.
type shape struct {
	// keys are in the order of the fields.
	keys   []string
	fields map[string]field
	// names are the keys in one line.
	names string
	// rest is the index of the map that takes all other keys; nil if there is none.
	rest []int
}

type field struct {
	index   []int
	allowed i18n.Message
}

func (t *Types) shape(of reflect.Type) *shape {
	if known, ok := t.shapes[of]; ok {
		return known
	}
	made := &shape{fields: map[string]field{}}
	made.add(of, nil, t.Skip)
	made.names = strings.Join(made.keys, ", ")
	if t.shapes == nil {
		t.shapes = map[reflect.Type]*shape{}
	}
	t.shapes[of] = made
	return made
}

func (s *shape) add(of reflect.Type, prefix []int, skip func(string) bool) {
	for i := range of.NumField() {
		f := of.Field(i)
		if !f.IsExported() {
			continue
		}
		index := append(append([]int{}, prefix...), i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline" && f.Type.Kind() == reflect.Map:
			s.rest = index
		case options == "inline":
			s.add(f.Type, index, skip)
		case skip != nil && skip(name):
		default:
			s.keys = append(s.keys, name)
			s.fields[name] = field{index, i18n.M(f.Tag.Get("allowed"))}
		}
	}
}

// Allowed returns the text of the tag "allowed" of the field of a structure that has the key.
func Allowed(structure any, key string) i18n.Message {
	var types Types
	return types.shape(reflect.TypeOf(structure)).fields[key].allowed
}

// decode sets v, which is addressable, to the value of n; key is its path. What cannot be read becomes a
// fault and leaves v unchanged.
func (d *Document) decode(n *yaml.Node, v reflect.Value, key string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if what, read := d.scalarOf(v.Addr().Interface()); read != nil {
		d.scalar(n, v, key, what, read)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !isNull(n) {
			v.Set(reflect.New(v.Type().Elem()))
			d.decode(n, v.Elem(), key)
		}
	case reflect.Struct:
		var leave func()
		if d.hooks.Structure != nil {
			leave = d.hooks.Structure(v.Addr().Interface(), key)
		}
		d.structure(n, v, key)
		if leave != nil {
			leave()
		}
	case reflect.Slice:
		d.list(n, v, key)
	case reflect.Map:
		d.mapping(n, v, key)
	default:
		var value any
		if n.Decode(&value) != nil {
			d.Fault(key, i18n.M("fault.value"))
		} else if value != nil {
			v.Set(reflect.ValueOf(value))
		}
	}
}

func (d *Document) structure(n *yaml.Node, v reflect.Value, key string) {
	shape := d.types.shape(v.Type())
	keys := shape.names
	if shape.rest != nil {
		d.mapping(n, v.FieldByIndex(shape.rest), key)
		return
	}
	if strings.HasSuffix(key, "]") && isNull(n) {
		d.Fault(key, i18n.M("fault.empty", i18n.M("want.keys", keys)))
		return
	}
	if !d.expect(n, yaml.MappingNode, key, i18n.M("want.keys", keys)) {
		return
	}
	d.entries(n, key, func(name string, at Place, value *yaml.Node) {
		child := Join(key, ShownKey(name))
		if field, ok := shape.fields[name]; ok {
			if !field.allowed.IsZero() {
				d.allowed[child] = field.allowed
			}
			d.decode(value, v.FieldByIndex(field.index), child)
		} else {
			d.faultAt(at, child, i18n.M("fault.unknown_key", keys))
		}
	})
}

func (d *Document) mapping(n *yaml.Node, v reflect.Value, key string) {
	if !d.expect(n, yaml.MappingNode, key, i18n.M("want.mapping")) {
		return
	}
	made := reflect.MakeMap(v.Type())
	d.entries(n, key, func(name string, _ Place, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, element, Join(key, ShownKey(name)))
		made.SetMapIndex(reflect.ValueOf(name), element)
	})
	v.Set(made)
}

// entries calls each for every key of a mapping and records its place. A key that is given twice is a fault.
func (d *Document) entries(n *yaml.Node, key string, each func(name string, at Place, value *yaml.Node)) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, at := n.Content[i], placeOf(n.Content[i])
		if name.Kind != yaml.ScalarNode {
			d.faultAt(at, Join(key, "*"), i18n.M("fault.key"))
			continue
		}
		if name.ShortTag() == "!!merge" {
			d.faultAt(at, Join(key, "*"), i18n.M("fault.merge"))
			continue
		}
		child := Join(key, ShownKey(name.Value))
		if line, twice := seen[name.Value]; twice {
			d.faultAt(at, child, i18n.M("fault.twice", strconv.Itoa(line)))
			continue
		}
		seen[name.Value] = at.Line
		d.places[child] = at
		each(name.Value, at, n.Content[i+1])
	}
}

func (d *Document) list(n *yaml.Node, v reflect.Value, key string) {
	if !d.expect(n, yaml.SequenceNode, key, d.what(key, i18n.M("want.list"))) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		child := Item(key, i)
		d.places[child] = placeOf(item)
		d.decode(item, v.Index(i), child)
	}
}

// expect reports whether n is of the kind. A null is not of the kind, but it is not a fault either: what is
// left out has its default.
func (d *Document) expect(n *yaml.Node, kind yaml.Kind, key string, what i18n.Message) bool {
	if n.Kind != kind && !isNull(n) {
		d.Fault(key, i18n.M("fault.must_found", what, kindName(n)))
	}
	return n.Kind == kind
}

// what returns the text of the key's tag "allowed" or, if it has none, that of the type.
func (d *Document) what(key string, ofType i18n.Message) i18n.Message {
	if allowed := d.allowed[key]; !allowed.IsZero() {
		return allowed
	}
	return ofType
}

func (d *Document) scalar(n *yaml.Node, v reflect.Value, key string, what i18n.Message, read func(*yaml.Node) bool) {
	what = d.what(key, what)
	switch {
	case isNull(n):
		d.Fault(key, i18n.M("fault.no_value", what))
	case n.Kind != yaml.ScalarNode:
		d.Fault(key, i18n.M("fault.must_found", what, kindName(n)))
	case !isPlain(n) || !read(n):
		d.Fault(key, i18n.M("fault.must", what))
	case d.hooks.Scalar != nil:
		d.hooks.Scalar(v.Addr().Interface(), n.Value, key)
	}
}

// scalarOf returns what a target may hold and the function that sets it, which reports whether the value was
// valid; nil for a target that is not a scalar.
func (d *Document) scalarOf(target any) (i18n.Message, func(*yaml.Node) bool) {
	switch t := target.(type) {
	case *string:
		return i18n.M("want.text"), func(n *yaml.Node) bool { *t = n.Value; return true }
	case *bool:
		return i18n.M("want.bool"), func(n *yaml.Node) bool { return n.Decode(t) == nil }
	case *int:
		return i18n.M("want.int"), func(n *yaml.Node) bool { return n.Decode(t) == nil }
	case *float64:
		return i18n.M("want.number"), func(n *yaml.Node) bool { return n.Decode(t) == nil }
	case Scalar:
		return t.Allowed(), func(n *yaml.Node) bool { return t.SetText(n.Value) }
	}
	if d.types.Scalar == nil {
		return i18n.Message{}, nil
	}
	what, set := d.types.Scalar(target)
	if set == nil {
		return i18n.Message{}, nil
	}
	return what, func(n *yaml.Node) bool { return set(n.Value) }
}

// isPlain reports whether a scalar is untagged or of a tag whose text is the value.
func isPlain(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
		return true
	}
	return false
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindName(n *yaml.Node) i18n.Message {
	switch n.Kind {
	case yaml.MappingNode:
		return i18n.M("want.mapping")
	case yaml.SequenceNode:
		return i18n.M("want.list")
	default:
		return i18n.M("found.value")
	}
}

// Join returns the path of a key in a mapping.
func Join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// ShownKey returns a key's name as faults show it: "*" for what does not look like a name, because it may be
// a misplaced secret.
func ShownKey(name string) string {
	for _, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return "*"
		}
	}
	if name == "" || len(name) > 30 {
		return "*"
	}
	return name
}

// Item returns the path of an item of a list.
func Item(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
