package strictyaml_test

import (
	"testing"

	"weixin_exporter/internal/strictyaml"
)

// TestSyntax: a syntax error has its place, the problem and what to do, and quotes nothing.
func TestSyntax(t *testing.T) {
	for text, want := range map[string]string{
		"accounts: [\n":           "2:1: invalid YAML: a value is missing here, or a list that begins with [ or a mapping that begins with { is not closed",
		"a: {b: c\n":              "2:1: invalid YAML: a comma or } is missing before this; the mapping begins with { on line 1",
		"a: [b, c\nd: e\n":        "2:2: invalid YAML: a comma or ] is missing before this; the list begins with [ on line 1",
		"a: b\nc: \"x\nd: e\n":    "4:1: invalid YAML: the quoted text that begins on line 2 has no closing quote",
		"a: \"\\z\"\n":            "1:5: invalid YAML: \\ begins an unknown escape sequence in a text in double quotes; write \\\\ for a backslash, or use single quotes",
		"- a\nb: c\n":             "2:1: invalid YAML: an item with its - is expected here, in the list that begins on line 1; check the indentation",
		"a:\n  - b\n - c\n":       "3:2: invalid YAML: a key is expected here, in the mapping that begins on line 1; check the indentation, and that nothing follows a quoted text",
		"a: \"x\" y\n":            "1:8: invalid YAML: a key is expected here, in the mapping that begins on line 1; check the indentation, and that nothing follows a quoted text",
		"{a: b}}\n":               "1:7: invalid YAML: the configuration has ended before this; remove this text",
		"a: ]\n":                  "1:4: invalid YAML: a value is expected here; quote one that begins with ], } or a comma",
		"a: - b\n":                "1:4: invalid YAML: a list cannot begin here; write each item with its - on a line of its own",
		"a: >\n\tb\n":             "2:1: invalid YAML: there is a tab here; indent with spaces",
		"a: &\n":                  "1:5: invalid YAML: a name of letters and digits must follow & or *; quote a value that begins with one of them",
		"a: *sim-secret-anchor\n": "1:4: invalid YAML: * refers to an anchor (&) that the file does not have; quote a value that begins with *",
		"%YAML 9\n---\na: b\n":    "1:8: invalid YAML: this is not a directive of YAML; quote a value that begins with %",
		"a: |2x\n b\n":            "1:6: invalid YAML: this cannot follow | or >, which begin a text of several lines",
	} {
		d := strictyaml.New("f.yml", &strictyaml.Types{}, strictyaml.Hooks{})
		if d.Parse([]byte(text)) || d.Faults().Error() != "f.yml:"+want {
			t.Errorf("%q:\n%v\nwant\nf.yml:%s", text, d.Faults(), want)
		}
	}
}
