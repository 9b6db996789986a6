-- +goose Up
-- The latest instant that was sure to have passed, in unix seconds; 0 while there is none. A
-- clock of the host that is far ahead of it is not believed by itself.
CREATE TABLE clock (
    id   INTEGER PRIMARY KEY CHECK (id = 1), -- there is one row
    seen INTEGER NOT NULL
) STRICT;
INSERT INTO clock (id, seen) SELECT 1, coalesce(max(asked_at), 0) FROM day;
