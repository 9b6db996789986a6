package sqlite_test

import (
	"context"
	"os"
	"regexp"
	"testing"

	"modernc.org/sqlite"
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
	os.Exit(m.Run())
}
