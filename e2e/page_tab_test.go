package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// tab is a tab of a browser that a person uses: the browser may not complain, nor ask another host for anything.
type tab struct {
	t    *testing.T
	ctx  context.Context // it ends with the test
	seen *complaints
}

// newTab opens a tab for the pages at an address.
func (b browser) newTab(t *testing.T, address, scheme string, width int64) tab {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	seen := &complaints{}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(func(event any) {
		seen.listen(event)
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			u, err := url.Parse(e.Request.URL)
			// The browser has the signs of its own fields in data URLs.
			if err != nil || u.Scheme != "data" && (u.Host != base.Host || !strings.HasPrefix(u.Path, base.Path)) {
				seen.add("a request to %s", e.Request.URL)
			}
		}
	}))
	t.Cleanup(cancel)
	if err := prepareTab(ctx, scheme, width); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	return tab{t, ctx, seen}
}

// limited returns a context for one action.
func (p tab) limited() context.Context {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	p.t.Cleanup(cancel)
	return ctx
}

// show sets the color scheme and the width of the window, which the page that is open follows.
func (p tab) show(scheme string, width int64) {
	p.t.Helper()
	if err := setView(p.limited(), scheme, width); err != nil {
		p.t.Fatalf("a window of %d, %s: %v", width, scheme, err)
	}
	got := find[string](p, `(matchMedia("(prefers-color-scheme: dark)").matches ? "dark " : "light ") + window.innerWidth`)
	if want := fmt.Sprint(scheme, " ", width); got != want {
		p.t.Fatalf("the window is %s, want %s", got, want)
	}
}

// open shows a page.
func (p tab) open(address string) {
	p.t.Helper()
	if err := chromedp.Do(p.limited(), chromedp.Navigate(address)); err != nil {
		p.t.Fatalf("showing %s: %v", address, err)
	}
}

// follow clicks on what a selector finds first, and waits for the page that it leads to.
func (p tab) follow(selector string) {
	p.t.Helper()
	if _, err := chromedp.RunResponse(p.limited(), p.click(selector)); err != nil {
		p.t.Fatalf("following %s: %v", selector, err)
	}
}

// click returns a click on what a selector finds first. It also works where the page may run no scripts, which
// chromedp.Click needs, and right after a page was loaded, when the browser ignores the mouse.
func (p tab) click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		found, err := chromedp.Run(ctx, chromedp.Evaluate[bool](fmt.Sprintf(`(() => {
			const element = document.querySelector(%q);
			if (!element || !element.checkVisibility()) return false;
			element.click();
			return true;
		})()`, selector)))
		if err == nil && !found {
			err = errors.New("it is not visible")
		}
		return err
	})
}

// enter sets the value of a field.
func (p tab) enter(selector, value string) {
	p.t.Helper()
	if got := find[string](p, fmt.Sprintf("document.querySelector(%q).value = %q, document.querySelector(%q).value", selector, value, selector)); got != value {
		p.t.Fatalf("%s has the value %q, want %q", selector, got, value)
	}
}

// find evaluates an expression in a tab.
func find[T any](p tab, expression string) T {
	p.t.Helper()
	found, err := chromedp.Run(p.limited(), chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("evaluating %s: %v", expression, err)
	}
	return found
}

// texts returns the visible text of each element that a selector finds.
func (p tab) texts(selector string) []string {
	p.t.Helper()
	return find[[]string](p, fmt.Sprintf("[...document.querySelectorAll(%q)].filter((e) => e.checkVisibility()).map((e) => e.innerText.trim())", selector))
}

// accounts returns the names in the table of the overview.
func (p tab) accounts() []string {
	p.t.Helper()
	return p.texts("table.accounts tbody th bdi")
}

// check fails on all that the browser has complained about, and where the page is wider than the window.
func (p tab) check() {
	p.t.Helper()
	if over := find[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over != 0 {
		p.t.Errorf("the page is %d pixels wider than the window", over)
	}
	suite.recorder.record(p.t.Name(), "the page in the browser", find[string](p, "document.documentElement.outerHTML"))
	p.seen.mu.Lock()
	defer p.seen.mu.Unlock()
	for _, complaint := range p.seen.list {
		p.t.Errorf("the browser complains: %s", mask(complaint))
	}
	p.seen.list = nil
}

// picture leaves a screenshot of the whole page where artifacts are wanted.
func (p tab) picture(name string) {
	p.t.Helper()
	folder := artifacts("screenshots")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(p.limited(), chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(folder, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o644)
	}
	if err != nil {
		p.t.Error(err)
	}
}

// axe fails on all that axe-core finds on the page, by the rules of WCAG 2.2 AA and its best practices.
func (p tab) axe(source string) {
	p.t.Helper()
	const run = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"]})
		.then((found) => found.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + " " + n.failureSummary).join(" | ")))`
	if _, err := chromedp.Run(p.limited(), chromedp.Evaluate[bool](source+"\n;true")); err != nil {
		p.t.Fatalf("loading axe-core: %v", err)
	}
	found, err := chromedp.Run(p.limited(), chromedp.Evaluate[[]string](run, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("running axe-core: %v", err)
	}
	for _, violation := range found {
		p.t.Errorf("axe-core: %s", mask(violation))
	}
}

// axeSource returns axe-core.
func axeSource(t *testing.T) string {
	t.Helper()
	path := os.Getenv("AXE")
	if path == "" {
		if os.Getenv("E2E_REQUIRED") != "" {
			t.Fatal("this test needs axe-core: name its file axe.min.js with $AXE")
		}
		t.Skip("this test needs axe-core; scripts/install.sh gets it, and $AXE names its file axe.min.js")
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}
