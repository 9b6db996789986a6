package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// routing is what alertmanager.yml, alertmanager.zh.yml and docs/alerts.md say alike.
type routing struct {
	Route   map[string]any
	Inhibit []any `yaml:"inhibit_rules"`
}

func TestComposeAlertmanager(t *testing.T) {
	t.Parallel()
	file := readCompose(t, "compose.yml")
	config := filepath.Join(file.mirror(t, "alertmanager"), "etc/alertmanager/alertmanager.yml")
	checkAlertmanagerConfig(t, config)
	alertmanager := program(t, "ALERTMANAGER", "alertmanager")
	checkFlags(t, alertmanager, file.Services["alertmanager"].Command)
	version := regexp.MustCompile(`prometheus/alertmanager (v\S+)`).FindStringSubmatch(readFile(t, "../tools/alertmanager/go.mod"))
	if version == nil || file.Services["alertmanager"].Image != "prom/alertmanager:"+version[1] {
		t.Errorf("the stack has the image %s, the tests run %q", file.Services["alertmanager"].Image, version)
	}

	var delivered, chinese, shown routing
	readYAML(t, config, &delivered)
	readYAML(t, filepath.Join(deploy, "compose/alertmanager.zh.yml"), &chinese)
	checkSame(t, "the routing of alertmanager.zh.yml", chinese, delivered)
	for _, path := range []string{"../docs/alerts.md", "../docs/zh/alerts.md"} {
		shown = routing{}
		_, block, _ := strings.Cut(readFile(t, path), "```yaml\nroute:")
		block, _, _ = strings.Cut(block, "```")
		if err := yaml.Unmarshal([]byte("route:"+block), &shown); err != nil || len(shown.Route) == 0 {
			t.Fatalf("%s shows no routing: %v", path, err)
		}
		same := routing{Route: maps.Clone(delivered.Route), Inhibit: delivered.Inhibit}
		maps.DeleteFunc(same.Route, func(key string, _ any) bool { _, ok := shown.Route[key]; return !ok })
		checkSame(t, "the routing of "+path, shown, same)
	}
}

func checkAlertmanagerConfig(t *testing.T, path string) {
	t.Helper()
	if said := output(t, program(t, "AMTOOL", "amtool"), "check-config", path); !strings.Contains(said, "SUCCESS") || !strings.Contains(said, "1 inhibit rules") {
		t.Errorf("amtool check-config says\n%s", said)
	}
}

// chatRooms stands for WeCom, DingTalk and Feishu, and keeps what is posted, by path.
type chatRooms struct {
	mu     sync.Mutex
	posted map[string][]map[string]any
}

func (c *chatRooms) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/cgi-bin/gettoken" {
		if secret := r.URL.Query().Get("corpsecret"); secret != "sim-secret-wecom" {
			http.Error(w, "another secret", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"errcode":0,"access_token":"sim-token-wecom","expires_in":7200}`)
		return
	}
	body, err := io.ReadAll(r.Body)
	var message map[string]any
	if err == nil {
		err = json.Unmarshal(body, &message)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posted[r.URL.Path] = append(c.posted[r.URL.Path], message)
	fmt.Fprint(w, `{"errcode":0,"code":0}`)
}

// message returns the n-th message that was posted to a path.
func (c *chatRooms) message(t *testing.T, path string, n int) map[string]any {
	t.Helper()
	var message map[string]any
	eventually(t, fmt.Sprintf("message %d to %s", n, path), func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.posted[path]) < n {
			return fmt.Errorf("posted so far: %v", slices.Sorted(maps.Keys(c.posted)))
		}
		message = c.posted[path][n-1]
		return nil
	})
	return message
}

// TestComposeChineseReceivers runs Alertmanager with the receivers of alertmanager.zh.yml and looks at what each of them gets.
func TestComposeChineseReceivers(t *testing.T) {
	t.Parallel()
	rooms := &chatRooms{posted: map[string][]map[string]any{}}
	server := httptest.NewServer(rooms)
	defer server.Close()
	config := receiversConfig(t, server.URL)
	checkAlertmanagerConfig(t, config)
	p := start(t, program(t, "ALERTMANAGER", "alertmanager"), "--config.file="+config, "--storage.path="+t.TempDir(),
		"--cluster.listen-address=", "--web.listen-address=127.0.0.1:0", "--web.external-url=http://alerts.example")
	manager := &url.URL{Scheme: "http", Host: p.listensOn(t), Path: "/api/v2/alerts"}

	// The longest texts there are, of an account with the longest name, which holds what JSON and templates escape.
	account := `a: "{{ 1 }}" # \ <b>& ` + strings.Repeat("号", 200)
	alerts := longestAlerts(t, account, 4)
	postAlerts(t, server.Client(), manager.String(), alerts)

	title := "微信告警：" + string([]rune(account)[:100]) + "（4 条）"
	wechat := rooms.message(t, "/cgi-bin/message/send", 1)
	wecom := rooms.message(t, "/wecom", 1)
	ding := rooms.message(t, "/dingtalk", 1)
	feishu := rooms.message(t, "/feishu", 1)
	for what, got := range map[string][2]string{
		"type of the application's message": {field(t, wechat, "msgtype"), "text"},
		"type at WeCom":                     {field(t, wecom, "msgtype"), "markdown"},
		"type at DingTalk":                  {field(t, ding, "msgtype"), "markdown"},
		"title at DingTalk":                 {field(t, ding, "markdown", "title"), title},
		"type at Feishu":                    {field(t, feishu, "msg_type"), "interactive"},
		"color at Feishu":                   {field(t, feishu, "card", "header", "template"), "red"},
		"title at Feishu":                   {field(t, feishu, "card", "header", "title", "content"), title},
		"type of the title at Feishu":       {field(t, feishu, "card", "header", "title", "tag"), "plain_text"},
		"element at Feishu":                 {field(t, feishu, "card", "elements", "0", "tag"), "markdown"},
	} {
		if got[0] != got[1] {
			t.Errorf("the %s is %q, want %q", what, got[0], got[1])
		}
	}
	const wecomMost, appMost = 4096, 2048 // bytes
	checkMessage(t, "WeCom's application", field(t, wechat, "text", "content"), title, appMost, alerts, false)
	checkMessage(t, "WeCom's robot", field(t, wecom, "markdown", "content"), title, wecomMost, alerts, true)
	checkMessage(t, "DingTalk", field(t, ding, "markdown", "text"), title, wecomMost, alerts, true)
	checkMessage(t, "Feishu", field(t, feishu, "card", "elements", "0", "content"), title, wecomMost, alerts, true)

	for i := range alerts {
		alerts[i].EndsAt = "2026-01-01T00:00:00Z"
	}
	postAlerts(t, server.Client(), manager.String(), alerts)
	title = strings.Replace(title, "微信告警", "微信告警恢复", 1)
	feishu = rooms.message(t, "/feishu", 2)
	if got := field(t, feishu, "card", "header", "title", "content"); got != title || field(t, feishu, "card", "header", "template") != "green" {
		t.Errorf("Feishu gets %v, want a green card with the title %s", feishu, title)
	}
	for to, text := range map[string]string{
		"WeCom's application": field(t, rooms.message(t, "/cgi-bin/message/send", 2), "text", "content"),
		"WeCom's robot":       field(t, rooms.message(t, "/wecom", 2), "markdown", "content"),
		"DingTalk":            field(t, rooms.message(t, "/dingtalk", 2), "markdown", "text"),
	} {
		if !strings.Contains(text, title) || strings.Count(text, "[恢复] ") != 3 || strings.Contains(text, "处理办法") {
			t.Errorf("%s gets %s, want three alerts that are over", to, text)
		}
	}
}

// field returns the text at the end of a path of keys and indices.
func field(t *testing.T, message map[string]any, keys ...string) string {
	t.Helper()
	var value any = message
	for _, key := range keys {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(v) {
				t.Fatalf("no %q in %v", keys, message)
			}
			value = v[i]
		}
	}
	text, ok := value.(string)
	if !ok {
		t.Fatalf("%q is %v in %v", keys, value, message)
	}
	return text
}

func postAlerts(t *testing.T, client *http.Client, address string, alerts []postedAlert) {
	t.Helper()
	body, err := json.Marshal(alerts)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "that Alertmanager takes alerts", func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		return nil
	})
}

type postedAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	EndsAt      string            `json:"endsAt,omitempty"`
}

// checkMessage looks for the title and three of the alerts in a message.
func checkMessage(t *testing.T, to, text, title string, most int, alerts []postedAlert, detailed bool) {
	t.Helper()
	if len(text) > most || !utf8.ValidString(text) {
		t.Errorf("%s gets %d bytes, of which it shows %d: %s", to, len(text), most, text)
	}
	if !strings.Contains(text, title) || !strings.Contains(text, "其余见 http://alerts.example") {
		t.Errorf("%s gets no title, or nothing about the rest: %s", to, text)
	}
	if !detailed {
		// Title, three summaries and the rest.
		if n := strings.Count(text, "\n\n"); n != 4 {
			t.Errorf("%s gets %d paragraphs, want 5: %s", to, n+1, text)
		}
		return
	}
	found := 0
	for _, alert := range alerts {
		if !strings.Contains(text, "\n\n**"+alert.Labels["alertname"]+"**\n\n"+string([]rune(alert.Annotations["summary"])[:120])+"\n\n") {
			continue
		}
		found++
		if !strings.Contains(text, "> "+alert.Annotations["description"]+"\n") || !strings.Contains(text, "("+alert.Annotations["runbook_url"]+")") {
			t.Errorf("%s does not get all of %s: %s", to, alert.Labels["alertname"], text)
		}
	}
	if found != 3 {
		t.Errorf("%s gets %d alerts, want 3: %s", to, found, text)
	}
}

// receiversConfig writes alertmanager.zh.yml as it is in the container, with its secrets in files and all of its receivers in use,
// and returns its path.
func receiversConfig(t *testing.T, server string) string {
	t.Helper()
	folder := filepath.Join(readCompose(t, "compose.zh.yml").mirrorBut(t, "alertmanager", "secrets"), "etc/alertmanager")
	if err := os.Mkdir(filepath.Join(folder, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{
		"wecom_app_secret": "sim-secret-wecom", "wecom_robot_url": server + "/wecom",
		"dingtalk_robot_url": server + "/dingtalk", "feishu_robot_url": server + "/feishu",
	} {
		writeFile(t, filepath.Join(folder, "secrets", name), secret+"\n")
	}
	config := filepath.Join(folder, "alertmanager.yml")
	text := readFile(t, config)
	replacements := []string{
		"/etc/alertmanager/secrets/", folder + "/secrets/",
		" secrets/", " " + folder + "/secrets/",
		"group_wait: 5m", "group_wait: 1s",
		"group_interval: 1h", "group_interval: 1s",
		"  routes:\n", "  routes:\n    - {receiver: wechat, continue: true}\n    - {receiver: wecom-robot, continue: true}\n    - {receiver: dingtalk-robot, continue: true}\n    - {receiver: feishu-robot}\n",
	}
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("alertmanager.zh.yml lacks %q", replacements[i])
		}
	}
	text = strings.NewReplacer(replacements...).Replace(text) // in one pass, since the first is part of what replaces the second
	writeFile(t, config, "global: {wechat_api_url: "+server+"/cgi-bin/}\n"+text)
	return config
}

// longestAlerts returns the Chinese alerts with the longest descriptions, for an account.
func longestAlerts(t *testing.T, account string, count int) []postedAlert {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	readYAML(t, "../alerts/zh/weixin.rules.yml", &rules)
	var alerts []postedAlert
	action := regexp.MustCompile(`\{\{.*?\}\}`)
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			alert := postedAlert{Labels: map[string]string{"alertname": rule.Alert, "job": "weixin", "account": account}, Annotations: map[string]string{}}
			for key, text := range rule.Annotations {
				text = strings.ReplaceAll(text, "{{ $labels.account }}", "ACCOUNT")
				alert.Annotations[key] = strings.ReplaceAll(action.ReplaceAllString(text, "99.99%"), "ACCOUNT", account)
			}
			if strings.Contains(rule.Annotations["summary"], "$labels.account") {
				alerts = append(alerts, alert)
			}
		}
	}
	slices.SortFunc(alerts, func(a, b postedAlert) int {
		return len(b.Annotations["description"]) - len(a.Annotations["description"])
	})
	if len(alerts) < count {
		t.Fatalf("%d alerts of accounts, want %d", len(alerts), count)
	}
	return alerts[:count]
}
