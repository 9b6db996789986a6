-- +goose Up
-- damaged: the number of consecutive responses, up to the latest, whose part about the day could not
-- be parsed. rechecks: the number of parsed responses since the day became known, or since it became
-- doubtful whether it has no traffic.
ALTER TABLE day ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE day ADD COLUMN rechecks INTEGER NOT NULL DEFAULT 0;

-- The checksum compares the figures of the two calls for a day: it is the same if callbacks, failures
-- and time cost of the daily call are the sums of the hours. 0 while the day is unknown, and for days
-- stored before there were checksums.
ALTER TABLE day ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;

-- Older days are not requested again, and there may be years of them.
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
