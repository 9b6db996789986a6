-- +goose Up
-- The latest instant that has certainly passed, in Unix seconds; 0 while there is none. A clock of the
-- host that is far ahead of it is not trusted without confirmation.
CREATE TABLE clock (
    id   INTEGER PRIMARY KEY CHECK (id = 1), -- there is one row
    seen INTEGER NOT NULL
) STRICT;
INSERT INTO clock (id, seen) SELECT 1, coalesce(max(asked_at), 0) FROM day;
