package command

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/mattn/go-runewidth"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/exporter"
	"weixin_exporter/internal/i18n"
	"weixin_exporter/internal/snapshot"
)

// banner prints the addresses once, when all of them are served and each account has been refreshed: after the
// log lines of these, so that it stays visible.
type banner struct {
	env       Env
	web       exporter.Web
	accounts  int
	endpoints []config.RemoteWrite

	mu        sync.Mutex
	missing   int // addresses that are not served yet
	hosts     []string
	complete  bool
	displayed bool
}

// listening is called with each address that is served.
func (b *banner) listening(address net.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missing--
	// An address that is not a TCP address cannot be shown as a URL.
	if host, port, err := net.SplitHostPort(address.String()); err == nil {
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = "localhost"
		}
		b.hosts = append(b.hosts, net.JoinHostPort(host, port))
	}
	b.display()
}

// published is called with each snapshot.
func (b *banner) published(s *snapshot.Snapshot) {
	if s == nil || slices.ContainsFunc(s.Accounts, func(a *snapshot.Account) bool { return !asked(a) }) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complete = true
	b.display()
}

// asked reports whether both calls of an account have had an outcome.
func asked(a *snapshot.Account) bool {
	for _, w := range a.Work {
		if w.LastSuccess.IsZero() && w.Problem == nil {
			return false
		}
	}
	return true
}

func (b *banner) display() {
	if b.displayed || !b.complete || b.missing > 0 {
		return
	}
	b.displayed = true
	leaves := i18n.M("demo.local")
	if len(b.endpoints) > 0 {
		labels := make(i18n.List, len(b.endpoints))
		for i, e := range b.endpoints {
			labels[i] = e.Label()
		}
		leaves = i18n.M("demo.sent", labels)
	}
	at, err := b.web.Location()
	if err != nil {
		return // the exporter has not started either
	}
	p := b.env.Texts
	overview, metrics, history := p.Text("demo.overview"), p.Text("demo.metrics"), p.Text("demo.history")
	width := max(runewidth.StringWidth(overview), runewidth.StringWidth(metrics), runewidth.StringWidth(history))
	var links strings.Builder
	slices.Sort(b.hosts)
	for _, host := range b.hosts {
		base := "http://" + host + at.Prefix
		fmt.Fprintf(&links, "  %s   %s/\n", runewidth.FillRight(overview, width), base)
		fmt.Fprintf(&links, "  %s   %s%s\n", runewidth.FillRight(metrics, width), base, b.web.TelemetryPath)
		fmt.Fprintf(&links, "  %s   %s\n", runewidth.FillRight(history, width), p.Text("demo.grafana", base))
	}
	fmt.Fprintf(b.env.Stdout, "\n%s\n\n%s\n%s\n\n", p.Text("demo.what", b.accounts, leaves), links.String(), p.Text("demo.stop"))
}
