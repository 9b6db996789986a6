-- +goose Up
-- Failed attempts that must survive a restart: until when a call must not be repeated, and how often it
-- failed on a day.
CREATE TABLE hold (
    account     INTEGER NOT NULL REFERENCES account (id),
    api         INTEGER NOT NULL CHECK (api IN (0, 1)),
    since       INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    date        INTEGER NOT NULL, -- the day in China of the attempts that are counted
    attempts    INTEGER NOT NULL, -- that failed on it
    fingerprint BLOB    NOT NULL, -- a salted hash of the credentials with which the call failed
    detail      TEXT    NOT NULL, -- JSON: what failed and why, in words that hold no secret
    PRIMARY KEY (account, api)
) STRICT, WITHOUT ROWID;
