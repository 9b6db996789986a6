package web_test

import (
	"compress/gzip"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
	"weixin_exporter/internal/web"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/datacube"
)

// newPages returns a surface with accounts in all conditions.
func newPages(tb testing.TB) (*surface, *storedFigures) {
	tb.Helper()
	s, store := newSurface(tb), newStoredFigures()
	s.options.Now, s.options.Figures = now, store
	shop, incident := store.newAccount("shop", ordinary(1_000_000)), store.newAccount("incident", withAnIncident(60_000))
	waiting, doubt := store.newAccount("waiting", ordinary(500)), store.newAccount("doubt", ordinary(500))
	waiting.Daily.Date--
	waiting.Hourly.Date--
	waiting.Work[datacube.Daily].NotReady, waiting.Work[datacube.Daily].Asked, waiting.Work[datacube.Daily].Next = true, 4, now().Add(15*time.Minute)
	doubt.Inconsistent = 2
	s.publish(shop, incident, waiting, doubt,
		refused("unverified", 48001, weixin.Permission, true), refused("unverified-2", 48001, weixin.Permission, true),
		refused("away", 0, weixin.Busy, false), &snapshot.Account{Name: "fresh", AppID: "wxfresh"})
	return s, store
}

// text returns what can be read on a page, with one space between words.
func text(page string) string {
	page = regexp.MustCompile(`(?s)<(style|script)[^>]*>.*?</(style|script)>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " "))), " ")
}

// names returns the accounts in the table of the overview, in order.
func names(page string) []string {
	var found []string
	for _, match := range regexp.MustCompile(`<th scope="row"><a href="[^"]*"><bdi>([^<]*)</bdi>`).FindAllStringSubmatch(page, -1) {
		found = append(found, html.UnescapeString(match[1]))
	}
	return found
}

func TestOverview(t *testing.T) {
	s, _ := newPages(t)
	w := s.ask("GET", "/")
	page := text(w.Body.String())
	for _, want := range []string{
		"3 accounts need attention", "Accounts 8", "Callbacks on 28 Nov", "of 3 of 8 accounts", "Last answer from Weixin 17 minutes ago",
		"2 accounts: Not verified, or no right to the statistics (48001) unverified unverified-2 The account has no right",
		"Since 09:00; next attempt at 10:15, or after a reload of the configuration. errcode 48001: said (rid abc)",
		"1 account: Callbacks timed out incident Weixin waits 5 seconds", "1 account: Weixin cannot be reached or cannot answer away",
		"1 account: The daily and the hourly call contradict each other doubt",
		"Yesterday is not published yet, asked 4 times, next at 10:15 2026-11-27",
		"Not verified, or no right to the statistics (48001); next attempt at 10:15", "Not asked yet", "Has yesterday's figures 2026-11-28 999,99",
		"1.2.3",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if got, want := names(w.Body.String()), []string{"unverified", "unverified-2", "incident", "away", "doubt", "fresh", "waiting", "shop"}; !slices.Equal(got, want) {
		t.Errorf("accounts %q, want the worst first: %q", got, want)
	}
	if t.Failed() {
		t.Log(page)
	}
}

func TestOverviewInChinese(t *testing.T) {
	s, _ := newPages(t)
	for _, c := range []struct {
		path, accept, tag, want string
	}{
		{"/?lang=zh", "", "zh-CN", "3 个账号需要处理"},
		{"/", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "昨日数据尚未发布，已查询 4 次，下次 10:15"},
		{"/?lang=en", "zh-CN", "en", "3 accounts need attention"},
		{"/?lang=xx", "zh-CN", "zh-CN", "2 个账号： 未认证或没有接口分析权限（48001）"},
		{"/", "", "en", "3 accounts need attention"},
	} {
		w := s.ask("GET", c.path, "Accept-Language", c.accept)
		if !strings.Contains(text(w.Body.String()), c.want) || w.Header().Get("Content-Language") != c.tag || !strings.Contains(w.Body.String(), `<html lang="`+c.tag+`">`) {
			t.Errorf("%s with %q: Content-Language %q, and no %q", c.path, c.accept, w.Header().Get("Content-Language"), c.want)
		}
		if !slices.Contains(w.Header().Values("Vary"), "Accept-Language") {
			t.Errorf("Vary is %q", w.Header().Values("Vary"))
		}
	}
	// The language that the URL names is kept by all links to pages.
	for _, link := range links(s.ask("GET", "/?lang=zh").Body.String()) {
		if u, _ := url.Parse(link); !strings.Contains(link, "static/") && !strings.HasPrefix(link, "#") && u.Path != "./metrics" && u.Path != "./config" && u.Path != "./" && u.Query().Get("lang") == "" {
			t.Errorf("the link %q forgets the language", link)
		}
	}
	if page := s.ask("GET", "/?lang=zh").Body.String(); strings.Contains(text(page), "Accounts") || !strings.Contains(page, `<input type="hidden" name="lang" value="zh">`) {
		t.Error("the form forgets the language")
	}
}

func TestSortFilterAndPages(t *testing.T) {
	s, store := newPages(t)
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"sort=name", []string{"away", "doubt", "fresh", "incident", "shop", "unverified", "unverified-2", "waiting"}},
		{"sort=callbacks", []string{"shop", "incident", "doubt", "waiting", "away", "fresh", "unverified", "unverified-2"}},
		{"sort=ratio", []string{"incident", "shop", "doubt", "waiting", "away", "fresh", "unverified", "unverified-2"}},
		{"sort=day", []string{"doubt", "incident", "shop", "waiting", "away", "fresh", "unverified", "unverified-2"}},
		{"sort=longest&state=ok", []string{"shop"}},
		{"sort=average&q=INC", []string{"incident"}},
		{"sort=nonsense&state=nonsense&page=nonsense&q=UNVERIFIED", []string{"unverified", "unverified-2"}},
		{"q=wxfresh", []string{"fresh"}},
		{"state=action", []string{"unverified", "unverified-2"}},
		{"group=permission-48001", []string{"unverified", "unverified-2"}},
		{"group=permission-48001&q=-2", []string{"unverified-2"}},
		{"q=no+such+account", nil},
		{"group=over", nil},
		{"page=99", []string{"unverified", "unverified-2", "incident", "away", "doubt", "fresh", "waiting", "shop"}},
	} {
		if got := names(s.ask("GET", "/?"+c.query).Body.String()); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
	}
	if page := text(s.ask("GET", "/?group=over").Body.String()); !strings.Contains(page, "Resolved") {
		t.Error("a group that is over does not say so")
	}
	var many []*snapshot.Account
	for i := range 120 {
		many = append(many, store.newAccount(fmt.Sprintf("a%03d", i), ordinary(100)))
	}
	s.publish(many...)
	for query, want := range map[string][]string{"": {"a000", "a049"}, "page=2": {"a050", "a099"}, "page=3": {"a100", "a119"}, "page=1000": {"a100", "a119"}, "page=-5": {"a000", "a049"}} {
		page := s.ask("GET", "/?"+query).Body.String()
		if got := names(page); got[0] != want[0] || got[len(got)-1] != want[1] {
			t.Errorf("%s: %s to %s, want %q", query, got[0], got[len(got)-1], want)
		}
	}
	page := s.ask("GET", "/?page=2&lang=zh&sort=name").Body.String()
	for _, want := range []string{`href="./?lang=zh&amp;page=3&amp;sort=name#accounts" rel="next"`, `href="./?lang=zh&amp;sort=name#accounts" rel="prev"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	if store.asked != 30 {
		t.Errorf("%d days were read, want the 30 that are shown", store.asked)
	}
}

// TestSortingIsOfOneRequest: requests share the accounts of a snapshot, which one that sorts them leaves in their order.
func TestSortingIsOfOneRequest(t *testing.T) {
	s, _ := newPages(t)
	h, err := web.NewHandler(s.options)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) []string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return names(w.Body.String())
	}
	before, sorted := ask("/"), ask("/?sort=name")
	if slices.Equal(before, sorted) {
		t.Fatalf("%q in any order", before)
	}
	if after := ask("/"); !slices.Equal(after, before) {
		t.Errorf("%q, %q before another request sorted by name", after, before)
	}
}

// One cause is one group, however many accounts it concerns; and causes, names and rows have bounds.
func TestOverviewOfManyProblems(t *testing.T) {
	s, _ := newPages(t)
	var shared, own []*snapshot.Account
	for i := range 10_000 {
		a := refused(fmt.Sprintf("a%05d", i), 0, weixin.Busy, false)
		b := refused(fmt.Sprintf("b%05d", i), i+1, weixin.Unknown, true)
		for api := range datacube.APIs {
			a.Work[api].Problem.Cause.Source = "https://tokens.example/" + a.Name
			a.Work[api].Problem.Advice = weixin.Advice{Code: "token_server_busy", Origin: weixin.Origin{URL: "https://tokens.example"}}
		}
		shared, own = append(shared, a), append(own, b)
	}
	s.publish(shared...)
	page := s.ask("GET", "/").Body.String()
	if n := strings.Count(page, "<article"); n != 1 || !strings.Contains(text(page), "10,000 accounts: Token server https://tokens.example does not answer a00000 a00001") || !strings.Contains(text(page), "all 10,000") {
		t.Errorf("%d groups for one cause", n)
	}
	more := regexp.MustCompile(`class="more" href="([^"]*)"`).FindStringSubmatch(page)
	if more == nil {
		t.Fatal("no link to all accounts")
	}
	target, _, _ := strings.Cut(html.UnescapeString(more[1])[1:], "#")
	if got := names(s.ask("GET", target).Body.String()); len(got) != 50 || got[0] != "a00000" {
		t.Errorf("%s shows %d accounts", target, len(got))
	}
	s.publish(own...)
	page = s.ask("GET", "/").Body.String()
	if n := strings.Count(page, "<article"); n != 12 || !strings.Contains(text(page), "9,988 more causes") {
		t.Errorf("%d groups for as many causes as accounts", n)
	}
	if len(page) > 200_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// The page marks what the alerts report: a ratio and a number.
func TestOverviewMarksWhatTheAlertsReport(t *testing.T) {
	s, _ := newPages(t)
	for name, c := range map[string]struct {
		figures datacube.Figures
		marked  bool
	}{
		"one of forty":             {datacube.Figures{Callbacks: 40, Failures: 1, MaxTimeCostMillis: 900}, false},
		"one of forty, timed out":  {datacube.Figures{Callbacks: 40, Failures: 1, MaxTimeCostMillis: 5003}, false},
		"many of a quiet account":  {datacube.Figures{Callbacks: 40, Failures: 30, MaxTimeCostMillis: 900}, true},
		"few of many, timed out":   {datacube.Figures{Callbacks: 5000, Failures: 25, MaxTimeCostMillis: 5003}, true},
		"few of many, all of them": {datacube.Figures{Callbacks: 5000, Failures: 25, MaxTimeCostMillis: 900}, false},
	} {
		a := &snapshot.Account{Name: "shop", Daily: &datacube.Day{Date: yesterday(), Figures: c.figures}}
		s.publish(a)
		page := s.ask("GET", "/").Body.String()
		if marked := strings.Contains(page, `class="n bad"`); marked != c.marked || strings.Contains(page, "1 account needs attention") != c.marked {
			t.Errorf("%s: marked %v, want %v", name, marked, c.marked)
		}
	}
	hours := ordinary(240_000)
	hours[3] = datacube.Figures{Callbacks: 400, Failures: 40, TimeCostMillis: 40000, MaxTimeCostMillis: 400}
	s.publish(&snapshot.Account{Name: "shop", Hourly: &datacube.HourlyDay{Date: yesterday(), Hours: hours}})
	if page := text(s.ask("GET", "/").Body.String()); !strings.Contains(page, "Many callbacks failed in single hours: 03:00") {
		t.Error("a bad hour of a good day is not told")
	}
}

func TestHeadlines(t *testing.T) {
	s, store := newPages(t)
	well := store.newAccount("shop", ordinary(1000))
	for want, publish := range map[string]func(){
		"No account is configured":           func() { s.publish() },
		"All is well":                        func() { s.publish(well) },
		"1 account is being retried":         func() { s.publish(well, refused("away", 0, weixin.Busy, false)) },
		"1 account needs attention":          func() { s.publish(well, refused("closed", 50002, weixin.AccountClosed, true)) },
		"The first answers are on their way": func() { s.publish(&snapshot.Account{Name: "new"}) },
		"The exporter needs attention": func() {
			s.board.Publish(&snapshot.Snapshot{Accounts: []*snapshot.Account{well}, Store: &snapshot.Problem{Text: "the disk is full"}})
		},
		"(公众号, formerly 订阅号, or 服务号) that is": func() { s.publish() },
	} {
		publish()
		if page := text(s.ask("GET", "/").Body.String()); !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	s.options.Notices = func() []web.Notice {
		return []web.Notice{{Title: i18n.M("notice.clock"), Detail: "it is 7 hours ahead", Advice: i18n.M("notice.clock.advice")}}
	}
	s.publish(well)
	if page := text(s.ask("GET", "/?lang=zh").Body.String()); !strings.Contains(page, "本机时钟不准") || !strings.Contains(page, "it is 7 hours ahead") || !strings.Contains(page, "Exporter 自身需要处理") {
		t.Error("a notice is not shown")
	}
}

func TestHostileNames(t *testing.T) {
	s, store := newPages(t)
	hostile := []string{"<img src=x onerror=alert(1)>", "abc\u202edef", strings.Repeat("长", 200), `"quoted" & 'odd'`, "a/b", "..", ".", "x?y#z%20", `back\slash`, "a//b/../c"}
	var accounts []*snapshot.Account
	for _, name := range hostile {
		accounts = append(accounts, store.newAccount(name, withAnIncident(60_000)))
	}
	s.publish(accounts...)
	page := s.ask("GET", "/").Body.String()
	if strings.Contains(page, "<img") || len(names(page)) != len(hostile) {
		t.Errorf("names %q", names(page))
	}
	seen := map[string]bool{}
	for _, match := range regexp.MustCompile(`<th scope="row"><a href="([^"]*)"><bdi>([^<]*)</bdi>`).FindAllStringSubmatch(page, -1) {
		base, _ := url.Parse("http://proxy.example/weixin/")
		link, err := base.Parse(html.UnescapeString(match[1]))
		if err != nil {
			t.Errorf("%q: %v", match[1], err)
			continue
		}
		target := strings.TrimPrefix(link.EscapedPath(), "/weixin")
		if link.RawQuery != "" {
			target += "?" + link.RawQuery
		}
		w := s.ask("GET", target)
		name := html.UnescapeString(match[2])
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<h1 class=\"name\"><bdi>"+html.EscapeString(name)+"</bdi>") {
			t.Errorf("%s, the page of %q, is answered with %d", target, name, w.Code)
		}
		seen[name] = true
		for _, inner := range links(w.Body.String()) {
			if to, err := link.Parse(inner); err != nil || !strings.HasPrefix(to.Path, "/weixin/") {
				t.Errorf("a link of the page of %q leads to %q: %v", name, to, err)
			}
		}
	}
	for _, name := range hostile {
		if !seen[name] {
			t.Errorf("%q has no link", name)
		}
	}
}

func TestPagesAreSafeAndCompressed(t *testing.T) {
	s, _ := newPages(t)
	for _, path := range []string{"/", "/health", "/accounts/shop"} {
		w := s.ask("GET", path, "Accept-Encoding", "gzip")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Encoding": "gzip", "Cache-Control": "no-cache",
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		unpacked, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		if match := regexp.MustCompile(` (style|on[a-z]+)=|<style|<script(?: defer)?>`).FindString(string(page)); match != "" {
			t.Errorf("%s: %q stands within the page, which its policy forbids", path, match)
		}
	}
}

func TestAssets(t *testing.T) {
	s, _ := newPages(t)
	page := s.ask("GET", "/").Body.String()
	files := regexp.MustCompile(`"\./(static/[a-z]+\.[0-9a-f]{12}\.(css|js|svg))"`).FindAllStringSubmatch(page, -1)
	if len(files) != 3 {
		t.Fatalf("%q are the files of the page", files)
	}
	for _, file := range files {
		w := s.ask("GET", "/"+file[1])
		if w.Code != http.StatusOK || w.Body.Len() == 0 || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d, %d bytes, %q", file[1], w.Code, w.Body.Len(), w.Header().Get("Cache-Control"))
		}
		if strings.Contains(w.Body.String(), "//") && strings.Contains(w.Body.String(), "http") && file[2] != "svg" {
			t.Errorf("%s names another address", file[1])
		}
	}
	for _, path := range []string{"/static/style.css", "/static/", "/static/style.000000000000.css", "/static/../web.go"} {
		if w := s.ask("GET", path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestErrorPages(t *testing.T) {
	s, _ := newPages(t)
	for _, c := range []struct {
		path, accept, lang, want string
		code                     int
	}{
		{"/no/such/path", "text/html", "zh", "404 页面不存在。 此地址没有内容。", 404},
		{"/no/such/path", "*/*", "en", "404 page not found", 404},
		{"/accounts/none", "text/html", "en", "There is no such account. “none” is not in", 404},
		{"/accounts/shop?date=yesterday", "text/html", "zh", "没有这一天。", 400},
		{"/accounts/shop?date=2026-11-29", "", "en", "There is no such day.", 400},
		{"/accounts/shop?date=2014-11-30", "", "en", "There is no such day.", 400},
	} {
		w := s.ask("GET", c.path, "Accept", c.accept, "Accept-Language", c.lang)
		if w.Code != c.code || !strings.Contains(text(w.Body.String()), c.want) {
			t.Errorf("%s: %d %s", c.path, w.Code, text(w.Body.String()))
		}
		if html := strings.Contains(w.Body.String(), "<html"); html != (c.accept == "text/html") {
			t.Errorf("%s for %q is HTML: %v", c.path, c.accept, html)
		}
	}
	starting := newSurface(t)
	if w := starting.ask("GET", "/accounts/shop"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("before the first snapshot: %d", w.Code)
	}
	if w := starting.ask("GET", "/"); !strings.Contains(text(w.Body.String()), "The store is being read.") {
		t.Errorf("before the first snapshot: %s", w.Body)
	}
}

func TestOverviewWithoutTheStore(t *testing.T) {
	s, store := newPages(t)
	store.fault = errNoDisk
	page := text(s.ask("GET", "/").Body.String())
	if !strings.Contains(page, "cannot be read from the store now") || !strings.Contains(page, "Has yesterday's figures") {
		t.Errorf("the page is\n%s", page)
	}
}
