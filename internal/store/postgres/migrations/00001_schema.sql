-- +goose Up
-- A date is the number of days since 1970-01-01 in China time; times are Unix seconds, 0 if there is none;
-- figures are as Weixin returns them, time costs in milliseconds. api: 0 daily, 1 hourly.

-- The app ID identifies the account; its name in the configuration may change. changed is the mark of the
-- latest response for the account. daily_days and hourly_days are the numbers of its known days.
CREATE TABLE weixin_exporter.account (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id      text    NOT NULL UNIQUE,
    changed     bigint  NOT NULL DEFAULT 0,
    daily_days  bigint  NOT NULL DEFAULT 0,
    hourly_days bigint  NOT NULL DEFAULT 0
);

-- A mark is the sequence number of a transaction that saved responses. Each of them updates this row before
-- anything else, so that marks are committed in their order.
CREATE TABLE weixin_exporter.mark (
    id     integer PRIMARY KEY CHECK (id = 1), -- there is one row
    latest bigint  NOT NULL
);
INSERT INTO weixin_exporter.mark (id, latest) VALUES (1, 0);

-- The state of a day after the responses so far. A day never requested has no row. status: 1 requested but
-- not ready, 2 known. changed is the mark of the response that made the day known or last changed its figures.
CREATE TABLE weixin_exporter.day (
    account   integer  NOT NULL,
    api       smallint NOT NULL CHECK (api IN (0, 1)),
    date      integer  NOT NULL,
    status    smallint NOT NULL CHECK (status IN (1, 2)),
    empty     boolean  NOT NULL,
    rechecked boolean  NOT NULL,
    asks      integer  NOT NULL,
    damaged   smallint NOT NULL,
    rechecks  smallint NOT NULL,
    checksum  bigint   NOT NULL,
    asked_at  bigint   NOT NULL,
    known_at  bigint   NOT NULL,
    changed   bigint   NOT NULL,
    PRIMARY KEY (account, api, date)
);

-- Days without traffic have no row.
CREATE TABLE weixin_exporter.daily (
    account       integer NOT NULL,
    date          integer NOT NULL,
    callbacks     bigint  NOT NULL,
    failures      bigint  NOT NULL,
    time_cost     bigint  NOT NULL,
    max_time_cost bigint  NOT NULL,
    PRIMARY KEY (account, date)
);

-- The 24 hours of a day are one row. Days without traffic have none.
CREATE TABLE weixin_exporter.hourly (
    account       integer  NOT NULL,
    date          integer  NOT NULL,
    callbacks     bigint[] NOT NULL CHECK (cardinality(callbacks) = 24),
    failures      bigint[] NOT NULL CHECK (cardinality(failures) = 24),
    time_cost     bigint[] NOT NULL CHECK (cardinality(time_cost) = 24),
    max_time_cost bigint[] NOT NULL CHECK (cardinality(max_time_cost) = 24),
    PRIMARY KEY (account, date)
);

-- Failed attempts that must survive a restart: until when a call must not be repeated, and how often it
-- failed on a day. fingerprint is a salted hash of the credentials; detail is JSON without secrets.
CREATE TABLE weixin_exporter.hold (
    account     integer  NOT NULL,
    api         smallint NOT NULL CHECK (api IN (0, 1)),
    since       bigint   NOT NULL,
    until       bigint   NOT NULL,
    date        integer  NOT NULL,
    attempts    integer  NOT NULL,
    fingerprint bytea    NOT NULL,
    detail      text     NOT NULL,
    PRIMARY KEY (account, api)
);

-- The latest instant that has certainly passed; 0 while there is none.
CREATE TABLE weixin_exporter.clock (
    id   integer PRIMARY KEY CHECK (id = 1), -- there is one row
    seen bigint  NOT NULL
);
INSERT INTO weixin_exporter.clock (id, seen) VALUES (1, 0);

-- Which days of an account endpoints of remote write are done with: all whose position (changed, date) is
-- not after this one. date is 2147483647 where all days with this mark are done.
CREATE TABLE weixin_exporter.delivery (
    endpoint text    NOT NULL,
    account  integer NOT NULL,
    mark     bigint  NOT NULL,
    date     integer NOT NULL,
    sent_at  bigint  NOT NULL, -- when samples were last accepted
    PRIMARY KEY (endpoint, account)
);

-- Days to be sent again to an endpoint of remote write. mark was the latest one when the day was scheduled.
CREATE TABLE weixin_exporter.resend (
    endpoint text    NOT NULL,
    account  integer NOT NULL,
    date     integer NOT NULL,
    mark     bigint  NOT NULL,
    PRIMARY KEY (endpoint, account, date)
);

-- The views are for people and dashboards: the known days with the names of the API, and zeros where there
-- was no traffic. begins is when the day or hour began.
CREATE VIEW weixin_exporter.interface_daily AS
SELECT
    account.app_id                                                  AS app_id,
    DATE '1970-01-01' + day.date                                    AS ref_date,
    coalesce(daily.callbacks, 0)                                    AS callback_count,
    coalesce(daily.failures, 0)                                     AS fail_count,
    coalesce(daily.time_cost, 0)                                    AS total_time_cost_ms,
    coalesce(daily.max_time_cost, 0)                                AS max_time_cost_ms,
    to_timestamp(day.date::bigint * 86400 - 8 * 3600)               AS begins
FROM weixin_exporter.account
JOIN weixin_exporter.day ON day.account = account.id AND day.api = 0 AND day.status = 2
LEFT JOIN weixin_exporter.daily ON daily.account = day.account AND daily.date = day.date;

CREATE VIEW weixin_exporter.interface_hourly AS
SELECT
    account.app_id                                                  AS app_id,
    DATE '1970-01-01' + day.date                                    AS ref_date,
    clock.hour                                                      AS ref_hour,
    coalesce(hourly.callbacks[clock.hour + 1], 0)                   AS callback_count,
    coalesce(hourly.failures[clock.hour + 1], 0)                    AS fail_count,
    coalesce(hourly.time_cost[clock.hour + 1], 0)                   AS total_time_cost_ms,
    coalesce(hourly.max_time_cost[clock.hour + 1], 0)               AS max_time_cost_ms,
    to_timestamp(day.date::bigint * 86400 + (clock.hour - 8) * 3600) AS begins
FROM weixin_exporter.account
JOIN weixin_exporter.day ON day.account = account.id AND day.api = 1 AND day.status = 2
CROSS JOIN generate_series(0, 23) AS clock (hour)
LEFT JOIN weixin_exporter.hourly ON hourly.account = day.account AND hourly.date = day.date;
