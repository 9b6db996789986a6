package e2e_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weixin_exporter/weixin/datacube"
)

// overwriteHalves overwrites half of each page in the second half of an SQLite file, in place.
func overwriteHalves(t *testing.T, path string) {
	t.Helper()
	const pageSize = 4096
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for at := info.Size()/pageSize/2*pageSize + pageSize/2; at < info.Size(); at += pageSize {
		if _, err := file.WriteAt(bytes.Repeat([]byte{0xA5}, pageSize/2), at); err != nil {
			t.Fatal(err)
		}
	}
}

// damaged is what errors say of a damaged file.
const damaged = "the file is damaged; stop the exporter, save what can still be read with weixin_exporter export"

// TestDamage: when a file is damaged under an exporter, what is known stays on show, queries say what to do, and so does the next start.
// Doing it ends with all figures. The damaged file stays until a person removes it.
func TestDamage(t *testing.T) {
	t.Parallel()
	const days = 60
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	path := filepath.Join(w.folder, "store.db")
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	if f := w.backfill(t, days); f.code != 0 {
		t.Fatalf("backfill: %+v", f)
	}
	x.stop(t, syscall.SIGTERM) // everything is in the file itself
	x = serve(t, w.config)
	x.killed = true // closing a damaged store may fail
	overwriteHalves(t, path)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}

	query := "/api/v1/query?query=" + url.QueryEscape("sum(last_over_time(weixin_history_hourly_callbacks[60d]))")
	if p := x.ask(t, http.MethodGet, query); p.status == http.StatusOK || !strings.Contains(p.body, damaged) {
		t.Errorf("a query: %d %s", p.status, mask(p.body))
	}
	w.checkFigures(t, x.metrics(t), w.accounts...)
	x.get(t, "/-/healthy")
	x.signal(t, syscall.SIGTERM)
	<-x.ended

	refused := finish(t, nil, "--config.file="+w.config, "--web.listen-address=127.0.0.1:0")
	if refused.code != 1 || !strings.Contains(refused.stderr, path) || !strings.Contains(refused.stderr, damaged) {
		t.Errorf("a start with a damaged file: %+v", refused)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the damaged file was replaced: %v", err)
	}
	w.getOut(t, path, days)
}

// getOut does what docs/troubleshooting.md says about a damaged file.
func (w *fixture) getOut(t *testing.T, path string, days int) {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "saved.csv")
	f := finish(t, nil, "export", "--config.file="+w.config, "--format=csv", "--output="+saved)
	text, err := os.ReadFile(saved + ".incomplete")
	if f.code != 1 || err != nil || !strings.HasPrefix(string(text), "account,") || !strings.Contains(f.stderr, "what could be read is in "+saved+".incomplete") {
		t.Errorf("the export: %+v, %v", f, err)
	}
	for _, kind := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + kind); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	if f := w.backfill(t, days); f.code != 0 {
		t.Errorf("backfill: %+v", f)
	}
	w.checkFigures(t, x.metrics(t), w.accounts...)
	x.stop(t, syscall.SIGTERM)
	for name, known := range w.knownDays(t) { // which compares the figures
		for api := range datacube.APIs {
			if n := len(known[api]); n < days-1 { // a day may have begun in China
				t.Errorf("%s: %d days are known by the call %v, want %d", name, n, api, days)
			}
		}
	}
}
