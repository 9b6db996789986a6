-- +goose Up
-- Days that an endpoint of remote write is to get once more, whatever came of them. mark is the latest
-- one of its time: what is asked for while the day is being sent has a higher one.
CREATE TABLE resend (
    endpoint TEXT    NOT NULL,
    account  INTEGER NOT NULL REFERENCES account (id),
    date     INTEGER NOT NULL,
    mark     INTEGER NOT NULL,
    PRIMARY KEY (endpoint, account, date)
) STRICT, WITHOUT ROWID;
