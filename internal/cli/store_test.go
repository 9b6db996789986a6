package cli_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
	"weixin_exporter/weixin/datacube"
	"weixin_exporter/weixin/weixintest"
)

// simulate returns a simulated Weixin that knows one account, and a configuration with further
// settings that uses it. The store is in the same folder.
func simulate(t *testing.T, settings string) (*weixintest.Server, string, string) {
	t.Helper()
	simulated := weixintest.New(weixintest.Options{
		Seed: 1, Now: time.Now,
		Accounts: []weixintest.Account{{AppID: shopID, AppSecret: "sim-secret-shop", CallbacksPerDay: 10_000}},
		Ready:    func(_ string, d datacube.Date) time.Time { return d.End() },
	})
	server := httptest.NewServer(simulated)
	t.Cleanup(server.Close)
	file := clitest.WriteConfig(t, "accounts: [{name: shop, app_id: "+shopID+", app_secret: sim-secret-shop}]\n"+
		"weixin: {base_url: '"+server.URL+"', requests_per_second: 1000}\nrefresh: {ready_at: '00:00', history: 5d}\n"+settings)
	return simulated, file, filepath.Join(filepath.Dir(file), "weixin_exporter.db")
}

func TestASecondServerOnTheSameStore(t *testing.T) {
	simulated, file, path := simulate(t, "")
	p := clitest.Start(t, "serve", "--log.level=debug", "--config.file="+file)
	p.Output.Wait(`figures of yesterday received.* account=shop .*api=hourly`)
	p.Output.Wait(`account=shop.*purpose=history`)

	got := clitest.Finish(t, time.Now, "serve", "--config.file="+file, "--web.listen-address=127.0.0.1:0")
	host, _ := os.Hostname()
	want := fmt.Sprintf("weixin_exporter: error: store %q: another weixin_exporter uses it (process %d on host %s since 20", path, os.Getpid(), host)
	if last := lastLine(got.Stderr); got.Code != cli.Fault || !strings.HasPrefix(last, want) {
		t.Errorf("a second server: %d, %s\nwant %s", got.Code, last, want)
	}
	for _, args := range [][]string{
		{"check"}, {"export", "--format=csv"}, {"backfill", "--since=" + (datacube.DateOf(time.Now()) - 9).String()},
	} {
		if got := clitest.Finish(t, time.Now, append(args, "--config.file="+file)...); got.Code != cli.Done {
			t.Errorf("%q during serve: %d", args, got.Code)
		}
	}
	if code := p.Stop(); code != cli.Done {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path + ".lock"); err == nil {
		t.Error("the lock file was not removed")
	}
	before := len(simulated.Calls())
	p = clitest.Start(t, "serve", "--config.file="+file)
	if code := p.Stop(); code != cli.Done {
		t.Errorf("the next server: exit code %d", code)
	}
	if calls := len(simulated.Calls()) - before; calls > 2 {
		t.Errorf("the next server made %d calls", calls)
	}
}

// lastLine returns the last line of a text.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestExportOfADamagedStore(t *testing.T) {
	const days, pageSize = 400, 4096
	file := clitest.WriteConfig(t, "accounts: [{name: shop, app_id: "+shopID+", app_secret: sim-secret-shop}]\n")
	path := filepath.Join(filepath.Dir(file), "weixin_exporter.db")
	fillStore(t, path, shopID, datacube.FirstDate+days-1, days)
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(stored[len(stored)-pageSize:])
	if err := os.WriteFile(path, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"openmetrics", "csv", "ndjson"} {
		got := clitest.Finish(t, time.Now, "export", "--format="+format, "--config.file="+file)
		if got.Code != cli.Fault || !strings.Contains(lastLine(got.Stderr), "not all could be read, accounts concerned: 1, first days of "+shopID) {
			t.Errorf("%s: %d, %s", format, got.Code, got.Stderr)
		}
		if lines := strings.Count(got.Stdout, "\n"); lines < days/4 {
			t.Errorf("%s: %d lines", format, lines)
		}
	}
}
