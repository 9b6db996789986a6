-- +goose Up
-- What endpoints of remote write have of an account: all days whose place (changed, date) is
-- not after the one here, be it that they were sent, refused for good or too old. Without a
-- row it is nothing.
CREATE TABLE delivery (
    endpoint TEXT    NOT NULL,
    account  INTEGER NOT NULL REFERENCES account (id),
    mark     INTEGER NOT NULL,
    date     INTEGER NOT NULL, -- 2147483647 where all days with this mark are done
    sent_at  INTEGER,          -- when samples were last accepted
    PRIMARY KEY (endpoint, account)
) STRICT, WITHOUT ROWID;
