package e2e_test

import (
	"maps"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMoveToPostgres: after the store was copied to a database and the configuration changed, the exporter makes no call and
// sends no sample again, and shows the same; and so it is after the way back.
func TestMoveToPostgres(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	receiver := newReceiver(t)
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	text := w.yamlWith(history, `url: "`+receiver.URL+`"`)
	w.write(t, text)
	w.put(t, "store.url", server.URL("postgres")+"\n")
	database := "@" + filepath.Join(w.folder, "store.url")
	storeCopy := func(args ...string) finished {
		t.Helper()
		return finish(t, nil, append([]string{"--config.file=" + w.config, "store", "copy"}, args...)...)
	}
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	waitSent(t, x, endpointOf(receiver.URL), 2*history*daySamples, 0)
	shown := figuresIn(x.metrics(t))
	if f := storeCopy("--to=" + database); f.code != 1 || !strings.Contains(f.stderr, "an exporter uses this store (process ") {
		t.Errorf("a copy beside an exporter: %+v", f)
	}
	x.stop(t, syscall.SIGTERM)
	exported := w.export(t, "--format=csv")
	sent, calls := receiver.once(t), len(w.sim.Calls())

	check := func(text string) {
		t.Helper()
		w.write(t, text)
		x := serve(t, w.config)
		w.waitComplete(t, x.web, w.accounts...)
		if got := figuresIn(x.metrics(t)); !maps.Equal(got, shown) || len(got) == 0 {
			t.Errorf("the figures are %v, want %v", got, shown)
		}
		x.stop(t, syscall.SIGTERM)
		if got := w.export(t, "--format=csv"); got != exported {
			t.Errorf("the export has %d bytes, want %d", len(got), len(exported))
		}
		for _, a := range w.accounts {
			if n := len(w.callsFor(a, calls)); n > 0 {
				t.Errorf("%d calls were made again for %s", n, a.name)
			}
		}
		mustEqual(t, "sent", sent, receiver.once(t))
	}
	if f := storeCopy("--to=" + database); f.code != 0 || !strings.Contains(f.stdout, "accounts 2, days 60, hours 1,440; ") || f.stderr != "" {
		t.Fatalf("copy: %+v", f)
	}
	check(strings.Replace(text, "path: store.db", "url_file: store.url", 1))
	if f := storeCopy("--from=store.db"); f.code == 0 {
		t.Errorf("a copy to a database with a store: %+v", f)
	}
	if f := storeCopy("--to=" + filepath.Join(w.folder, "back.db")); f.code != 0 || f.stderr != "" {
		t.Fatalf("copy back: %+v", f)
	}
	check(strings.Replace(text, "path: store.db", "path: back.db", 1))
}

// figuresIn returns the figures of accounts among the metrics.
func figuresIn(all samples) samples {
	figures := samples{}
	for name, value := range all {
		if strings.HasPrefix(name, "weixin_interface_") {
			figures[name] = value
		}
	}
	return figures
}
