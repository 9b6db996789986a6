package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weixin_exporter/internal/cli"
	"weixin_exporter/internal/clitest"
)

// TestStoreCopy copies the store of an exporter to another file.
func TestStoreCopy(t *testing.T) {
	simulated, file, path := simulate(t, "")
	p := clitest.Start(t, "serve", "--log.level=debug", "--config.file="+file)
	p.Output.Wait(`account=shop.*purpose=history`)
	folder := filepath.Dir(path)
	early, late := filepath.Join(folder, "early.db"), filepath.Join(folder, "late.db")
	got := clitest.Finish(t, time.Now, "store", "copy", "--config.file="+file, "--to="+early)
	if got.Code != cli.Fault || !strings.Contains(got.Stderr, path+": an exporter uses this store (process ") || !strings.Contains(got.Stderr, "--while-running") {
		t.Errorf("beside an exporter: %+v", got)
	}
	if _, err := os.Stat(early); err == nil {
		t.Error("a refused copy was made")
	}
	got = clitest.Finish(t, time.Now, "store", "copy", "--config.file="+file, "--to="+early, "--while-running")
	if got.Code != cli.Done || !strings.Contains(got.Stderr, "note: "+path+" is in use") || !strings.HasPrefix(got.Stdout, early+": everything of "+path) {
		t.Errorf("beside an exporter, on demand: %+v", got)
	}
	if code := p.Stop(); code != cli.Done {
		t.Errorf("exit code %d", code)
	}
	got = clitest.Finish(t, time.Now, "store", "copy", "--lang=zh", "--config.file="+file, "--to="+late)
	if got.Code != cli.Done || got.Stderr != "" || !strings.HasPrefix(got.Stdout, late+": "+path+" 的全部内容，已逐项核对：账号 1，天 ") {
		t.Errorf("after the exporter: %+v", got)
	}
	calls := len(simulated.Calls())
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p = clitest.Start(t, "serve", "--config.file="+clitest.WriteConfig(t, string(config)+"store: {path: '"+late+"'}\n"))
	if code := p.Stop(); code != cli.Done {
		t.Errorf("an exporter on the copy: exit code %d", code)
	}
	if more := len(simulated.Calls()) - calls; more > 2 {
		t.Errorf("%d calls were made again", more)
	}
}

func TestStoreCopyRefuses(t *testing.T) {
	file := clitest.WriteConfig(t, "accounts: [{name: shop, app_id: "+shopID+", app_secret: sim-secret-shop}]\n")
	memory := clitest.WriteConfig(t, "accounts: [{name: shop, app_id: "+shopID+", app_secret: sim-secret-shop}]\nstore: {path: ''}\n")
	path := filepath.Join(filepath.Dir(file), "weixin_exporter.db")
	fillStore(t, path, shopID, 20_000, 3)
	for _, c := range []struct {
		args   []string
		code   int
		want   string
		config string
	}{
		{nil, cli.Usage, "--from, --to: wrong usage: at least one of the two is needed", ""},
		{[]string{"--to=" + path}, cli.Usage, "is the store that would be copied", ""},
		{[]string{"--to=@missing"}, cli.Usage, "--to: wrong usage: cannot read missing: no such file or directory", ""},
		{[]string{"--to=postgres://user:password-0815@db"}, cli.Usage, "--to: wrong usage: a URL must be such as", ""},
		{[]string{"--from=" + path, "--to=" + file}, cli.Fault, "never overwritten", ""},
		{[]string{"--from=" + file, "--to=new.db"}, cli.Fault, "not an SQLite database", ""},
		{[]string{"--from=missing.db", "--to=new.db"}, cli.Fault, "the file does not exist", ""},
		{[]string{"--to=postgres://user:password-0815@127.0.0.1:1/x?connect_timeout=5"}, cli.Fault, "the database cannot be reached", ""},
		{[]string{"--to=new.db"}, cli.Fault, "name the store with --from or --to", memory},
	} {
		if c.config == "" {
			c.config = file
		}
		got := clitest.Finish(t, time.Now, append([]string{"store", "copy", "--config.file=" + c.config}, c.args...)...)
		if got.Code != c.code || !strings.Contains(got.Stderr, c.want) || got.Stdout != "" || strings.Contains(got.Stderr, "password-0815") {
			t.Errorf("%q: %+v\nwant %d, %s", c.args, got, c.code, c.want)
		}
	}
}
