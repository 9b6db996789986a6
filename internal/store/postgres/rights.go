package postgres

import (
	"context"
	"fmt"
)

// rights are what the user of the database may do with the schema and what is in it.
type rights struct {
	// user is the user; owner is that of the schema or, if they belong to another one, of its tables. Both are quoted for
	// a statement.
	user, owner string
	// standby is true if the server only reads.
	standby bool
	// exists is true if there is a schema, and empty if it has no tables.
	exists, empty bool
	// mayCreate is true if the user may create what is missing: the schema, or tables in it and changes of them.
	mayCreate bool
	// mayRead and mayWrite are true if the user may do that with all tables.
	mayRead, mayWrite bool
	// super is true if the owner is a superuser.
	super bool
}

// rights reads the rights of the user.
func (s *Store) rights(ctx context.Context) (rights, error) {
	var r rights
	err := s.bounded(ctx, func(ctx context.Context) error {
		// The privileges of a schema that does not exist are NULL, and those of no table at all, too.
		return s.pool.QueryRow(ctx, `
			WITH tables AS (
				SELECT relowner AS owner, pg_catalog.pg_has_role(relowner, 'USAGE') AS owned,
					pg_catalog.has_table_privilege(oid, 'SELECT') AS readable,
					pg_catalog.has_table_privilege(oid, 'INSERT') AND pg_catalog.has_table_privilege(oid, 'UPDATE')
						AND pg_catalog.has_table_privilege(oid, 'DELETE') AS writable
				FROM pg_catalog.pg_class
				WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1) AND relkind = 'r'
			), held AS (
				SELECT count(*) = 0 AS empty, coalesce(bool_and(owned), true) AS owned,
					coalesce(bool_and(readable), true) AS readable, coalesce(bool_and(writable), true) AS writable
				FROM tables
			), schema AS (
				SELECT coalesce((SELECT owner FROM tables WHERE NOT owned LIMIT 1), nspowner) AS owner,
					pg_catalog.has_schema_privilege(oid, 'CREATE') AS extensible, pg_catalog.has_schema_privilege(oid, 'USAGE') AS usable
				FROM pg_catalog.pg_namespace WHERE nspname = $1
			)
			SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.quote_ident(current_user), schema.owner IS NOT NULL, held.empty,
				coalesce(pg_catalog.quote_ident(role.rolname), ''), coalesce(role.rolsuper, false),
				coalesce(schema.extensible AND schema.usable AND held.owned, pg_catalog.has_database_privilege(current_database(), 'CREATE')),
				coalesce(schema.usable, true) AND held.readable, coalesce(schema.usable, true) AND held.readable AND held.writable
			FROM held LEFT JOIN schema ON true LEFT JOIN pg_catalog.pg_roles AS role ON role.oid = schema.owner`, schema).Scan(
			&r.standby, &r.user, &r.exists, &r.empty, &r.owner, &r.super, &r.mayCreate, &r.mayRead, &r.mayWrite)
	})
	return r, err
}

// missing returns what keeps the user from using the tables, if they are complete, or else from creating them; nil if
// nothing does.
func (r *rights) missing(complete bool) error {
	switch {
	case r.standby:
		return errStandby
	case complete && r.mayWrite || !complete && r.mayCreate:
		return nil
	case !r.exists:
		return r.lacks("create the schema %[2]s; run CREATE SCHEMA %[2]s AUTHORIZATION %[1]s, or name another user in store.url")
	case r.empty:
		return r.lacks("create tables in the schema %[2]s; run ALTER SCHEMA %[2]s OWNER TO %[1]s, or name another user in store.url")
	case r.super:
		return r.lacks("change and write to all tables of the schema %[2]s; name another user in store.url, or run the statement in " +
			"docs/high-availability.md that makes this one their owner (they belong to %[3]s)")
	default:
		return r.lacks("change and write to all tables of the schema %[2]s; name their owner %[3]s in store.url, or run GRANT %[3]s TO %[1]s")
	}
}

// lacks returns an error about a right. format has the verbs for the user, the schema and the owner.
func (r *rights) lacks(format string) error {
	return &rightsError{fmt.Sprintf("the user %[1]s must be able to "+format, r.user, schema, r.owner)}
}

// errStandby means that the URL leads to a server that only reads.
var errStandby = &rightsError{"the server is a standby, which only reads; check store.url"}

// rightsError says which right is missing, and which statement gives it to the user.
type rightsError struct{ text string }

func (e *rightsError) Error() string { return e.text }
