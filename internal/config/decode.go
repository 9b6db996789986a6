package config

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v4"

	"weixin_exporter/weixin/secret"
)

// The file is decoded by a walk of its own rather than by the YAML library: the methods of
// prometheus/common types stop at their first error, and the library's errors quote values and have
// no path. Scalars of ordinary types are still read by the library.

// shape is what a struct looks like in YAML.
type shape struct {
	// keys are in the order of the struct; index leads to each one's field.
	keys  []string
	index map[string][]int
	// names are the keys in one line.
	names string
	// rest leads to the map that takes every other key; nil where there is none.
	rest []int
}

type shapes map[reflect.Type]*shape

func (s shapes) of(t reflect.Type) *shape {
	if known, ok := s[t]; ok {
		return known
	}
	made := &shape{index: map[string][]int{}}
	made.add(t, nil)
	made.names = strings.Join(made.keys, ", ")
	s[t] = made
	return made
}

func (s *shape) add(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		field := t.Field(i)
		if !field.IsExported() {
			continue
		}
		index := append(append([]int{}, prefix...), i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline" && field.Type.Kind() == reflect.Map:
			s.rest = index
		case options == "inline":
			s.add(field.Type, index)
		case strings.HasSuffix(name, "_ref"):
			// A reference into a secret manager, which this program does not have.
		default:
			s.keys = append(s.keys, name)
			s.index[name] = index
		}
	}
}

// decode sets v, which is addressable, to what n holds; key is its path. What cannot be read becomes
// a fault and leaves v as it was.
func (d *document) decode(n *yaml.Node, v reflect.Value, key string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if what, read := scalar(v.Addr().Interface()); read != nil {
		d.scalar(n, v, key, what, read)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !isNull(n) {
			v.Set(reflect.New(v.Type().Elem()))
			if c, ok := reflect.TypeAssert[*promconfig.HTTPClientConfig](v); ok {
				*c = DefaultHTTPClient()
			}
			d.decode(n, v.Elem(), key)
		}
	case reflect.Struct:
		if c, ok := reflect.TypeAssert[*promconfig.HTTPClientConfig](v.Addr()); ok {
			d.httpConfig(n, c, key)
			return
		}
		if w, ok := reflect.TypeAssert[*RemoteWrite](v.Addr()); ok {
			d.remoteWrite(n, w, key)
			return
		}
		d.structure(n, v, key)
	case reflect.Slice:
		d.list(n, v, key)
	case reflect.Map:
		d.mapping(n, v, key)
	default:
		var value any
		if n.Decode(&value) != nil {
			d.fault(key, "cannot be read; it must be a value with each key only once")
		} else if value != nil {
			v.Set(reflect.ValueOf(value))
		}
	}
}

func (d *document) structure(n *yaml.Node, v reflect.Value, key string) {
	shape := d.shared.shapes.of(v.Type())
	keys := shape.names
	if shape.rest != nil {
		d.mapping(n, v.FieldByIndex(shape.rest), key)
		return
	}
	if strings.HasSuffix(key, "]") && isNull(n) {
		d.fault(key, "is empty; it must be a mapping of these keys: "+keys)
		return
	}
	if !d.expect(n, yaml.MappingNode, key, "a mapping of these keys: "+keys) {
		return
	}
	d.entries(n, key, func(name string, at place, value *yaml.Node) {
		child := join(key, shown(name))
		if index, ok := shape.index[name]; ok {
			d.decode(value, v.FieldByIndex(index), child)
		} else {
			d.faultAt(at, child, "unknown key; allowed here: "+keys)
		}
	})
}

func (d *document) mapping(n *yaml.Node, v reflect.Value, key string) {
	if !d.expect(n, yaml.MappingNode, key, "a mapping") {
		return
	}
	made := reflect.MakeMap(v.Type())
	d.entries(n, key, func(name string, _ place, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, element, join(key, shown(name)))
		made.SetMapIndex(reflect.ValueOf(name), element)
	})
	v.Set(made)
}

// entries calls each for every key of a mapping, once, and notes where it is.
func (d *document) entries(n *yaml.Node, key string, each func(name string, at place, value *yaml.Node)) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, at := n.Content[i], placeOf(n.Content[i])
		if name.Kind != yaml.ScalarNode {
			d.faultAt(at, join(key, "*"), "a key must be a single word")
			continue
		}
		if name.ShortTag() == "!!merge" {
			d.faultAt(at, join(key, "*"), "merging with << is not supported; write the keys out")
			continue
		}
		child := join(key, shown(name.Value))
		if line, twice := seen[name.Value]; twice {
			d.faultAt(at, child, fmt.Sprintf("is given twice, first on line %d; keep one", line))
			continue
		}
		seen[name.Value] = at.line
		d.places[child] = at
		each(name.Value, at, n.Content[i+1])
	}
}

func (d *document) list(n *yaml.Node, v reflect.Value, key string) {
	if !d.expect(n, yaml.SequenceNode, key, "a list") {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		child := itemKey(key, i)
		d.places[child] = placeOf(item)
		d.decode(item, v.Index(i), child)
	}
}

// expect reports whether n is of the kind. Nothing at all is none and no fault: what is left out has
// its default.
func (d *document) expect(n *yaml.Node, kind yaml.Kind, key, what string) bool {
	if n.Kind != kind && !isNull(n) {
		d.fault(key, "must be "+what+"; found "+kindName(n))
	}
	return n.Kind == kind
}

func (d *document) scalar(n *yaml.Node, v reflect.Value, key, what string, read func(*yaml.Node) bool) {
	what = allowed(key, what)
	switch {
	case isNull(n):
		d.fault(key, "has no value; it must be "+what+", or leave the key out")
	case n.Kind != yaml.ScalarNode:
		d.fault(key, "must be "+what+"; found "+kindName(n))
	case !isPlain(n) || !read(n):
		d.fault(key, "must be "+what)
	case d.block != nil:
		d.block.remember(v.Addr().Interface(), n.Value, key)
	}
}

// scalar returns what a target may hold and the function that reads it, which reports whether the
// value was good; nil for a target that is not a scalar.
func scalar(target any) (string, func(*yaml.Node) bool) {
	switch t := target.(type) {
	case *string:
		return "text", func(n *yaml.Node) bool { *t = n.Value; return true }
	case *secret.Value:
		return "text", func(n *yaml.Node) bool { *t = secret.New(n.Value); return true }
	case *secret.URL:
		return "text", func(n *yaml.Node) bool { *t = secret.NewURL(n.Value); return true }
	case *promconfig.Secret:
		return "text", func(n *yaml.Node) bool { *t = promconfig.Secret(n.Value); return true }
	case *bool:
		return "true or false", func(n *yaml.Node) bool { return n.Decode(t) == nil }
	case *int:
		return "a whole number", func(n *yaml.Node) bool { return n.Decode(t) == nil }
	case *float64:
		return "a number", func(n *yaml.Node) bool { return n.Decode(t) == nil }
	case *model.Duration:
		return "a duration such as 10s, 15m or 30d", func(n *yaml.Node) bool {
			value, err := model.ParseDuration(n.Value)
			*t = value
			return err == nil
		}
	case *TimeOfDay:
		return "a time of day", func(n *yaml.Node) bool {
			value, err := time.Parse("15:04", n.Value)
			*t = TimeOfDay(time.Duration(value.Hour())*time.Hour + time.Duration(value.Minute())*time.Minute)
			return err == nil && len(n.Value) == len("15:04")
		}
	case *TokenType:
		return "stable_token, token, file, url or authorizer", func(n *yaml.Node) bool {
			*t = TokenType(n.Value)
			return slices.Contains([]TokenType{StableToken, LegacyToken, FileToken, URLToken, AuthorizerToken}, *t)
		}
	case *ProtobufMessage:
		return "prometheus.WriteRequest or io.prometheus.write.v2.Request", func(n *yaml.Node) bool {
			*t = ProtobufMessage(n.Value)
			return *t == WriteV1 || *t == WriteV2
		}
	case *promconfig.TLSVersion:
		return "TLS10, TLS11, TLS12 or TLS13", func(n *yaml.Node) bool {
			value, ok := promconfig.TLSVersions[n.Value]
			*t = value
			return ok
		}
	case *promconfig.URL:
		return "a URL of the form http://host:port, also https, socks5 or socks5h", func(n *yaml.Node) bool {
			value, err := url.Parse(n.Value)
			t.URL = value
			return err == nil && isProxy(value)
		}
	}
	return "", nil
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

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// shown returns a key's name as faults show it: "*" for what does not look like a name, since a
// secret that slipped into a key must not be shown.
func shown(name string) string {
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
