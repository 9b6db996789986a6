package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"weixin_exporter/weixin/weixintest"
)

const (
	secretMarker = "sim-secret-"
	tokenMarker  = "sim-token-"
)

// mask removes simulated secrets and tokens from a text before it is printed.
func mask(text string) string {
	return regexp.MustCompile(`sim-(secret|token)-[A-Za-z0-9_-]*`).ReplaceAllString(text, "<masked>")
}

// recorder records all output of the programs under test: logs, pages, results of queries. At the
// end of the run it is searched for secrets.
type recorder struct {
	mu      sync.Mutex
	outputs []programOutput
	sims    []*weixintest.Server
}

// programOutput is one output of a program.
type programOutput struct{ test, source, text string }

func (r *recorder) record(test, source, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outputs = append(r.outputs, programOutput{test, source, text})
}

// addSecrets adds the secrets of a simulated Weixin, including later ones, to those that are searched for.
func (r *recorder) addSecrets(sim *weixintest.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sims = append(r.sims, sim)
}

// findings returns a line for each output with a secret, a token or a report of the race detector. It
// quotes no secret.
func (r *recorder) findings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := phrases{}
	wanted.add(secretMarker)
	wanted.add(tokenMarker)
	for _, sim := range r.sims {
		for _, secret := range sim.Secrets() {
			// Only its end, so that a secret whose beginning is missing is found as well.
			wanted.add(secret[max(0, len(secret)-24):])
		}
	}
	var findings []string
	for _, s := range r.outputs {
		if wanted.in(s.text) {
			findings = append(findings, fmt.Sprintf("a secret or a token in %s of %s", s.source, s.test))
		}
		if strings.Contains(s.text, "WARNING: DATA RACE") {
			findings = append(findings, fmt.Sprintf("a data race in %s of %s:\n%s", s.source, s.test, mask(s.text)))
		}
	}
	return findings
}

// phrases are texts to search for, by their first bytes: there are thousands of secrets, and too much output to
// search it for one after the other.
type phrases map[string][]string

// phraseStart is how many bytes of a phrase are its key. Every secret has as many.
const phraseStart = 8

func (p phrases) add(phrase string) {
	start := phrase[:phraseStart]
	if !slices.Contains(p[start], phrase) {
		p[start] = append(p[start], phrase)
	}
}

// in reports whether a text contains any of the phrases.
func (p phrases) in(text string) bool {
	for i := 0; i+phraseStart <= len(text); i++ {
		for _, phrase := range p[text[i:i+phraseStart]] {
			if strings.HasPrefix(text[i:], phrase) {
				return true
			}
		}
	}
	return false
}

// save writes all outputs into a folder, one file for each test. It does nothing if folder is "".
func (r *recorder) save(folder string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("saving the outputs: %w", err)
	}
	files := map[string]*strings.Builder{}
	for _, s := range r.outputs {
		name := strings.NewReplacer("/", "-", " ", "_").Replace(s.test) + ".txt"
		if files[name] == nil {
			files[name] = &strings.Builder{}
		}
		fmt.Fprintf(files[name], "==== %s\n%s\n", s.source, s.text)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text.String()), 0o644); err != nil {
			return fmt.Errorf("saving the outputs: %w", err)
		}
	}
	return nil
}

func TestLeakCheckFindsLeaks(t *testing.T) {
	t.Parallel()
	sim := weixintest.New(weixintest.Options{
		Now:      clock,
		Accounts: []weixintest.Account{{AppID: "wxleak", AppSecret: "a-secret-without-the-marker"}},
	})
	for _, c := range []struct {
		name, text string
		findings   int
	}{
		{"nothing", "level=info msg=<secret>", 0},
		{"the marker of secrets", "?secret=" + secretMarker + "x", 1},
		{"the marker of tokens", "?access_token=" + tokenMarker + "x", 1},
		{"a secret without a marker", "a-secret-without-the-marker", 1},
		{"the end of a secret", "…ecret-without-the-marker", 1},
		{"a data race", "WARNING: DATA RACE", 1},
	} {
		r := &recorder{}
		r.addSecrets(sim)
		r.record("another test", "a page", "something harmless")
		r.record("a test", "a log", "first line\n"+c.text+"\nlast line")
		findings := r.findings()
		if len(findings) != c.findings {
			t.Errorf("%s: %d findings, want %d", c.name, len(findings), c.findings)
		}
		for _, f := range findings {
			if !strings.Contains(f, "a log of a test") || strings.Contains(f, secretMarker) || strings.Contains(f, tokenMarker) {
				t.Errorf("%s: a finding that does not name the place, or shows the secret", c.name)
			}
		}
	}
}
