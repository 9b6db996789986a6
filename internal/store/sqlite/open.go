package sqlite

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

	"weixin_exporter/internal/access"
)

// Opening a file checks it for damage, at about 100 MB/s; damage in the part that is not reached is found
// when that part is used. A file that was closed properly gets the short check, so that a large one
// does not delay every start. Only a crash, or a process that has the file open, leaves a WAL file:
// then the check is longer.
const (
	shortCheck = 200 * time.Millisecond
	longCheck  = 2 * time.Second
)

//go:embed migrations/*.sql
var migrations embed.FS

// found describes a file before it is opened.
type found struct {
	fresh bool          // it does not exist yet
	check time.Duration // how long to check for damage
}

// inspect fails if the file cannot exist or this user has no access to it.
func inspect(path string) (found, error) {
	f, err := statFile(path)
	if err != nil || f.fresh || path == "" {
		return f, err
	}
	// SQLite would silently open a file without access for reading, and leave files beside it that it cannot
	// delete. Opening the file to find out would, on closing it, release the POSIX locks of other connections.
	if err := access.Write(path); err != nil {
		return found{}, fmt.Errorf("this user cannot read and write the file; allow it or change store.path: %w", err)
	}
	return f, nil
}

// statFile fails if there cannot be a file at the path.
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
		return found{}, fmt.Errorf("cannot stat its folder; give this user access or change store.path: %w", err)
	case !info.IsDir():
		return found{}, fmt.Errorf("%q is not a folder; change store.path", folder)
	}
	info, err = os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found{fresh: true, check: shortCheck}, nil
	case err != nil:
		return found{}, fmt.Errorf("cannot stat the file; give this user access or change store.path: %w", err)
	case info.IsDir():
		return found{}, errors.New("this is a folder; set store.path to a file in it")
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // SQLite keeps its other files beside the target
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return found{check: longCheck}, nil
	}
	return found{check: shortCheck}, nil
}

// prepareFile ensures that the file belongs to this program, is not damaged and has the current
// schema. All checks come before the first write.
func (s *Store) prepareFile(ctx context.Context, f found) error {
	if err := s.write.PingContext(ctx); err != nil {
		return err
	}
	if f.fresh {
		// The -wal and -shm files inherit its mode. A file system without modes is not a reason
		// to fail.
		_ = os.Chmod(s.path, 0o600)
	}
	empty, err := s.identify(ctx)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, migrationFiles(),
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
	// With WAL, readers and writers do not block each other. The mode is stored in the file.
	if _, err := s.write.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
		return err
	}
	return migrate(ctx, provider)
}

// identify fails for a file of another program, and reports whether the file is empty.
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
	case id == applicationID:
		return false, nil
	case id == 0 && things == 0:
		return true, nil
	case id == 0:
		return false, unmarked(ctx, tx)
	default:
		return false, fmt.Errorf("this is a database of another program (application id %d); change store.path", id)
	}
}

// unmarked returns an error for a file without an application ID. It may be a file of this program that was
// restored from an SQL dump, which does not contain the ID. It is not accepted automatically: a dump of a
// damaged file ends where the damage begins, which no check of the file could detect.
func unmarked(ctx context.Context, tx *transaction) error {
	const all = 5
	var tables int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE type = 'table'
		AND name IN ('account', 'day', 'daily', 'hourly', 'goose_db_version')`).Scan(&tables)
	switch {
	case err != nil:
		return err
	case tables == all:
		return fmt.Errorf("this has the tables of weixin_exporter but not its application id, which is lost in a restore from .dump;"+
			" if it is complete, set the id: sqlite3 FILE 'PRAGMA application_id = %d'", applicationID)
	default:
		return errors.New("this is a database of another program; change store.path")
	}
}

// examine fails for a file that is damaged or of a newer version. It checks for damage first, since
// the version of a damaged file means little.
func (s *Store) examine(ctx context.Context, provider *goose.Provider, check time.Duration) error {
	if err := s.checkIntegrity(ctx, check); err != nil {
		return err
	}
	_, err := examineVersion(ctx, provider)
	return err
}

// examineVersion returns the schema version of the file, and fails if it is newer than this program.
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

// checkIntegrity checks for damage, for a limited time.
func (s *Store) checkIntegrity(ctx context.Context, check time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, check)
	defer cancel()
	var verdict string
	// quick_check would not notice pages of a table that have changed places.
	err := s.write.QueryRowContext(limited, `PRAGMA integrity_check(1)`).Scan(&verdict)
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		return nil // a large file, without damage so far
	case err != nil:
		return err
	case verdict != "ok":
		return damaged(errors.New(oneLine(verdict)))
	}
	return nil
}

// oneLine returns the findings of integrity_check without their heading.
func oneLine(verdict string) string {
	lines := strings.Split(verdict, "\n")
	if len(lines) > 1 && strings.HasPrefix(lines[0], "***") {
		lines = lines[1:]
	}
	return strings.Join(lines, "; ")
}

// claim marks an empty file as one of this program, and fails for any other that cannot be written.
// It creates the table of goose in the same transaction, because goose itself does not expect other
// processes to open the file at the same time; with the index, only one of them can apply a migration.
func (s *Store) claim(ctx context.Context) error {
	return s.update(ctx, func(tx *transaction) error {
		empty, err := identify(ctx, tx)
		if err != nil {
			return err
		}
		if !empty {
			// Changes nothing, but fails if nothing can be changed.
			_, err := tx.ExecContext(ctx, `DELETE FROM goose_db_version WHERE false`)
			return err
		}
		versions, err := database.NewStore(goose.DialectSQLite3, goose.DefaultTablename)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID)); err != nil {
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

// migrate applies the missing migrations. One that fails because another process has applied it
// meanwhile is not an error.
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
	return fmt.Errorf("migrate the schema: %w", err)
}

// migrationFiles returns the migrations; only an invalid path can be an error.
func migrationFiles() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err)
	}
	return sub
}
