package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/weixin/datacube"
)

// startPostgres starts a server for one test; the test is skipped where PostgreSQL is not installed.
func startPostgres(t *testing.T) *postgrestest.Server {
	t.Helper()
	server, err := postgrestest.Start(t.Context())
	if errors.Is(err, postgrestest.ErrNotInstalled) && os.Getenv("E2E_REQUIRED") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Remove(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// storeIn makes the fixture keep its store in a database, whose URL is in a file and has a password.
func (w *fixture) storeIn(t *testing.T, url string) {
	t.Helper()
	withPassword := strings.Replace(url, "postgres@", "postgres:"+secretMarker+"store-0815@", 1)
	w.put(t, "store.url", withPassword+"\n")
	w.write(t, strings.Replace(w.yaml(w.accounts...), "path: store.db", "url_file: store.url", 1))
}

// TestStoreInPostgres: all commands work on a database as on a file, and only one exporter uses it.
func TestStoreInPostgres(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("quiet", 2, 0))
	shop := w.accounts[0]
	w.storeIn(t, server.URL("postgres"))

	if f := finish(t, nil, "check", "--config.file="+w.config); f.code != 0 {
		t.Errorf("check before the first start: %+v", f)
	}
	if f := finish(t, nil, "export", "--config.file="+w.config, "--format=csv"); f.code != 1 || !strings.Contains(f.stderr, "run weixin_exporter first") {
		t.Errorf("export before the first start: %+v", f)
	}
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	w.checkFigures(t, x.metrics(t), w.accounts...)
	if _, err := os.Stat(filepath.Join(w.folder, "store.db")); err == nil {
		t.Error("there is a file as well")
	}
	if f := finish(t, nil, "--config.file="+w.config, "store", "backup", filepath.Join(w.folder, "copy")); f.code != 1 || !strings.Contains(f.stderr, "pg_dump") {
		t.Errorf("backup: %+v", f)
	}

	const days = 60
	if f := w.backfill(t, days); f.code != 0 || !strings.Contains(f.stdout, "2 accounts:") {
		t.Fatalf("backfill: %+v", f)
	}
	x.stop(t, syscall.SIGTERM)
	calls := len(w.sim.Calls())
	rows := strings.Count(w.export(t, "--format=csv", "--period=daily", "--account=shop"), "\n")
	if rows != days+1 && rows != days+2 { // with the heading; the backfill leaves out a day whose figures are not ready
		t.Errorf("%d lines were exported for %d days", rows, days)
	}
	again := serve(t, w.config)
	w.checkFigures(t, again.metrics(t), w.accounts...)
	w.waitComplete(t, again.web, w.accounts...)
	if n := len(w.callsFor(shop, calls)); n > 0 {
		t.Errorf("%d calls were made again after a restart", n)
	}
	w.checkView(t, server, days)
	again.stop(t, syscall.SIGTERM)
}

// checkView compares the sum of the callbacks in the view for people with those of the simulated Weixin.
func (w *fixture) checkView(t *testing.T, server *postgrestest.Server, days int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	last := datacube.DateOf(clock()) - 3
	var want int64
	for date := last - datacube.Date(days-5); date <= last; date++ {
		want += w.sim.Day(w.accounts[0].AppID, date).Callbacks
	}
	check := fmt.Sprintf(`DO $$ BEGIN ASSERT (SELECT sum(callback_count) FROM weixin_exporter.interface_daily
		WHERE app_id = '%s' AND ref_date BETWEEN '%v' AND '%v') = %d; END $$`, w.accounts[0].AppID, last-datacube.Date(days-5), last, want)
	if err := server.Execute(ctx, "postgres", check); err != nil {
		t.Errorf("the view: %v", err)
	}
}

// TestPostgresGoesAway: without its database an exporter shows what it knows, and goes on when the database is back.
func TestPostgresGoesAway(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	w := newFixture(t, newAccount("shop", 1, 9000))
	w.storeIn(t, server.URL("postgres"))
	x := serve(t, w.config)
	w.waitComplete(t, x.web, w.accounts...)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	x.logged(t, "the store cannot be used", "the database cannot be reached")
	w.checkFigures(t, x.metrics(t), w.accounts...)
	if page := x.get(t, "/").body; !strings.Contains(page, "the database cannot be reached") {
		t.Errorf("the page does not say that the database is away")
	}
	if err := server.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.logged(t, "the store can be used again")
	w.checkFigures(t, x.metrics(t), w.accounts...)
	x.stop(t, syscall.SIGTERM)
}

// TestTakeOverInPostgres: a second exporter shows everything that the first one stores. After the first one was killed or
// suspended, the other one takes over, makes no call again and goes on with what is due.
func TestTakeOverInPostgres(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	w := newFixture(t, newAccount("shop", 1, 9000), newAccount("bot", 2, 700))
	shop, bot := w.accounts[0], w.accounts[1]
	w.storeIn(t, server.URL("postgres"))
	text := strings.Replace(w.yaml(shop), "path: store.db", "url_file: store.url", 1)
	w.write(t, text)
	first := serve(t, w.config)
	second := serve(t, w.config)
	second.logged(t, "on standby")
	w.waitComplete(t, first.web, shop)
	w.waitComplete(t, second.web, shop)
	w.checkFigures(t, second.metrics(t), shop)
	if got := second.metrics(t)["weixin_refresh_active"]; got != 0 {
		t.Errorf("the exporter on standby says that it is active: %v", got)
	}
	if page := second.get(t, "/health").body; !strings.Contains(page, "standby: another exporter") {
		t.Error("the page does not say that the exporter is on standby")
	}
	known, calls := second.metrics(t), len(w.sim.Calls())
	first.kill(t)
	second.logged(t, "took over from another exporter")
	if got := second.metrics(t)["weixin_refresh_active"]; got != 1 {
		t.Errorf("the exporter that took over says that it is not active: %v", got)
	}
	w.storeIn(t, server.URL("postgres")) // with both accounts
	second.signal(t, syscall.SIGHUP)
	w.waitComplete(t, second.web, shop, bot)
	w.checkNoKnownDayRequested(t, known, calls, shop)

	third := serve(t, w.config)
	third.logged(t, "on standby")
	known, calls = second.metrics(t), len(w.sim.Calls())
	second.signal(t, syscall.SIGSTOP)
	second.killed = true // it ends with an error
	third.logged(t, "took over from another exporter")
	second.signal(t, syscall.SIGCONT)
	second.logged(t, "another exporter has taken over the store")
	w.checkNoKnownDayRequested(t, known, calls, shop, bot)
	w.checkFigures(t, third.metrics(t), shop, bot)
	third.stop(t, syscall.SIGTERM)
}
