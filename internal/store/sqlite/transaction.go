package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// transaction is a transaction of the database, and the connection that it is on.
type transaction struct {
	*sql.Tx

	conn    *sql.Conn
	cursors *figureCursors // nil until they are needed
}

// inTx runs work in a transaction and commits it unless work fails or the context ends.
func inTx(ctx context.Context, db *sql.DB, o *sql.TxOptions, work func(*transaction) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it goes back to the pool
	tx, err := conn.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	t := &transaction{Tx: tx, conn: conn}
	err = work(t)
	t.closeCursors()
	if err != nil {
		_ = tx.Rollback() // the first error matters; the database rolls back in any case
		return err
	}
	return tx.Commit()
}

// figures calls read with what reads figures within the transaction, whose other queries must wait until read returns.
func (t *transaction) figures(read func(*figureCursors) error) error {
	return t.conn.Raw(func(driverConn any) error {
		if t.cursors == nil {
			conn, ok := driverConn.(driver.ConnPrepareContext)
			if !ok {
				return errors.New("the SQLite driver cannot prepare statements")
			}
			t.cursors = &figureCursors{conn: conn}
		}
		return read(t.cursors)
	})
}

func (t *transaction) closeCursors() {
	if t.cursors == nil {
		return
	}
	_ = t.conn.Raw(func(any) error { // without the connection there are no statements either
		t.cursors.close()
		return nil
	})
}
