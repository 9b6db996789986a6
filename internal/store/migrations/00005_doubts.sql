-- +goose Up
-- damaged: how many answers in a row, up to the latest one, could not be understood as far as
-- the day is concerned. rechecks: how many answers that were understood came since the day
-- became known, or since it was in doubt whether it is one without traffic.
ALTER TABLE day ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE day ADD COLUMN rechecks INTEGER NOT NULL DEFAULT 0;

-- By the checksum the two calls' figures of a day are held against each other: it is the same
-- where callbacks, failures and time cost of the daily call are the sums of the hours'. 0 while
-- the day is not known, and where it was stored before there were checksums.
ALTER TABLE day ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;

-- Older days are beyond what is asked for again, and there may be years of them.
UPDATE day SET checksum = 1 + (
    SELECT coalesce(sum((
        callbacks % 2147483647 * 1000003 % 2147483647
        + failures % 2147483647 * 1566083941 % 2147483647
        + time_cost % 2147483647 * 1812433253 % 2147483647) % 2147483647), 0)
    FROM daily WHERE daily.account = day.account AND daily.date = day.date) % 2147483647
WHERE api = 0 AND status = 2 AND date > (SELECT max(date) FROM day) - 60;

UPDATE day SET checksum = 1 + (
    SELECT coalesce(sum((
        callbacks % 2147483647 * 1000003 % 2147483647
        + failures % 2147483647 * 1566083941 % 2147483647
        + time_cost % 2147483647 * 1812433253 % 2147483647) % 2147483647), 0)
    FROM hourly WHERE hourly.account = day.account AND hourly.date = day.date) % 2147483647
WHERE api = 1 AND status = 2 AND date > (SELECT max(date) FROM day) - 60;
