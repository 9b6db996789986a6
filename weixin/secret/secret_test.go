package secret_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"weixin_exporter/weixin/secret"
)

// hidden is the secret of the tests. It lacks the prefix of simulated secrets, since a failing test prints it.
const hidden = "correct horse"

type holder struct {
	Shown    secret.Value
	internal secret.Value
	pointer  *secret.Value
}

func TestNothingShowsASecret(t *testing.T) {
	v := secret.New(hidden)
	h := holder{Shown: v, internal: v, pointer: &v}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		for _, x := range []any{v, &v, h, &h, []secret.Value{v}, map[string]secret.Value{"k": v}, fmt.Errorf("wrapped: %v", v)} {
			if text := fmt.Sprintf(verb, x); strings.Contains(text, hidden) || strings.Contains(text, fmt.Sprintf("%x", hidden)) {
				t.Errorf("%s of %T shows the secret: %s", verb, x, text)
			}
		}
	}
	if text, err := json.Marshal(h); err != nil || string(text) != `{"Shown":"\u003csecret\u003e"}` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
	if text, err := yaml.Marshal(h); err != nil || string(text) != "shown: <secret>\n" {
		t.Errorf("as YAML: %s, %v", text, err)
	}
}

func TestReveal(t *testing.T) {
	if got := secret.New(hidden).Reveal(); got != hidden {
		t.Errorf("revealed as %q", got)
	}
	var none secret.Value
	if !none.IsZero() || none.Reveal() != "" || none.String() != "" || !secret.New("").IsZero() {
		t.Error("the zero value is not zero")
	}
	if secret.New(hidden).IsZero() {
		t.Error("a secret is zero")
	}
}

func TestEqual(t *testing.T) {
	a, b := secret.New(hidden), secret.New(hidden)
	if !a.Equal(b) || a.Equal(secret.New("other")) || a.Equal(secret.Value{}) || !(secret.Value{}).Equal(secret.Value{}) {
		t.Error("Equal is wrong")
	}
}

func TestUnmarshal(t *testing.T) {
	var fromJSON, fromYAML holder
	if err := json.Unmarshal([]byte(`{"Shown":"`+hidden+`"}`), &fromJSON); err != nil || fromJSON.Shown.Reveal() != hidden {
		t.Errorf("from JSON: %v", err)
	}
	if err := yaml.Unmarshal([]byte("shown: "+hidden), &fromYAML); err != nil || fromYAML.Shown.Reveal() != hidden {
		t.Errorf("from YAML: %v", err)
	}
}
