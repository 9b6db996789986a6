-- +goose Up
-- Tokens that the processes share. sealed is encrypted by them with a key that is not in the database; NULL if there is
-- no token. Times are by the clock of the server. A process that exchanges a refresh token holds its lock.
CREATE TABLE weixin_exporter.token (
    app_id       text        NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('access', 'refresh')),
    sealed       bytea,
    revision     bigint      NOT NULL DEFAULT 0, -- grows with each change of sealed
    expires      timestamptz, -- NULL: never
    locked_by    text        NOT NULL DEFAULT '',
    locked_until timestamptz NOT NULL DEFAULT to_timestamp(0),
    PRIMARY KEY (app_id, kind)
);
