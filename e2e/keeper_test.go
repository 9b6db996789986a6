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

// mask takes simulated secrets and tokens out of a text that is going to be printed.
func mask(text string) string {
	return regexp.MustCompile(`sim-(secret|token)-[A-Za-z0-9_-]*`).ReplaceAllString(text, "<masked>")
}

// keeper keeps all that the programs under test let out: logs, pages, results of queries. At the
// end of the run it is searched for secrets.
type keeper struct {
	mu   sync.Mutex
	kept []statement
	sims []*weixintest.Server
}

// statement is one thing that was let out.
type statement struct{ test, source, text string }

func (k *keeper) keep(test, source, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = append(k.kept, statement{test, source, text})
}

// know adds the secrets of a simulated Weixin, later ones included, to those that are looked for.
func (k *keeper) know(sim *weixintest.Server) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sims = append(k.sims, sim)
}

// findings returns a line for each thing in which there is a secret, a token or a report of the race
// detector. It quotes no secret.
func (k *keeper) findings() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted := []string{secretMarker, tokenMarker}
	for _, sim := range k.sims {
		for _, secret := range sim.Secrets() {
			// Its end alone, so that one whose beginning was cut off is found, too.
			wanted = append(wanted, secret[max(0, len(secret)-24):])
		}
	}
	var findings []string
	for _, s := range k.kept {
		if slices.ContainsFunc(wanted, func(secret string) bool { return strings.Contains(s.text, secret) }) {
			findings = append(findings, fmt.Sprintf("a secret or a token in %s of %s", s.source, s.test))
		}
		if strings.Contains(s.text, "WARNING: DATA RACE") {
			findings = append(findings, fmt.Sprintf("a data race, told in %s of %s:\n%s", s.source, s.test, mask(s.text)))
		}
	}
	return findings
}

// save writes all that was kept into a folder, one file for each test; none if folder is "".
func (k *keeper) save(folder string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("keeping what was said: %w", err)
	}
	files := map[string]*strings.Builder{}
	for _, s := range k.kept {
		name := strings.NewReplacer("/", "-", " ", "_").Replace(s.test) + ".txt"
		if files[name] == nil {
			files[name] = &strings.Builder{}
		}
		fmt.Fprintf(files[name], "==== %s\n%s\n", s.source, s.text)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text.String()), 0o644); err != nil {
			return fmt.Errorf("keeping what was said: %w", err)
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
		k := &keeper{}
		k.know(sim)
		k.keep("another test", "a page", "something harmless")
		k.keep("a test", "a log", "first line\n"+c.text+"\nlast line")
		findings := k.findings()
		if len(findings) != c.findings {
			t.Errorf("%s: %d findings, want %d", c.name, len(findings), c.findings)
		}
		for _, f := range findings {
			if !strings.Contains(f, "a log of a test") || strings.Contains(f, secretMarker) || strings.Contains(f, tokenMarker) {
				t.Errorf("%s: a finding that does not say where, or shows what", c.name)
			}
		}
	}
}
