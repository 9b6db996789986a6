-- +goose Up
-- A mark numbers a transaction that saved answers: a later one has a higher mark. By it
-- another process, or whoever passes figures on, finds what is new.
CREATE TABLE mark (
    id     INTEGER PRIMARY KEY CHECK (id = 1), -- there is one row
    latest INTEGER NOT NULL
) STRICT;
INSERT INTO mark (id, latest) VALUES (1, 0);

-- The mark of the latest answer about the account, whatever it said.
ALTER TABLE account ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;

-- The mark of the answer that made the day's figures known, or last changed them; 0 while
-- they are not known and for what was stored before there were marks.
ALTER TABLE day ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
