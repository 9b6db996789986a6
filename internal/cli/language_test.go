package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// chineseStation returns the time and a configuration with an account that works, one whose IP allow list lacks this
// machine, one that is not verified, and a token server that does not answer.
func chineseStation(t *testing.T) (now func() time.Time, file string) { //nolint:nonamedreturns // two of many
	t.Helper()
	now = func() time.Time { return time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC) }
	simulated := weixintest.New(weixintest.Options{
		Seed: 1, Now: now, Ready: func(_ string, d datacube.Date) time.Time { return d.End() },
		Accounts: []weixintest.Account{
			{AppID: "wx0000000000000001", AppSecret: "sim-secret-shop-0001", CallbacksPerDay: 50_000, Quota: 2000},
			{AppID: "wx0000000000000002", AppSecret: "sim-secret-shop-0002", AllowList: []string{"198.51.100.1"}},
			{AppID: "wx0000000000000003", AppSecret: "sim-secret-shop-0003", Errcode: 48001},
		},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "203.0.113.7:1024"
		simulated.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(tokens.Close)
	file = clitest.WriteConfig(t, fmt.Sprintf(`accounts:
- {name: 小店, app_id: wx0000000000000001, app_secret: sim-secret-shop-0001}
- {name: 咖啡馆, app_id: wx0000000000000002, app_secret: sim-secret-shop-0002}
- {name: news, app_id: wx0000000000000003, app_secret: sim-secret-shop-0003}
- {name: bot, app_id: wx0000000000000004, token: {type: url, url: "%s"}}
weixin: {base_url: "%s", requests_per_second: 10000}
`, tokens.URL, server.URL))
	return now, file
}

// stable replaces what differs from run to run.
func stable(file, text string) string {
	text = strings.ReplaceAll(text, file, "config.yml")
	text = regexp.MustCompile(`（rid [0-9a-f-]+）`).ReplaceAllString(text, "") // not all responses have one
	text = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).ReplaceAllString(text, "http://SERVER")
	return text
}

func TestCheckOnlineInChinese(t *testing.T) {
	now, file := chineseStation(t)
	got := clitest.Finish(t, now, "check", "--online", "--lang=zh", "--config.file="+file)
	if want := "weixin_exporter: 错误：4 个账号中有 3 个存在问题\n"; got.Code != cli.Fault || got.Stderr != want {
		t.Errorf("exit code %d, stderr %q", got.Code, got.Stderr)
	}
	blocks := strings.Split(stable(file, got.Stdout), "\n\n")
	if blocks[0] != "config.yml: 未发现错误；共 4 个账号" {
		t.Errorf("begins with %q", blocks[0])
	}
	// The columns fit Chinese characters, which are two columns wide.
	lines := strings.Split(strings.Split(got.Stdout, "\n\n")[1], "\n")
	wide := &runewidth.Condition{}
	for _, line := range lines {
		if wide.StringWidth(line) != wide.StringWidth(lines[0]) {
			t.Errorf("a line of another width than the first:\n%s", blocks[1])
			break
		}
	}
	if want := regexp.MustCompile(`^ 小店 +stable_token +正常 +可调用 +可调用 +2026-11-22 已发布 +剩余 1,999/2,000 次，每分钟 600,000 次 `); len(lines) != 5 || !want.MatchString(lines[1]) {
		t.Errorf("the table is\n%s", blocks[1])
	}
	if want := "咖啡馆，access_token：获取 access_token 失败：errcode 40164: invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist\n" +
		"  处理方法：请在微信开发者平台（developers.weixin.qq.com/platform）的“基础信息 → 开发密钥”中将 203.0.113.7（微信看到的 IP）加入该账号的 IP白名单。" +
		"白名单支持 IP 和 CIDR 网段，不支持 *，数分钟后生效，使用 access_token 调用时同样受其限制。"; blocks[2] != want {
		t.Errorf("the allow list:\n%s\nwant\n%s", blocks[2], want)
	}
	if want := "bot，access_token：从中控服务器 http://SERVER 获取 access_token 失败：HTTP status 502 Bad Gateway\n  处理方法：中控服务器 http://SERVER 无法连接"; !strings.HasPrefix(blocks[7], want) {
		t.Errorf("the token server:\n%s\nwant\n%s", blocks[7], want)
	}
}

// The texts of JSON are in the language, keys and codes are not.
func TestCheckOnlineAsJSONInChinese(t *testing.T) {
	now, file := chineseStation(t)
	type report struct {
		Accounts []struct {
			Account string
			Healthy bool
			Daily   struct {
				State, Text, Reason, Advice string
				Errcode                     int
			}
			Warnings []string
		}
	}
	reports := map[string]report{}
	for _, language := range []string{"en", "zh"} {
		got := clitest.Finish(t, now, "check", "--online", "--output=json", "--lang="+language, "--config.file="+file)
		var r report
		if err := json.Unmarshal([]byte(got.Stdout), &r); err != nil || len(r.Accounts) != 4 {
			t.Fatalf("%s: %v", got.Stdout, err)
		}
		reports[language] = r
	}
	for i, english := range reports["en"].Accounts {
		chinese := reports["zh"].Accounts[i]
		for _, texts := range [][2]*string{{&english.Daily.Text, &chinese.Daily.Text}, {&english.Daily.Advice, &chinese.Daily.Advice}} {
			if hasHan(*texts[1]) != (*texts[0] != "") || hasHan(regexp.MustCompile("under .*? shows").ReplaceAllString(*texts[0], "")) {
				t.Errorf("%s: %q is in Chinese %q", english.Account, *texts[0], *texts[1])
			}
			*texts[0], *texts[1] = "", ""
		}
		if diff := cmp.Diff(english, chinese); diff != "" {
			t.Errorf("%s: more than the texts differs (-en +zh):\n%s", english.Account, diff)
		}
	}
}

func hasHan(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

func TestBackfillInChinese(t *testing.T) {
	now, file := chineseStation(t)
	got := clitest.Finish(t, now, "backfill", "--since=2026-11-01", "--account=小店", "--account=news", "--lang=zh", "--config.file="+file)
	want := `2026-11-01 至 2026-11-22，2 个账号：成功调用 23 次，失败 2 次，剩余 23 次。
  接口分析数据：新获取 22 天，其中 0 天没有被动回复；0 天尚未发布
  接口分析小时数据：新获取 22 天，其中 0 天没有被动回复；0 天尚未发布

news，接口分析数据：剩余 1 次调用：errcode 48001: api unauthorized
  处理方法：该账号没有接口分析数据的权限：账号须完成认证；由第三方平台调用时，还须将“账号服务权限集”授权给平台。可在微信开发者平台（developers.weixin.qq.com/platform）的“接口管理 → 接口权限与额度”查看。偶尔会自行恢复。

news，接口分析小时数据：剩余 22 次调用：errcode 48001: api unauthorized
  处理方法：该账号没有接口分析数据的权限：账号须完成认证；由第三方平台调用时，还须将“账号服务权限集”授权给平台。可在微信开发者平台（developers.weixin.qq.com/platform）的“接口管理 → 接口权限与额度”查看。偶尔会自行恢复。
`
	if diff := cmp.Diff(want, stable(file, got.Stdout)); diff != "" {
		t.Errorf("the summary differs (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(got.Stderr, "\nweixin_exporter: 错误：2 个账号中有 1 个未能补录：news\n") || !strings.Contains(got.Stderr, `msg="filling the store"`) {
		t.Errorf("stderr:\n%s", got.Stderr)
	}
	// What is stored can be exported and copied.
	folder := filepath.Dir(file)
	if got := clitest.Finish(t, now, "store", "backup", "--lang=zh", "--config.file="+file, filepath.Join(folder, "copy.db")); got.Code != cli.Done ||
		!regexp.MustCompile(`^\S+/copy\.db: 已备份 \S+\.db，共 [\d,]+ 字节\n$`).MatchString(got.Stdout) {
		t.Errorf("backup: %+v", got)
	}
}

// The locale chooses the language where no flag does.
func TestLocale(t *testing.T) {
	file := clitest.WriteConfig(t, "accounts: none\n")
	for _, c := range []struct {
		locale map[string]string
		want   string
	}{
		{nil, "faults: 1\n"},
		{map[string]string{"LANG": "zh_CN.UTF-8"}, "发现 1 个错误\n"},
		{map[string]string{"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "C"}, "faults: 1\n"},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "发现 1 个错误\n"},
		{map[string]string{"LC_ALL": "POSIX", "LC_MESSAGES": "zh_CN", "LANG": "zh_CN"}, "faults: 1\n"},
	} {
		var stderr bytes.Buffer
		code := cli.Run(t.Context(), []string{"check", "--web.listen-address=127.0.0.1:0", "--config.file=" + file}, cli.Options{
			Stdout: t.Output(), Stderr: &stderr, Now: time.Now, Getenv: func(name string) string { return c.locale[name] },
		})
		if code != cli.Fault || !strings.HasSuffix(stderr.String(), c.want) {
			t.Errorf("%v: %s", c.locale, &stderr)
		}
	}
}
