package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// connect opens a connection to a database, as psql does.
func connect(tb testing.TB, database string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), server.URL(database))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(tb.Context()) })
	return conn
}

// block begins a transaction that keeps others from writing, until the function that it returns is called.
func block(tb testing.TB, database string) func() {
	tb.Helper()
	tx, err := connect(tb, database).Begin(tb.Context())
	if err == nil {
		_, err = tx.Exec(tb.Context(), `UPDATE weixin_exporter.mark SET latest = latest`)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		tb.Helper()
		if err := tx.Commit(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}
