-- +goose Up
-- Which exporter asks Weixin. epoch grows each time another one takes over; until is by the clock of the server.
CREATE TABLE weixin_exporter.lease (
    id     integer     PRIMARY KEY CHECK (id = 1), -- there is one row
    epoch  bigint      NOT NULL,
    holder text        NOT NULL,
    until  timestamptz NOT NULL
);
INSERT INTO weixin_exporter.lease (id, epoch, holder, until) VALUES (1, 0, '', to_timestamp(0));
