package e2e_test

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestSharingInABrowser looks at the page about an exporter that shares a database with another one: it names both, with their
// parts of the accounts, and says so when the other one has ended and when the database is away.
func TestSharingInABrowser(t *testing.T) {
	t.Parallel()
	source := axeSource(t)
	b := startBrowser(t)
	server := startPostgres(t)
	w := newFixture(t, newAccount("one", 1, 9000), newAccount("two", 2, 700), newAccount("three", 3, 80), newAccount("four", 4, 1000))
	w.storeIn(t, server.URL("postgres"))
	all := slotsOf(w.accounts)
	first := serve(t, w.config)
	waitSlots(t, first, all, 1)
	second := serve(t, w.config)
	waitSlots(t, first, all-all/2, 2)
	waitSlots(t, second, all/2, 2)
	w.waitComplete(t, first.web, w.accounts...)

	p := b.newTab(t, first.base.String()+"/", "light", 1280)
	look := func(name string, v view, want ...string) {
		t.Helper()
		p.show(v.scheme, v.width)
		p.open(first.base.String() + "/health?lang=" + v.language)
		text := strings.Join(strings.Fields(strings.Join(p.texts("main"), "")), " ")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s, %v: the page does not say %q:\n%s", name, v, part, text)
			}
		}
		p.check()
		p.axe(source)
		p.picture("sharing-" + name + "-" + v.String())
	}
	for _, v := range views() {
		owned := map[string]string{"en": "%d of %d", "zh": "%d / %d"}[v.language]
		look("two", v, "postgres:///postgres?host="+server.Folder(), fmt.Sprintf(owned, all-all/2, all), map[string]string{"en": "this one", "zh": "本机"}[v.language])
	}
	second.kill(t)
	waitSlots(t, first, all, 1)
	look("alone", views()[0], fmt.Sprintf("%d of %d", all, all), "this one")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	first.logged(t, "the store cannot be used")
	eventually(t, "the loss of the slots", func() error {
		if got := first.metrics(t)[series("weixin_store_slots", "state", "owned")]; got != 0 {
			return fmt.Errorf("it owns %v", got)
		}
		return nil
	})
	look("away", views()[0], "The store cannot be used", "the database cannot be reached", "none, because they were not renewed in time")
	look("away", views()[3], "存储无法使用", "the database cannot be reached", "无，因为未能及时续期")
	if err := server.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitSlots(t, first, all, 1)
	first.stop(t, syscall.SIGTERM)
	// One message for each part of the exporter that misses the database, however long that lasts.
	said := map[string][]string{}
	for _, line := range first.stderr.lines() {
		if found := regexp.MustCompile(`level=error .*msg=("[^"]*")`).FindStringSubmatch(line); found != nil {
			said[found[1]] = append(said[found[1]], line)
		}
	}
	for _, lines := range said {
		if len(lines) > 1 {
			t.Errorf("logged again:\n%s", strings.Join(lines, "\n"))
		}
	}
	if len(said) == 0 {
		t.Error("no error was logged")
	}
}
