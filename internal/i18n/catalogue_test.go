package i18n_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/secret"
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

// A key is in one part alone: a second text would replace the first.
func TestKeysAreUnique(t *testing.T) {
	for l, sizes := range i18n.PartSizes() {
		total := 0
		for _, size := range sizes {
			total += size
		}
		if n := len(i18n.Tables()[l]); n != total {
			t.Errorf("%v has %d texts with %d keys", i18n.Language(l), total, n)
		}
	}
}

// English in the log is the English of the commands, but for the grouping of digits.
func TestEnglishWithoutCatalogue(t *testing.T) {
	p := catalogue(t).In(i18n.English)
	refused := &weixin.Error{API: weixin.TokenAPI, Errcode: 40164, Errmsg: "invalid ip", RID: "1-2-3"}
	same := &weixin.Error{API: weixin.DailyAPI, Errcode: 40001, Errmsg: "invalid credential", Note: weixin.SameToken, Origin: weixin.Origin{File: "/run/token"}}
	renewed := &weixin.Error{API: weixin.HourlyAPI, Errcode: 40001, Errmsg: "invalid credential", Note: weixin.SameToken}
	server := &weixin.Error{API: weixin.TokenAPI, Origin: weixin.Origin{URL: "https://tokens.example"}, Err: fs.ErrClosed}
	for _, e := range []*weixin.Error{refused, same, renewed, server, {API: weixin.RIDAPI}} {
		if got := p.Error(e); got != e.Error() || i18n.WeixinError(e).String() != got {
			t.Errorf("%q, want %q", got, e)
		}
		if got := i18n.WeixinDetail(e).String(); got != e.Detail() {
			t.Errorf("%q, want %q", got, e.Detail())
		}
	}
	for _, m := range []i18n.Message{
		i18n.M("fault.same", i18n.M("place.file", "accounts[0].name", "config.yml", "7")),
		i18n.M("overview.people", 1), i18n.M("overview.people", 2), i18n.M("yaml.directive"),
		i18n.M("backfill.failed", 6, 9, i18n.Names(strings.Split("a b c d e f", " "))),
		i18n.M("error.both", i18n.Errorf("backup.no_store", "config.yml"), fs.ErrNotExist),
		i18n.Advice(weixin.Advice{Code: "allow_list", Address: "203.0.113.7"}), i18n.Advice(weixin.Quota.Advice()),
	} {
		if got := m.String(); got != p.Message(m) || strings.Contains(got, "%!") {
			t.Errorf("%q without and %q with the catalogue", got, p.Message(m))
		}
	}
}

func TestErrorsInChinese(t *testing.T) {
	p := catalogue(t).In(i18n.Chinese)
	cause := &fs.PathError{Op: "open", Path: "secret", Err: syscall.ENOENT}
	for want, err := range map[string]error{
		"文件或目录不存在": cause.Err,
		"不是普通文件":   secret.ErrNotRegular,
		"无法读取 secret：权限不足；应为 exporter 的运行用户可读的文件": i18n.Errorf("fault.unreadable", "secret", syscall.EACCES),
		"open secret: no such file or directory":  cause, // a sentence of its own
		"查询接口分析数据失败：errcode 40001: invalid credential；刷新后得到的仍是被拒绝的 access_token（rid 1-2-3）": &weixin.Error{
			API: weixin.DailyAPI, Errcode: 40001, Errmsg: "invalid credential", Note: weixin.SameToken, RID: "1-2-3",
		},
	} {
		if got := p.Error(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := i18n.Errorf("fault.unreadable", "secret", cause); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
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
	for _, name := range []string{"format.go", "localized.go", "advice.go", "weixinerror.go"} {
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
