-- +goose Up
-- Days to be sent again to an endpoint of remote write, whatever came of them before. mark was the latest
-- one when the day was scheduled: a day scheduled again while it is being sent has a higher one.
CREATE TABLE resend (
    endpoint TEXT    NOT NULL,
    account  INTEGER NOT NULL REFERENCES account (id),
    date     INTEGER NOT NULL,
    mark     INTEGER NOT NULL,
    PRIMARY KEY (endpoint, account, date)
) STRICT, WITHOUT ROWID;
