package kills_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weixin_exporter/internal/config"
	"weixin_exporter/internal/seal"
	"weixin_exporter/internal/store"
	"weixin_exporter/internal/store/engine"
	"weixin_exporter/internal/store/postgres/postgrestest"
	"weixin_exporter/internal/tokens"
	"weixin_exporter/weixin"
	"weixin_exporter/weixin/secret"
)

// site is where the exporter of a world keeps what must survive.
type site interface {
	// settings is the section of the store in the configuration.
	settings() string
	// pass lets time pass for what goes by the clock of a server, which is not that of the test.
	pass(t *testing.T, by time.Duration)
	// open opens what processes have left behind, once nothing of them works any more. The next one does not notice.
	open(t *testing.T) (db store.Store, done func())
	// refreshToken returns where an account has its refresh token, whose file this is.
	refreshToken(db store.Store, appID, file string) weixin.RefreshTokenStore
}

// engineCase is an engine of the store.
type engineCase struct {
	name string
	// start starts what worlds share, and returns what makes the site of a world with its files in a folder.
	start func(t *testing.T) func(t *testing.T, folder string) site
}

func engines() []engineCase {
	return []engineCase{{"SQLite", startFiles}, {"PostgreSQL", startServer}}
}

func startFiles(*testing.T) func(*testing.T, string) site {
	return func(_ *testing.T, folder string) site { return inFile{folder} }
}

// inFile is the site with an SQLite file, and with the refresh tokens in their files.
type inFile struct{ folder string }

func (inFile) settings() string { return "store: {path: store.db}\n" }

func (inFile) pass(*testing.T, time.Duration) {}

// open opens a copy, so that the next exporter finds the files as they were left.
func (f inFile) open(t *testing.T) (store.Store, func()) {
	t.Helper()
	copied := filepath.Join(f.folder, "copy")
	if err := os.Mkdir(copied, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"store.db", "store.db-wal"} {
		content, err := os.ReadFile(filepath.Join(f.folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, os.WriteFile(filepath.Join(copied, name), content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	db := openStore(t, config.Store{Path: filepath.Join(copied, "store.db")})
	return db, func() {
		if err := errors.Join(db.Close(), os.RemoveAll(copied)); err != nil {
			t.Error(err)
		}
	}
}

func (inFile) refreshToken(_ store.Store, _, file string) weixin.RefreshTokenStore {
	return weixin.NewRefreshTokenFile(file)
}

func openStore(t *testing.T, c config.Store) store.Store {
	t.Helper()
	db, err := engine.Open(t.Context(), c, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// startServer starts the server that has a database for each world.
func startServer(t *testing.T) func(*testing.T, string) site {
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
	return func(t *testing.T, folder string) site {
		t.Helper()
		url := server.URL(server.Create(t, "template0"))
		keyFile := filepath.Join(folder, "seal")
		write(t, keyFile, strings.Repeat("5e", 32)+"\n")
		keys, err := seal.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the test is over
		return inDatabase{url, keyFile, keys, conn}
	}
}

// inDatabase is the site with a database of PostgreSQL, in which the refresh tokens are, too.
type inDatabase struct {
	url, keyFile string
	keys         *seal.Keys
	conn         *pgx.Conn
}

func (d inDatabase) settings() string {
	return fmt.Sprintf("store: {url: %q, sealing_key_file: %q}\n", d.url, d.keyFile)
}

func (d inDatabase) pass(t *testing.T, by time.Duration) {
	t.Helper()
	for _, change := range []string{
		`UPDATE weixin_exporter.member SET joined = joined - $1::interval, until = until - $1::interval`,
		`UPDATE weixin_exporter.slot SET until = until - $1::interval`,
		`UPDATE weixin_exporter.token SET expires = expires - $1::interval, locked_until = locked_until - $1::interval`,
	} {
		if _, err := d.conn.Exec(t.Context(), change, fmt.Sprintf("%d seconds", by/time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

// open waits until the server has noticed the end of the processes, since it may still carry out their last statements. If they
// were killed before the tables were complete, this completes them, as the next one would after the time that passes.
func (d inDatabase) open(t *testing.T) (store.Store, func()) {
	t.Helper()
	eventually(t, "the server to end the sessions of the processes", func() error {
		var n int
		err := d.conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&n)
		if err == nil && n > 0 {
			err = fmt.Errorf("there are %d", n)
		}
		return err
	})
	// The lock of a migration has a lease, too.
	_, err := d.conn.Exec(t.Context(), `DO $$ BEGIN
		IF to_regclass('weixin_exporter.goose_lock') IS NOT NULL THEN
			UPDATE weixin_exporter.goose_lock SET lease_expires_at = to_timestamp(0) WHERE locked;
		END IF; END $$`)
	if err != nil {
		t.Fatal(err)
	}
	db := openStore(t, config.Store{URL: secret.NewURL(d.url)})
	return db, func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (d inDatabase) refreshToken(db store.Store, appID, file string) weixin.RefreshTokenStore {
	state := tokens.NewState(func(error) {}) // of access tokens
	return tokens.New(tokens.Options{Store: engine.Tokens(db), Keys: d.keys, State: state}).Refresh(appID, file)
}
