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

	"weixin_exporter/internal/store"
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

// slotsOf returns the number of slots in which accounts are.
func slotsOf(accounts []account) int {
	var appIDs []string
	for _, a := range accounts {
		appIDs = append(appIDs, a.AppID)
	}
	work := store.WorkOf(appIDs...)
	return work.Slots.Len()
}

// waitSlots waits until an exporter owns some number of slots, and knows some number of exporters.
func waitSlots(t *testing.T, x *exporter, owned, exporters int) {
	t.Helper()
	eventually(t, "the accounts to be divided", func() error {
		got := x.metrics(t)
		o, n := got[series("weixin_store_slots", "state", "owned")], got["weixin_store_exporters"]
		if int(o) != owned || int(n) != exporters {
			return fmt.Errorf("it owns %v slots and knows %v exporters, want %d and %d", o, n, owned, exporters)
		}
		return nil
	})
}

// TestExportersShareAStore: two exporters divide the accounts, and each shows all of them. When one is killed, suspended or
// stopped, the other one takes over its part, makes no call again and goes on with what is due.
func TestExportersShareAStore(t *testing.T) {
	t.Parallel()
	server := startPostgres(t)
	w := newFixture(t, newAccount("one", 1, 9000), newAccount("two", 2, 700), newAccount("three", 3, 80), newAccount("four", 4, 1000), newAccount("new", 5, 600))
	accounts := w.accounts[:4]
	all := slotsOf(accounts)
	w.storeIn(t, server.URL("postgres"))
	withAll, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, strings.Replace(w.yaml(accounts...), "path: store.db", "url_file: store.url", 1))
	first := serve(t, w.config)
	first.logged(t, "the accounts are divided among the exporters", fmt.Sprintf("slots=%d of=%d exporters=1", all, all))
	second := serve(t, w.config)
	waitSlots(t, first, all-all/2, 2)
	waitSlots(t, second, all/2, 2)
	for _, x := range []*exporter{first, second} {
		w.waitComplete(t, x.web, accounts...)
		w.checkFigures(t, x.metrics(t), accounts...)
	}
	if page := second.get(t, "/health").body; !strings.Contains(page, "Exporters with this store") || !strings.Contains(page, "this one") {
		t.Error("the page does not say which exporters share the store")
	}

	known, calls := second.metrics(t), len(w.sim.Calls())
	first.kill(t)
	waitSlots(t, second, all, 1)
	w.checkNoKnownDayRequested(t, known, calls, accounts...)

	third := serve(t, w.config)
	waitSlots(t, third, all/2, 2)
	known, calls = second.metrics(t), len(w.sim.Calls())
	second.signal(t, syscall.SIGSTOP)
	waitSlots(t, third, all, 1)
	second.signal(t, syscall.SIGCONT)
	waitSlots(t, second, all-all/2, 2)
	waitSlots(t, third, all/2, 2)

	// What is new is asked for by one of them, and shown by both.
	w.write(t, string(withAll))
	for _, x := range []*exporter{second, third} {
		x.signal(t, syscall.SIGHUP)
	}
	w.waitComplete(t, second.web, w.accounts...)
	w.waitComplete(t, third.web, w.accounts...)
	w.checkNoKnownDayRequested(t, known, calls, accounts...)
	w.checkFigures(t, third.metrics(t), w.accounts...)
	second.stop(t, syscall.SIGTERM)
	waitSlots(t, third, slotsOf(w.accounts), 1)
	third.stop(t, syscall.SIGTERM)
}
