package e2e_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a running browser. Its tabs are derived from its context.
type browser struct{ ctx context.Context }

// windowHeight is the height of each window.
const windowHeight = 800

// startBrowser starts a browser that ends with the test.
func startBrowser(t *testing.T) browser {
	t.Helper()
	path := program(t, "CHROMIUM", "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // not available in containers
		chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.NoFirstRun,
		chromedp.WSURLReadTimeout(patience),
	)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelBrowser := chromedp.NewContext(allocator)
	t.Cleanup(cancelBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return browser{ctx}
}

// complaints collects the errors and warnings of a browser.
type complaints struct {
	mu   sync.Mutex
	list []string
}

func (c *complaints) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, fmt.Sprintf(format, args...))
}

func (c *complaints) listen(event any) {
	switch e := event.(type) {
	case *cdpruntime.EventConsoleAPICalled:
		c.add("console: %s", e.Type)
	case *cdpruntime.EventExceptionThrown:
		c.add("exception: %s", e.ExceptionDetails.Text)
	case *cdplog.EventEntryAdded:
		c.add("log: %s: %s", e.Entry.Level, e.Entry.Text)
	case *network.EventLoadingFailed:
		c.add("a request failed: %s", e.ErrorText)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			c.add("%s: status %d", e.Response.URL, e.Response.Status)
		}
	}
}

// prepareTab enables the events of a tab, and sets its color scheme and size.
func prepareTab(tab context.Context, scheme string, width int64) error {
	if err := chromedp.Do(tab); err != nil {
		return err
	}
	if _, err := chromedp.Call(tab, network.Enable, network.EnableParams{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(tab, cdplog.Enable, cdp.Empty{}); err != nil {
		return err
	}
	return setView(tab, scheme, width)
}

// setView sets the color scheme and the size of a tab.
func setView(tab context.Context, scheme string, width int64) error {
	preferred := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, preferred); err != nil {
		return err
	}
	return chromedp.Do(tab, chromedp.EmulateViewport(width, windowHeight))
}
