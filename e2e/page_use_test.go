package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"weixin_exporter/weixin"
)

// TestUsingThePages does what a person does: sort, filter, turn pages, switch the language, open an account, pick a day and
// download. It does so with JavaScript and without, and behind a proxy that puts a prefix before all paths.
func TestUsingThePages(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	state := newPageState("use", append([]string{"refused-1", "refused-2"}, numbered(998)...)...)
	state.refuse(48001, weixin.Permission, true, weixin.AdviceOn(48001), "errcode 48001: api unauthorized", state.accounts[:2]...)
	direct := state.serve(t)
	var downloads sync.Mutex // the browser has one folder for all tabs
	for name, base := range map[string]string{"direct": direct, "proxy": behindProxy(t, direct, "/tools/weixin/")} {
		for _, scripts := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, scripts %v", name, scripts), func(t *testing.T) {
				t.Parallel()
				p := b.newTab(t, base, "light", 1280)
				off := emulation.SetScriptExecutionDisabledParams{Value: !scripts}
				if _, err := chromedp.Call(p.limited(), emulation.SetScriptExecutionDisabled, off); err != nil {
					t.Fatal(err)
				}
				useOverview(p, base)
				useAccount(p, &downloads)
				if scripts {
					copyTable(p)
				}
				p.check()
			})
		}
	}
}

// behindProxy returns the address of a proxy that serves the pages at an address below a prefix.
func behindProxy(t *testing.T, address, prefix string) string {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix(strings.TrimSuffix(prefix, "/"), &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}))
	t.Cleanup(proxy.Close)
	return proxy.URL + prefix
}

func useOverview(p tab, base string) {
	p.t.Helper()
	p.open(base + "?lang=en")
	if got := p.accounts(); len(got) != 50 || !slices.Equal(got[:2], []string{"refused-1", "refused-2"}) {
		p.t.Errorf("%d accounts, first %q; want the worst of 50 first", len(got), got[:2])
	}
	p.follow("thead th:nth-child(1) a")
	if got := p.accounts(); !slices.IsSorted(got) || got[0] != "account-00000" {
		p.t.Errorf("sorted by name: %q", got[:3])
	}
	if sorted := p.texts(`th[aria-sort="ascending"]`); len(sorted) != 1 {
		p.t.Errorf("%d headings are marked", len(sorted))
	}
	p.follow("a[rel=next]")
	if got := p.accounts(); got[0] != "account-00050" {
		p.t.Errorf("the second page begins with %q", got[0])
	}
	p.follow(`a[hreflang="zh-CN"]`)
	if heading := p.texts("h1"); !strings.HasSuffix(heading[0], " 个账号需要处理") || p.accounts()[0] != "account-00050" {
		p.t.Errorf("in Chinese: %q, %q", heading, p.accounts()[:1])
	}
	p.enter("input[type=search]", "ACCOUNT-0000")
	p.follow("form[role=search] button")
	if got := p.accounts(); len(got) != 10 || got[9] != "account-00009" {
		p.t.Errorf("filtered by name: %q", got)
	}
	p.enter("input[type=search]", "")
	p.enter("select[name=state]", "action")
	p.follow("form[role=search] button")
	if got := p.accounts(); len(got) != 2 {
		p.t.Errorf("filtered by state: %q", got)
	}
	if heading := p.texts("h1"); !strings.HasSuffix(heading[0], " 个账号需要处理") {
		p.t.Errorf("the filter forgets the language: %q", heading)
	}
}

func useAccount(p tab, downloads *sync.Mutex) {
	p.t.Helper()
	p.follow("table.accounts tbody tr:first-child th a")
	if got := p.texts("h1 bdi"); got[0] != "refused-1" || p.texts("#day h2")[0] != "2026年11月28日 星期六" {
		p.t.Errorf("the page is that of %q, %q", got, p.texts("#day h2"))
	}
	p.follow("a[rel=prev]")
	if got := p.texts("#day h2"); got[0] != "2026年11月27日 星期五" {
		p.t.Errorf("the day before is %q", got)
	}
	p.enter("input[type=date]", "2026-11-21")
	p.follow("form.days button")
	if got := p.texts("#day h2"); got[0] != "2026年11月21日 星期六" {
		p.t.Errorf("the day that was picked is %q", got)
	}
	downloadHours(p, downloads)
	p.follow(`table.month a[aria-current="date"]`)
}

// downloadHours downloads the hours of the day that an account's page shows.
func downloadHours(p tab, downloads *sync.Mutex) {
	p.t.Helper()
	downloads.Lock()
	defer downloads.Unlock()
	folder := p.t.TempDir()
	allowed := cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder}
	if _, err := chromedp.Call(p.limited(), cdpbrowser.SetDownloadBehavior, allowed); err != nil {
		p.t.Fatal(err)
	}
	name := p.texts("h1 bdi")[0]
	if err := chromedp.Do(p.limited(), p.click(`a[download][href*="of=hours"]`)); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "the download", func() error {
		text, err := os.ReadFile(filepath.Join(folder, "weixin-"+name+"-2026-11-21.csv"))
		if err != nil {
			return err
		}
		if lines := strings.Count(string(text), "\n"); lines != 25 {
			return fmt.Errorf("%d lines", lines)
		}
		return nil
	})
}

// copyTable presses the button that scripts show, and looks at what a chart says of an hour.
func copyTable(p tab) {
	p.t.Helper()
	// The browser lets a page copy only after a press of a real mouse button, which it may ignore right after loading a page.
	eventually(p.t, "the button to say that the table is copied", func() error {
		if err := chromedp.Do(p.limited(), chromedp.Click(chromedp.CSS("button.copy"))); err != nil {
			return err
		}
		if got := p.texts("button.copy"); got[0] != "已复制" {
			return errNotYet
		}
		return nil
	})
	const hover = `(() => {
		const svg = document.querySelector("svg.plot"), box = svg.getBoundingClientRect();
		svg.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + box.width * 10.5 / 24, clientY: box.top + 5}));
		return document.querySelector(".tip").textContent;
	})()`
	if got := find[string](p, hover); !strings.HasPrefix(got, "10:00 · 被动回复次数 ") {
		p.t.Errorf("the chart says %q", got)
	}
}
