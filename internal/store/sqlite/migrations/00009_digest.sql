-- +goose Up
-- A hash of the stored figures of the day together with account, API and date, by which every read notices that the file
-- was damaged, although its structure may be right. 0 for days without figures and those stored before there were digests.
ALTER TABLE day ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
