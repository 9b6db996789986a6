-- +goose Up
-- The number of known days of the account, by API. With years of days, counting them would take longer
-- than the rest of a start. Triggers keep the numbers right for every statement that inserts or deletes
-- a day or updates its status. REPLACE would count twice.
ALTER TABLE account ADD COLUMN daily_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN hourly_days INTEGER NOT NULL DEFAULT 0;
UPDATE account SET
    daily_days  = (SELECT count(*) FROM day WHERE day.account = account.id AND api = 0 AND status = 2),
    hourly_days = (SELECT count(*) FROM day WHERE day.account = account.id AND api = 1 AND status = 2);

-- +goose StatementBegin
CREATE TRIGGER day_added AFTER INSERT ON day WHEN new.status = 2 BEGIN
    UPDATE account SET
        daily_days  = daily_days + (new.api = 0),
        hourly_days = hourly_days + (new.api = 1)
    WHERE id = new.account;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER day_changed AFTER UPDATE OF status ON day WHEN (new.status = 2) <> (old.status = 2) BEGIN
    UPDATE account SET
        daily_days  = daily_days + (new.api = 0) * ((new.status = 2) - (old.status = 2)),
        hourly_days = hourly_days + (new.api = 1) * ((new.status = 2) - (old.status = 2))
    WHERE id = new.account;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER day_removed AFTER DELETE ON day WHEN old.status = 2 BEGIN
    UPDATE account SET
        daily_days  = daily_days - (old.api = 0),
        hourly_days = hourly_days - (old.api = 1)
    WHERE id = old.account;
END;
-- +goose StatementEnd
