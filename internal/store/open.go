package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// The check for damage when a file is opened reads about 100 MB a second; what it does not
// reach is found when it is used. A file that was closed as it should be gets a short
// look, so that a large one does not hold up every start. Only a crash, or a process that
// has the file open, leaves the WAL file behind: then the check takes its time.
const (
	shortCheck = 200 * time.Millisecond
	longCheck  = 2 * time.Second
)

//go:embed migrations/*.sql
var migrations embed.FS

// found is what a file looks like before it is opened.
type found struct {
	fresh bool          // it is still to be created
	check time.Duration // how long to look for damage
}

// inspect looks at the file, and fails where there can be none or this user may not write it.
func inspect(path string) (found, error) {
	f, err := statFile(path)
	if err != nil || f.fresh || path == "" {
		return f, err
	}
	if err := access(path); err != nil {
		return found{}, fmt.Errorf("this user may not read and write the file; allow it or change store.path: %w", err)
	}
	return f, nil
}

// statFile looks at the file, and fails where there can be none.
func statFile(path string) (found, error) {
	if path == "" {
		return found{}, nil
	}
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found{}, fmt.Errorf("the folder %q does not exist; create it or change store.path", folder)
	case err != nil:
		return found{}, fmt.Errorf("cannot look at its folder; allow this user to or change store.path: %w", err)
	case !info.IsDir():
		return found{}, fmt.Errorf("%q is not a folder; change store.path", folder)
	}
	info, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found{fresh: true, check: shortCheck}, nil
	case err != nil:
		return found{}, fmt.Errorf("cannot look at the file; allow this user to or change store.path: %w", err)
	case info.IsDir():
		return found{}, errors.New("this is a folder; name a file in it as store.path")
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // beside which SQLite has its other files
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return found{check: longCheck}, nil
	}
	return found{check: shortCheck}, nil
}

// prepareFile sees to it that the file is one of this program, whole and of the present
// schema. Everything is looked at before anything is written.
func (s *Store) prepareFile(ctx context.Context, f found) error {
	if err := s.write.PingContext(ctx); err != nil {
		return err
	}
	if f.fresh {
		// The files beside it, -wal and -shm, take over its mode. A file system without
		// modes is no reason to fail.
		_ = os.Chmod(s.path, 0o600)
	}
	empty, err := s.identify(ctx)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, mustSub(migrations, "migrations"),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if !empty {
		if err := s.examine(ctx, provider, f.check); err != nil {
			return err
		}
	}
	if err := s.claim(ctx); err != nil {
		return err
	}
	// With WAL, readers and writers do not wait for each other. The file remembers it.
	if _, err := s.write.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
		return err
	}
	return migrate(ctx, provider)
}

// identify fails for a file of another program and says whether this one is empty.
func (s *Store) identify(ctx context.Context) (bool, error) {
	var empty bool
	err := inTx(ctx, s.write, &sql.TxOptions{ReadOnly: true}, func(tx *transaction) error {
		var err error
		empty, err = identify(ctx, tx)
		return err
	})
	return empty, err
}

func identify(ctx context.Context, tx *transaction) (bool, error) {
	var id, things int64
	if err := tx.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return false, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&things); err != nil {
		return false, err
	}
	switch {
	case id == ApplicationID:
		return false, nil
	case id == 0 && things == 0:
		return true, nil
	case id == 0:
		return false, unmarked(ctx, tx)
	default:
		return false, fmt.Errorf("this is a database of another program (application id %d); change store.path", id)
	}
}

// unmarked says what to do about a file without an application id. It may be one of this program's that
// was restored from a dump in SQL, which does not hold the id. To adopt it is left to people: a dump of
// a damaged file ends where the damage begins, and no check of the file could find that out.
func unmarked(ctx context.Context, tx *transaction) error {
	const all = 5
	var tables int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE type = 'table'
		AND name IN ('account', 'day', 'daily', 'hourly', 'goose_db_version')`).Scan(&tables)
	switch {
	case err != nil:
		return err
	case tables == all:
		return fmt.Errorf("this has the tables of weixin_exporter but not its mark, which a restore from .dump loses;"+
			" if it is complete, set the mark: sqlite3 FILE 'PRAGMA application_id = %d'", ApplicationID)
	default:
		return errors.New("this is a database of another program; change store.path")
	}
}

// examine fails for a file with damage or of a newer version. Damage is looked for first:
// with it, what goose says of the version means little.
func (s *Store) examine(ctx context.Context, provider *goose.Provider, check time.Duration) error {
	if err := s.quickCheck(ctx, check); err != nil {
		return err
	}
	_, err := examineVersion(ctx, provider)
	return err
}

// examineVersion returns the version of the file's schema and fails for a newer one than this
// program knows.
func examineVersion(ctx context.Context, provider *goose.Provider) (int64, error) {
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	if current > known {
		return 0, fmt.Errorf("a newer weixin_exporter wrote this file (schema %d, this one knows up to %d);"+
			" run the newer one or change store.path", current, known)
	}
	return current, nil
}

// quickCheck looks for damage, for a bounded time.
func (s *Store) quickCheck(ctx context.Context, check time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, check)
	defer cancel()
	var verdict string
	err := s.write.QueryRowContext(limited, `PRAGMA quick_check(1)`).Scan(&verdict)
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		return nil // a large file; no damage so far
	case err != nil:
		return err
	case verdict != "ok":
		return damaged(errors.New(oneLine(verdict)))
	}
	return nil
}

// oneLine takes the heading off what quick_check found.
func oneLine(verdict string) string {
	lines := strings.Split(verdict, "\n")
	if len(lines) > 1 && strings.HasPrefix(lines[0], "***") {
		lines = lines[1:]
	}
	return strings.Join(lines, "; ")
}

// claim makes an empty file one of this program, and finds out for any other whether it
// can be written. The table of goose is created here, in the same transaction, because
// goose itself would do so without regard to others who open the file at the same time;
// the index lets only one of them carry out a migration.
func (s *Store) claim(ctx context.Context) error {
	return s.update(ctx, func(tx *transaction) error {
		empty, err := identify(ctx, tx)
		if err != nil {
			return err
		}
		if !empty {
			// Changes nothing, but fails where nothing can be changed.
			_, err := tx.ExecContext(ctx, `DELETE FROM goose_db_version WHERE false`)
			return err
		}
		versions, err := database.NewStore(goose.DialectSQLite3, goose.DefaultTablename)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, ApplicationID)); err != nil {
			return err
		}
		if err := versions.CreateVersionTable(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `CREATE UNIQUE INDEX goose_db_version_once ON goose_db_version (version_id)`)
		if err != nil {
			return err
		}
		return versions.Insert(ctx, tx, database.InsertRequest{Version: 0})
	})
}

// migrate brings the schema up to date. A migration that fails because another process
// carried it out in the meantime is no failure.
func migrate(ctx context.Context, provider *goose.Provider) error {
	before, err := provider.GetDBVersion(ctx)
	for err == nil {
		if _, err = provider.Up(ctx); err == nil {
			return nil
		}
		after, versionErr := provider.GetDBVersion(ctx)
		if versionErr != nil || after == before {
			break
		}
		before, err = after, nil
	}
	return fmt.Errorf("bring the schema up to date: %w", err)
}

// mustSub returns a folder of an embedded file system, where only a name that is no path
// is an error.
func mustSub(fsys fs.FS, folder string) fs.FS {
	sub, err := fs.Sub(fsys, folder)
	if err != nil {
		panic(err)
	}
	return sub
}
