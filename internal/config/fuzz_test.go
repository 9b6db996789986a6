package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weixin_exporter/internal/config"
)

// For all inputs: no panic, a place for every fault, no secret in any; and what loads is
// written in a form that loads again and is then written alike.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yml", "testdata/bad/*.yml", "../../config.example.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if bytes.Contains(content, []byte("account_files")) && bytes.ContainsAny(content, `/\`) {
			t.Skip("a pattern may lead all over the disk")
		}
		c, err := config.Parse("testdata/bad/fuzz.yml", content)
		if err == nil {
			reload(t, c)
			return
		}
		var faults config.Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("error is a %T", err)
		}
		// The names of files are shown, and a mutation may put anything there.
		if !strings.Contains(string(content), "file") {
			mustNotLeak(t, err.Error())
		}
		for _, fault := range faults {
			if strings.ContainsAny(fault.String(), "\n\r\x00") && !strings.Contains(string(content), "file") {
				t.Error("a fault is more than one line")
			}
		}
	})
}

// The same for an account file.
func FuzzAccountFile(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/files/*/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, content := range []string{tokens, minimal} {
		f.Add([]byte(strings.TrimPrefix(content, "accounts:\n")))
	}
	f.Add([]byte(`[{name: a, app_id: wx1, token: {type: authorizer, component_app_id: wx2, refresh_token_file: none,
  component_access_token: {type: url, url: "https://tokens.example/", http_config: {proxy_url: "http://u:p@proxy:3128"}}}}]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		folder(t, map[string]string{"accounts.d/fuzz.yml": string(content), "accounts.d/refresh/guest": marker})
		c, err := config.Parse("config.yml", []byte(`{accounts: [{name: main, app_id: wxmain, app_secret: "abcdefgh"}], account_files: ["accounts.d/*.yml"]}`))
		if err == nil {
			reload(t, c)
			return
		}
		var faults config.Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("error is a %T", err)
		}
		if !strings.Contains(string(content), "file") {
			mustNotLeak(t, err.Error())
		}
		for _, fault := range faults {
			if fault.File != "accounts.d/fuzz.yml" {
				t.Errorf("a fault is said to be in %s", fault.File)
			}
		}
	})
}

// reload loads the masked form of c and compares.
func reload(t *testing.T, c *config.Config) {
	t.Helper()
	c.AccountFiles = nil // their accounts are among the others
	masked := c.String()
	if len(c.Accounts) == 0 {
		t.Fatal("loads without an account")
	}
	// The file is in the working folder: paths have been joined already.
	again, err := config.Parse("fuzz.yml", []byte(masked))
	if err == nil {
		if again.String() != masked {
			t.Error("is written differently after it was loaded again")
		}
		return
	}
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("error is a %T", err)
	}
	before := map[string]bool{} // faults of accounts alone, which are reported with those that the masks make
	for _, fault := range c.AccountFaults() {
		before[fault.Problem.String()] = true
	}
	for _, fault := range faults {
		if before[fault.Problem.String()] {
			continue
		}
		// A mask is not a certificate, key, or user or password of a URL.
		if !strings.Contains(fault.Key, ".http_config") && !strings.HasSuffix(fault.Key, ".url") {
			t.Errorf("does not load again: %d:%d %s", fault.Line, fault.Column, fault.Key)
		}
	}
}

// manyAccounts returns a configuration of n accounts.
func manyAccounts(n int) []byte {
	var b strings.Builder
	b.WriteString("accounts:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: account %d\n    app_id: wx%016x\n    app_secret: sim-secret-%d\n", i, i, i)
	}
	return []byte(b.String())
}

func TestManyAccounts(t *testing.T) {
	const n = 10_000
	c, err := config.Parse("config.yml", manyAccounts(n))
	if err != nil {
		t.Fatal("does not load")
	}
	if len(c.Accounts) != n || c.Accounts[n-1].Name != "account 9999" {
		t.Errorf("%d accounts, the last is %s", len(c.Accounts), c.Accounts[len(c.Accounts)-1].Name)
	}
	_, err = config.Parse("config.yml", append(manyAccounts(n), "  - {name: account 7, app_id: wx0, app_secret: abcdefgh}\n"...))
	want := "config.yml:30002:6: accounts[10000].name: is the same as accounts[7].name on line 23; each account needs its own"
	if err == nil || err.Error() != want {
		t.Errorf("another fault than the one that was made")
	}
}

func BenchmarkParse10000Accounts(b *testing.B) {
	content := manyAccounts(10_000)
	for b.Loop() {
		if _, err := config.Parse("config.yml", content); err != nil {
			b.Fatal("does not load")
		}
	}
}
