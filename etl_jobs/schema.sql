-- What the warehouse knows about its own loads, in the schema `etl`. Made by whichever job comes first.

CREATE TABLE IF NOT EXISTS etl.load (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run         bigint,                     -- null: run by hand
    job         text        NOT NULL,
    attempt     integer     NOT NULL,
    target      text        NOT NULL,       -- schema.table
    strategy    text        NOT NULL,
    source      text        NOT NULL,
    fingerprint text        NOT NULL,
    rows_in     bigint      NOT NULL,       -- rows read that belong to the part this load answers for
    checksum    numeric     NOT NULL,       -- of those rows, whatever their order
    since       text,                       -- incremental: the part is everything from here on
    held_rows     bigint    NOT NULL,       -- the whole target after this load
    held_checksum numeric   NOT NULL,
    inserted    bigint      NOT NULL,
    updated     bigint      NOT NULL,
    deleted     bigint      NOT NULL,
    duplicates  bigint      NOT NULL,
    orphans     bigint      NOT NULL,
    started     timestamptz NOT NULL,
    finished    timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE etl.load ADD COLUMN IF NOT EXISTS declared text;        -- what the catalogue said and the parents' sources were
ALTER TABLE etl.load ADD COLUMN IF NOT EXISTS rejected bigint NOT NULL DEFAULT 0;
ALTER TABLE etl.load ADD COLUMN IF NOT EXISTS warnings bigint NOT NULL DEFAULT 0;
ALTER TABLE etl.load ADD COLUMN IF NOT EXISTS held_columns text;    -- of what held_checksum is, null: nobody may go on from it
ALTER TABLE etl.load ADD COLUMN IF NOT EXISTS "interval" text;      -- of a backfill: the part is this; null: any other load
ALTER TABLE etl.load ADD COLUMN IF NOT EXISTS run_started timestamptz; -- runs of several machines have the same numbers
ALTER TABLE etl.load DROP CONSTRAINT IF EXISTS load_run_job_target_key;
CREATE UNIQUE INDEX IF NOT EXISTS load_once ON etl.load (run, coalesce(run_started, '-infinity'), job, target);
CREATE INDEX IF NOT EXISTS load_target ON etl.load (target, id);
COMMENT ON TABLE etl.load IS 'One row per load, written in the same transaction as its rows.';

CREATE TABLE IF NOT EXISTS etl.watermark (
    target   text PRIMARY KEY,
    "column" text        NOT NULL,
    value    text        NOT NULL,
    updated  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE etl.watermark IS 'How far incremental tables have been read.';

CREATE TABLE IF NOT EXISTS etl.batch (
    target   text    NOT NULL,
    rows     bigint  NOT NULL,
    checksum numeric NOT NULL,
    added    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (target, rows, checksum)
);
ALTER TABLE etl.batch ADD COLUMN IF NOT EXISTS file text;          -- null: of all that the source held
COMMENT ON TABLE etl.batch IS 'What was added to tables without a key that only grow, so that it is not added again.';
