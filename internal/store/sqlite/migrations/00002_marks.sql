-- +goose Up
-- A mark is the sequence number of a transaction that saved responses. Other processes, and remote
-- write, find by it what is new.
CREATE TABLE mark (
    id     INTEGER PRIMARY KEY CHECK (id = 1), -- there is one row
    latest INTEGER NOT NULL
) STRICT;
INSERT INTO mark (id, latest) VALUES (1, 0);

-- The mark of the latest response for the account, of any kind.
ALTER TABLE account ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;

-- The mark of the response that made the day's figures known, or last changed them; 0 while
-- they are unknown, and for days stored before there were marks.
ALTER TABLE day ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
