package i18n_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

func catalogue(t *testing.T) *i18n.Catalogue {
	t.Helper()
	c, err := i18n.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each text is there in all languages, with the same placeholders.
func TestCatalogueIsComplete(t *testing.T) {
	tables := i18n.Tables()
	for l, texts := range tables {
		for key, forms := range texts {
			other, ok := tables[1-l][key]
			if !ok {
				t.Errorf("%q is in %v alone", key, i18n.Language(l))
				continue
			}
			want, got := placeholders(forms.Other), placeholders(other.Other)
			if !slices.Equal(want, got) {
				t.Errorf("%q has the placeholders %q in %v and %q in the other language", key, want, i18n.Language(l), got)
			}
			// "Once" may stand for the number.
			if forms.One != "" && !subset(placeholders(forms.One), want) {
				t.Errorf("%q has other placeholders for one: %q", key, forms.One)
			}
			for _, text := range []string{forms.One, forms.Other} {
				if strings.TrimSpace(text) == "" && text != forms.One {
					t.Errorf("%q is empty", key)
				}
				if regexp.MustCompile(`%([^\[]|$)`).MatchString(strings.ReplaceAll(text, "%%", "")) {
					t.Errorf("%q has a placeholder without a number: %q", key, text)
				}
			}
		}
	}
	for key, forms := range tables[i18n.Chinese] {
		if forms.One != "" {
			t.Errorf("%q has a singular in Chinese", key)
		}
	}
}

func placeholders(text string) []string {
	found := regexp.MustCompile(`%\[\d\][a-z]`).FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

// Each error of Weixin has a title and an advice, and there are none besides.
func TestAdviceIsComplete(t *testing.T) {
	c := catalogue(t)
	codes := map[string]bool{}
	for _, code := range weixin.AdviceCodes() {
		codes[code] = true
		for _, key := range []string{"cause." + code, "advice." + code} {
			if !c.Has(key) {
				t.Errorf("there is no text %q", key)
			}
		}
	}
	for _, key := range c.Keys() {
		for _, start := range []string{"cause.", "advice."} {
			if code, ok := strings.CutPrefix(key, start); ok && !codes[code] {
				t.Errorf("%q is of no code of package weixin", key)
			}
		}
	}
}

// A key that the program does not name is left over. Keys that are put together end with a part that varies.
func TestNoTextIsUnused(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "build" || d.Name() == ".git" || d.Name() == "i18n" || d.Name() == "e2e") {
			return filepath.SkipDir
		}
		if !d.IsDir() && (strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".html")) {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			source.Write(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"format.go", "localized.go", "advice.go"} {
		own, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(own)
	}
	text := source.String()
	for _, key := range catalogue(t).Keys() {
		if strings.Contains(text, `"`+key+`"`) {
			continue
		}
		base := strings.TrimSuffix(key, ".advice")
		start := base[:strings.LastIndexByte(base, '.')+1]
		if !strings.Contains(text, `"`+start+`"`) {
			t.Errorf("the text %q is not used", key)
		}
	}
}

func TestPlurals(t *testing.T) {
	c := catalogue(t)
	for _, check := range []struct {
		language i18n.Language
		n        int64
		want     string
	}{
		{i18n.English, 1, "1 account needs attention"},
		{i18n.English, 1234, "1,234 accounts need attention"},
		{i18n.Chinese, 1, "1 个账号需要处理"},
		{i18n.Chinese, 1234, "1,234 个账号需要处理"},
	} {
		if got := c.In(check.language).Text("overview.people", check.n); got != check.want {
			t.Errorf("%q, want %q", got, check.want)
		}
	}
}

// What a text is given and does not mention is not shown either.
func TestArgumentsThatAreNotMentioned(t *testing.T) {
	c := catalogue(t)
	for _, l := range i18n.All() {
		for _, code := range weixin.AdviceCodes() {
			for _, key := range []string{"cause." + code, "advice." + code} {
				got := c.In(l).Text(key, "ADDRESS", "ORIGIN")
				if strings.ContainsAny(got, "%{}") && !strings.Contains(got, "%)") || strings.Contains(got, "EXTRA") {
					t.Errorf("%v, %s: %q", l, key, got)
				}
			}
		}
	}
}

func TestMessagesWithinMessages(t *testing.T) {
	c := catalogue(t)
	m := i18n.M("advice.allow_list", i18n.M("address.seen", "203.0.113.7"), i18n.M("origin.weixin"))
	for l, want := range map[i18n.Language]string{
		i18n.English: "Add 203.0.113.7, the address that Weixin saw, to the IP allow list",
		i18n.Chinese: "将 203.0.113.7（微信看到的 IP）加入该账号的 IP白名单",
	} {
		if got := c.In(l).Message(m); !strings.Contains(got, want) {
			t.Errorf("%q does not contain %q", got, want)
		}
	}
	if got := c.In(i18n.English).Message(i18n.Message{}); got != "" {
		t.Errorf("no message is %q", got)
	}
	if got := c.In(i18n.English).Text("no.such.text"); got != "no.such.text" {
		t.Errorf("a key without text is %q", got)
	}
	date, _ := datacube.ParseDate("2026-11-21")
	if got := c.In(i18n.Chinese).Text("state.ok.until", date); got != "数据更新至 2026-11-21" {
		t.Errorf("a date is %q", got)
	}
}

func ExampleCatalogue() {
	c, err := i18n.New()
	if err != nil {
		panic(err)
	}
	for _, l := range i18n.All() {
		fmt.Println(c.In(l).Message(i18n.M("state.waiting.asked", int64(4))))
	}
	// Output:
	// Yesterday is not published yet, asked 4 times
	// 昨日数据尚未发布，已查询 4 次
}
