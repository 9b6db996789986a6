package sqlite_test

import (
	"context"
	"os"
	"regexp"
	"testing"

	"modernc.org/sqlite"

	"weixin_exporter/internal/store"
	weixinsqlite "weixin_exporter/internal/store/sqlite"
	"weixin_exporter/internal/store/storetest"
)

// smallDisk matches file names that limit the database to a number of pages.
var smallDisk = regexp.MustCompile(`room-for-(\d+)-pages`)

func TestMain(m *testing.M) {
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, dsn string) error {
		if pages := smallDisk.FindStringSubmatch(dsn); pages != nil {
			_, err := conn.ExecContext(context.Background(), "PRAGMA max_page_count = "+pages[1], nil)
			return err
		}
		return nil
	})
	storetest.Main(func(ctx context.Context, path string) (store.Store, error) {
		return weixinsqlite.Open(ctx, path, weixinsqlite.Options{})
	})
	storetest.MainOfRestore(func(ctx context.Context, path string, fill func(store.Restorer) error) error {
		return weixinsqlite.Restore(ctx, path, storetest.Asked(), fill)
	})
	os.Exit(m.Run())
}
