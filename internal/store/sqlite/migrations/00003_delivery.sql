-- +goose Up
-- Which days of an account endpoints of remote write are done with: all whose position (changed, date) is
-- not after this one, because they were accepted, permanently refused or too old. Without a row there
-- are none.
CREATE TABLE delivery (
    endpoint TEXT    NOT NULL,
    account  INTEGER NOT NULL REFERENCES account (id),
    mark     INTEGER NOT NULL,
    date     INTEGER NOT NULL, -- 2147483647 where all days with this mark are done
    sent_at  INTEGER,          -- when samples were last accepted
    PRIMARY KEY (endpoint, account)
) STRICT, WITHOUT ROWID;
