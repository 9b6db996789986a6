package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

// view is how a page is looked at.
type view struct {
	language, scheme string
	width            int64
}

func (v view) String() string {
	size := "desktop"
	if v.width < 600 {
		size = "phone"
	}
	return v.language + "-" + v.scheme + "-" + size
}

// views has each scheme in each width. Those of a language follow one another, the first of them with another scheme and
// width in each.
func views() []view {
	return []view{{"en", "light", 1280}, {"en", "dark", 1280}, {"zh", "dark", 390}, {"zh", "light", 390}}
}

// TestPagesInABrowser looks at the pages in all states: axe-core finds nothing, the browser has nothing to complain
// about, and nothing is wider than the window. What there is to see is left where artifacts are wanted.
func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	source := axeSource(t)
	b := startBrowser(t)
	for _, state := range pageStates() {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			base := state.serve(t)
			p := b.newTab(t, base, "light", 1280)
			for ofOneLanguage := range slices.Chunk(views(), 2) {
				language := ofOneLanguage[0].language
				look := func(name, path string) {
					for i, v := range ofOneLanguage {
						p.show(v.scheme, v.width)
						if i == 0 {
							p.open(base + path + "lang=" + language)
						}
						p.check()
						if i == 0 { // each language, scheme and width
							p.axe(source)
						}
						if state.pictured {
							p.picture(state.name + "-" + name + "-" + v.String())
						}
					}
				}
				look("overview", "?")
				for _, width := range []int64{320, 390, 600, 960, 1100, 1160, 1280, 1920} {
					p.show("light", width)
					p.check()
				}
				if state.account != "" && (state.name == "incident" || state.name == "normal" || state.name == "first-hour") {
					look("account", "accounts/"+state.account+"?")
					look("unknown-day", "accounts/"+state.account+"?date="+(pageYesterday()-9).String()+"&")
				}
				if len(state.probed) > 0 {
					look("probes", "probes?")
				}
				if state.name == "incident" || state.name == "empty" {
					look("health", "health?")
				}
			}
		})
	}
}

// Names that try to be markup, or to turn the text around, are shown as they are.
func TestHostileNamesInABrowser(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	base := hostilePages().serve(t)
	for _, width := range []int64{1280, 390} {
		p := b.newTab(t, base, "light", width)
		p.open(base)
		names := hostileNames()
		slices.Sort(names)
		if got := p.accounts(); !slices.Equal(got, names) {
			t.Errorf("accounts %q, want %q", got, names)
		}
		if n := find[int](p, `document.images.length + document.querySelectorAll("main script").length`); n != 0 {
			t.Errorf("%d elements were made of names", n)
		}
		p.check()
		for i := range names {
			p.open(base + "?sort=name")
			p.follow("table.accounts tbody tr:nth-child(" + string(rune('1'+i)) + ") th a")
			if got := p.texts("h1 bdi"); len(got) != 1 || got[0] != names[i] {
				t.Errorf("the page of %q is that of %q", names[i], got)
			}
			p.check()
		}
	}
}

func TestPagesOfTheProgramInABrowser(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	x := runDemo(t)
	p := b.newTab(t, x.base.String()+"/", "light", 1280)
	p.open(x.base.String() + "/")
	known, refused := demoAccounts()
	want := append(slices.Clone(known), refused, demoQuiet)
	got := p.accounts()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("accounts %q, want %q", got, want)
	}
	text := strings.Join(p.texts("main"), "")
	for _, part := range []string{"Not verified, or no right to the statistics (48001)", "errcode 48001: api unauthorized", "Callbacks timed out", "Yesterday is not published yet", "does not answer now", "Callback server down now"} {
		if !strings.Contains(text, part) {
			t.Errorf("the overview does not show %q", part)
		}
	}
	if footer := strings.Join(p.texts("footer"), ""); !strings.Contains(footer, stampedVersion) {
		t.Errorf("the footer is %q", footer)
	}
	p.check()
	p.picture("demo-overview")
	p.open(x.base.String() + "/accounts/support-bot")
	if rows := p.texts("table.month tbody tr"); len(rows) != history {
		t.Errorf("%d days in the table", len(rows))
	}
	p.check()
	p.picture("demo-account")
	p.follow(`nav a[href$="health"]`)
	if text := strings.Join(p.texts("main"), ""); !strings.Contains(text, "Not verified, or no right to the statistics (48001)") || !strings.Contains(text, "in memory") {
		t.Errorf("the page about the exporter:\n%s", text)
	}
	p.check()
}
