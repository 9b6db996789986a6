-- +goose Up
-- A ref date is the number of days since 1970-01-01 in China time; times are Unix seconds;
-- figures are as Weixin returns them, time costs in milliseconds. api: 0 daily, 1 hourly.

-- The app ID identifies the account; its name in the configuration may change.
CREATE TABLE account (
    id     INTEGER PRIMARY KEY,
    app_id TEXT NOT NULL UNIQUE
) STRICT;

-- The state of a day after the responses so far. A day never requested has no row.
-- status: 1 requested but not ready, 2 known. empty: known to be without traffic or, while the day is
-- not ready, the response was an empty list.
CREATE TABLE day (
    account   INTEGER NOT NULL REFERENCES account (id),
    api       INTEGER NOT NULL CHECK (api IN (0, 1)),
    date      INTEGER NOT NULL,
    status    INTEGER NOT NULL CHECK (status IN (1, 2)),
    empty     INTEGER NOT NULL CHECK (empty IN (0, 1)),
    asks      INTEGER NOT NULL,
    asked_at  INTEGER,
    known_at  INTEGER,
    rechecked INTEGER NOT NULL CHECK (rechecked IN (0, 1)),
    PRIMARY KEY (account, api, date)
) STRICT, WITHOUT ROWID;

-- Days and hours without traffic have no row. The account is checked by the row in day, so there is
-- no foreign key here.
CREATE TABLE daily (
    account       INTEGER NOT NULL,
    date          INTEGER NOT NULL,
    callbacks     INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    time_cost     INTEGER NOT NULL,
    max_time_cost INTEGER NOT NULL,
    PRIMARY KEY (account, date)
) STRICT, WITHOUT ROWID;

CREATE TABLE hourly (
    account       INTEGER NOT NULL,
    date          INTEGER NOT NULL,
    hour          INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
    callbacks     INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    time_cost     INTEGER NOT NULL,
    max_time_cost INTEGER NOT NULL,
    PRIMARY KEY (account, date, hour)
) STRICT, WITHOUT ROWID;

-- The views are for people: the known days with the names of the API, and zeros where there was
-- no traffic.
CREATE VIEW interface_daily AS
SELECT
    account.app_id                        AS app_id,
    date(day.date * 86400, 'unixepoch')   AS ref_date,
    coalesce(daily.callbacks, 0)          AS callback_count,
    coalesce(daily.failures, 0)           AS fail_count,
    coalesce(daily.time_cost, 0)          AS total_time_cost_ms,
    coalesce(daily.max_time_cost, 0)      AS max_time_cost_ms
FROM account
JOIN day ON day.account = account.id AND day.api = 0 AND day.status = 2
LEFT JOIN daily ON daily.account = day.account AND daily.date = day.date;

CREATE VIEW interface_hourly AS
WITH clock (hour) AS (VALUES
    (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11),
    (12), (13), (14), (15), (16), (17), (18), (19), (20), (21), (22), (23))
SELECT
    account.app_id                        AS app_id,
    date(day.date * 86400, 'unixepoch')   AS ref_date,
    clock.hour                            AS ref_hour,
    coalesce(hourly.callbacks, 0)         AS callback_count,
    coalesce(hourly.failures, 0)          AS fail_count,
    coalesce(hourly.time_cost, 0)         AS total_time_cost_ms,
    coalesce(hourly.max_time_cost, 0)     AS max_time_cost_ms
FROM account
JOIN day ON day.account = account.id AND day.api = 1 AND day.status = 2
CROSS JOIN clock
LEFT JOIN hourly ON hourly.account = day.account AND hourly.date = day.date
    AND hourly.hour = clock.hour;
