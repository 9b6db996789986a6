package strictyaml_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/strictyaml"
)

// level is a value of a type of its own.
type level string

// Allowed implements strictyaml.Scalar.
func (*level) Allowed() i18n.Message { return i18n.M("type.either", "low", "high") }

// SetText implements strictyaml.Scalar.
func (l *level) SetText(text string) bool {
	*l = level(text)
	return text == "low" || text == "high"
}

type settings struct {
	Name   string            `yaml:"name"`
	Level  level             `yaml:"level"`
	Number int               `yaml:"number" allowed:"want.rate"`
	Labels map[string]string `yaml:"labels"`
	Items  []item            `yaml:"items"`
	Old    string            `yaml:"old_ref"`
}

type item struct {
	On *bool `yaml:"on"`
}

func decode(content string) (settings, strictyaml.Faults) {
	var s settings
	types := &strictyaml.Types{Skip: func(key string) bool { return strings.HasSuffix(key, "_ref") }}
	d := strictyaml.New("f.yml", types, strictyaml.Hooks{})
	if d.Parse([]byte(content)) {
		d.Decode(&s, i18n.Message{})
	}
	return s, d.Faults()
}

func TestDecode(t *testing.T) {
	on := true
	got, faults := decode("name: 007\nlevel: high\nnumber: 7\nlabels: {a: b}\nitems: [{on: true}, {}]\n")
	want := settings{Name: "007", Level: "high", Number: 7, Labels: map[string]string{"a": "b"}, Items: []item{{&on}, {}}}
	if diff := cmp.Diff(want, got); diff != "" || len(faults) > 0 {
		t.Errorf("%s\n%v", diff, faults)
	}
}

// TestFaults: all faults are found in one pass, each with its place and key, and none quotes a value.
func TestFaults(t *testing.T) {
	_, faults := decode(`level: sim-secret-level
number: sim-secret-number
name: [sim-secret-name]
labels:
  a: {b: c}
items:
  - on: perhaps
  -
  - off: true
name: twice
old_ref: x
Sim-Secret: x
`)
	want := `f.yml:1:1: level: must be low or high
f.yml:2:1: number: must be a number above 0, such as 10
f.yml:3:1: name: must be text; found a list
f.yml:5:3: labels.a: must be text; found a mapping
f.yml:7:5: items[0].on: must be true or false
f.yml:8:4: items[1]: is empty; it must be a mapping of these keys: on
f.yml:9:5: items[2].off: unknown key; allowed here: on
f.yml:10:1: name: is given twice, first on line 3; keep one
f.yml:11:1: old_ref: unknown key; allowed here: name, level, number, labels, items
f.yml:12:1: *: unknown key; allowed here: name, level, number, labels, items`
	if diff := cmp.Diff(want, faults.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestChecksOfTheCaller(t *testing.T) {
	d := strictyaml.New("f.yml", &strictyaml.Types{}, strictyaml.Hooks{})
	var s settings
	if !d.Parse([]byte("name: x\nnumber: 10\nitems:\n- on: true\n")) {
		t.Fatal(d.Faults())
	}
	d.Decode(&s, i18n.Message{})
	d.Refuse("number")
	d.Fault("number", i18n.M("error.other", "a second fault of a key is dropped"))
	d.Fault("items[0].missing", i18n.M("error.other", "is missing"))
	want := "f.yml:2:1: number: must be a number above 0, such as 10\nf.yml:4:3: items[0].missing: is missing"
	if got := d.Faults().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !d.Has("items[0].on") || d.Has("level") || d.Broken("name") || !d.Broken("number") {
		t.Error("Has or Broken is wrong")
	}
}

// TestForbiddenCharacters: those that YAML does not allow are reported with their place.
func TestForbiddenCharacters(t *testing.T) {
	for _, c := range []string{"\x00", "\x1b", "\x7f", "\u0080", "\ufffe", "\uffff"} {
		_, faults := decode("number: 1\nname: 鹿" + c + "\n")
		const want = "f.yml:2:8: there is a control character here; the file must be text without any"
		if got := faults.Error(); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", c, got, want)
		}
	}
	for _, c := range []string{"\t", "\u0085", "\ufffd", "\U0001f98c"} {
		if _, faults := decode("number: 1\nname: \"鹿" + c + "\"\n"); len(faults) > 0 {
			t.Errorf("%q: %v", c, faults)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("name: x\nitems: [{on: true}]\n")
	f.Add("labels: &a {b: *a}\n")
	f.Add("- {<<: x}\n")
	f.Add("\uffff")
	f.Fuzz(func(t *testing.T, content string) {
		_, faults := decode(content)
		for _, fault := range faults {
			if fault.File != "f.yml" || fault.Line < 1 || fault.Column < 0 || fault.Problem.IsZero() {
				t.Errorf("%+v", fault)
			}
		}
	})
}
