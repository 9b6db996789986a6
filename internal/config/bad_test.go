package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/i18n"
)

// marker begins every secret of these tests. It is put together so that a search for it in the output
// of a failing test finds secrets only.
const marker = "sim-" + "secret-"

// mustNotLeak ends the test, without showing text, if there is a secret in it.
func mustNotLeak(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, marker) {
		t.Fatal("a secret is shown")
	}
}

// mustBeChinese checks that a fault has a Chinese text with the same place and key. The texts of libraries stay
// as they are.
func mustBeChinese(t *testing.T, p i18n.Printer, fault config.Fault) {
	t.Helper()
	english, translated := fault.String(), fault.In(p)
	mustNotLeak(t, translated)
	place := strings.TrimSuffix(english, fault.Problem.String())
	problem, ok := strings.CutPrefix(translated, place)
	han := strings.ContainsFunc(problem, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	if !ok || han == (fault.Problem.Key == "error.other") || strings.Contains(translated+english, "%!") {
		t.Errorf("%s\nis in Chinese\n%s", english, translated)
	}
}

func chinese(t *testing.T) i18n.Printer {
	t.Helper()
	c, err := i18n.New()
	if err != nil {
		t.Fatal(err)
	}
	return c.In(i18n.Chinese)
}

// Every file in testdata/bad has one fault or more; the text file of the same name has what is reported.
func TestBadFiles(t *testing.T) {
	printer := chinese(t)
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + ".txt")
			if err != nil {
				t.Fatalf("a bad file needs the text that it is to give: %v", err)
			}
			loaded, err := config.Load(file)
			if err == nil {
				t.Fatal("loads without a fault")
			}
			if loaded != nil {
				t.Error("a configuration is returned together with the error")
			}
			mustNotLeak(t, err.Error())
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Errorf("fault differs (-want +got):\n%s", diff)
			}
			var faults config.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("error is a %T, want Faults", err)
			}
			for _, fault := range faults {
				mustBeChinese(t, printer, fault)
				if fault.File != file && !strings.HasPrefix(fault.File, "testdata/bad/files/") || fault.Line < 1 || fault.Column < 1 {
					t.Errorf("fault has no place: %s", fault)
				}
			}
		})
	}
}

func TestEveryExpectationHasItsFile(t *testing.T) {
	texts, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := os.Stat(strings.TrimSuffix(text, ".txt") + ".yml"); err != nil {
			t.Errorf("%s has no file to go with: %v", text, err)
		}
	}
}

func TestLoadUnreadable(t *testing.T) {
	for path, want := range map[string]string{
		"testdata/none.yml": "testdata/none.yml: the configuration cannot be read: no such file or directory; name a readable file with --config.file",
		"testdata":          "testdata: the configuration cannot be read: is a directory; name a readable file with --config.file",
	} {
		_, err := config.Load(path)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, err := config.Load("testdata/none.yml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cause is not kept: %v", err)
	}
}

func TestFaultWithoutPlace(t *testing.T) {
	for want, fault := range map[string]config.Fault{
		"f.yml: bad":               {File: "f.yml", Problem: i18n.M("error.other", "bad")},
		"f.yml:3:5: bad":           {File: "f.yml", Line: 3, Column: 5, Problem: i18n.M("error.other", "bad")},
		"f.yml:3:5: store: is bad": {File: "f.yml", Line: 3, Column: 5, Key: "store", Problem: i18n.M("error.other", "is bad")},
	} {
		if got := fault.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What is wrong with a file of one account, in testdata/account, leaves the configuration in force and is
// told with the account's name.
func TestAccountFaults(t *testing.T) {
	printer := chinese(t)
	files, err := filepath.Glob("testdata/account/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files, error %v", len(files), err)
	}
	for _, file := range files {
		want, err := os.ReadFile(strings.TrimSuffix(file, ".yml") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(file)
		if err != nil {
			mustNotLeak(t, err.Error())
			t.Errorf("%s: %v", file, err)
			continue
		}
		var got strings.Builder
		for _, fault := range c.AccountFaults() {
			got.WriteString(fault.String() + "\n")
			mustBeChinese(t, printer, fault.Fault)
		}
		mustNotLeak(t, got.String())
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s: faults differ (-want +got):\n%s", file, diff)
		}
	}
}

// A reload must not take a secret from an account because its file is gone for a moment.
func TestKeepSecret(t *testing.T) {
	folder(t, map[string]string{"shop": marker + "1\n"})
	const text = "accounts: [{name: shop, app_id: wx0, app_secret_file: shop}, {name: bot, app_id: wx1, app_secret: sim-secret-2}]"
	before := mustParse(t, "config.yml", text).Accounts
	if err := os.Remove("shop"); err != nil {
		t.Fatal(err)
	}
	after := mustParse(t, "config.yml", text).Accounts
	if !after[0].Secret().IsZero() || after[0].SameCredentials(before[0]) {
		t.Error("a file that is gone has a secret")
	}
	if kept := after[0].KeepSecret(before[0]); !kept.SameCredentials(before[0]) {
		t.Error("the secret is not kept")
	}
	if !after[1].KeepSecret(before[0]).Secret().Equal(before[1].Secret()) {
		t.Error("another account's secret is taken")
	}
	moved := mustParse(t, "config.yml", strings.Replace(text, "_file: shop", "_file: other", 1)).Accounts[0]
	if !moved.KeepSecret(before[0]).Secret().IsZero() {
		t.Error("a secret from another file is kept")
	}
}
