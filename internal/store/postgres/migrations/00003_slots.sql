-- +goose Up
DROP TABLE weixin_exporter.lease;

-- The living processes that share the work of a duty. wanted has a bit for each slot in which one has work, from
-- the lowest bit of the first byte on; accounts identifies the set of its accounts. Times are by the clock of the server.
CREATE TABLE weixin_exporter.member (
    id       text        PRIMARY KEY,
    duty     text        NOT NULL CHECK (duty IN ('refresh', 'backfill')),
    name     text        NOT NULL, -- for people
    accounts bigint      NOT NULL,
    wanted   bytea       NOT NULL CHECK (length(wanted) = 32),
    joined   timestamptz NOT NULL,
    until    timestamptz NOT NULL
);

-- Which member works for the accounts of a slot; owner is '' after it was handed back. epoch grows each time the slot is
-- claimed. A slot can be claimed once until has passed.
CREATE TABLE weixin_exporter.slot (
    duty  text        NOT NULL CHECK (duty IN ('refresh', 'backfill')),
    slot  smallint    NOT NULL CHECK (slot BETWEEN 0 AND 255),
    owner text        NOT NULL,
    epoch bigint      NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (duty, slot)
);
INSERT INTO weixin_exporter.slot (duty, slot, owner, epoch, until)
SELECT duty, slot, '', 0, to_timestamp(0) FROM unnest(ARRAY['refresh', 'backfill']) AS duty, generate_series(0, 255) AS slot;
