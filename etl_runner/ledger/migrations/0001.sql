-- What etl-run remembers. Rows are only ever added; retention deletes whole runs.
-- Instants are UTC texts of one width (2026-11-21T03:00:09.123456+00:00), so they sort.

CREATE TABLE migration (
    version INTEGER PRIMARY KEY,
    etl_run TEXT NOT NULL,          -- who made this step, and can read the result
    at      TEXT NOT NULL
) STRICT;

CREATE TABLE plan (
    hash TEXT PRIMARY KEY,          -- SHA-256 of the body: equal plans are kept once
    body TEXT NOT NULL              -- JSON of etl_runner.model.Plan, environment values left out
) WITHOUT ROWID, STRICT;

CREATE TABLE run (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice
    started_at TEXT NOT NULL,
    pipeline   TEXT NOT NULL,
    plan       TEXT NOT NULL REFERENCES plan (hash)
) STRICT;

CREATE INDEX run_by_pipeline ON run (pipeline, id);

CREATE TABLE event (
    run     INTEGER NOT NULL REFERENCES run (id),
    seq     INTEGER NOT NULL,       -- 1, 2, 3 … within the run
    at      TEXT NOT NULL,
    name    TEXT NOT NULL,          -- job_finished, …
    job     TEXT,
    attempt INTEGER,
    body    TEXT NOT NULL,          -- JSON of etl_runner.events.Event
    PRIMARY KEY (run, seq)
) WITHOUT ROWID, STRICT;

CREATE INDEX event_by_name ON event (run, name, job);
CREATE INDEX plan_in_use ON run (plan);

CREATE TRIGGER run_is_append_only BEFORE UPDATE ON run
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER event_is_append_only BEFORE UPDATE ON event
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER plan_is_append_only BEFORE UPDATE ON plan
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;

-- One row per run. finished_at, status, exit, seconds and counts are NULL for a run whose end nobody saw (yet).
CREATE VIEW runs AS
SELECT r.id,
       r.pipeline,
       json_extract(s.body, '$.profile') AS profile,
       json_extract(s.body, '$.by')      AS started_by,
       json_extract(s.body, '$.command') AS command,
       json_extract(s.body, '$.config')  AS config,
       json_extract(s.body, '$.pid')     AS pid,
       json_extract(s.body, '$.workers') AS workers,
       coalesce(
           json_extract(s.body, '$.jobs'),
           (SELECT json_array_length(p.body, '$.jobs') FROM plan p WHERE p.hash = r.plan)
       )                                 AS jobs,
       r.started_at,
       f.at                              AS finished_at,
       json_extract(f.body, '$.status')  AS status,
       json_extract(f.body, '$.exit')    AS exit,
       json_extract(f.body, '$.seconds') AS seconds,
       json_extract(f.body, '$.counts')  AS counts
FROM run r
LEFT JOIN event s ON s.run = r.id AND s.name = 'run_started'
LEFT JOIN event f ON f.run = r.id AND f.name = 'run_finished';

-- One row per job that has its outcome. attempts is 0 if it never started; seconds is the last attempt's time.
CREATE VIEW jobs AS
SELECT run,
       job,
       json_extract(body, '$.phase')    AS phase,
       attempt                          AS attempts,
       json_extract(body, '$.outcome')  AS outcome,
       json_extract(body, '$.seconds')  AS seconds,
       json_extract(body, '$.exit')     AS exit,
       json_extract(body, '$.signal')   AS signal,
       json_extract(body, '$.metrics')  AS metrics,
       json_extract(body, '$.reason')   AS reason,
       json_extract(body, '$.because')  AS because,
       json_extract(body, '$.optional') AS optional,
       at                               AS finished_at
FROM event
WHERE name = 'job_finished';

-- One row per attempt. exited_at is NULL for one whose end nobody saw (yet), started_at for one that never ran.
CREATE VIEW attempts AS
SELECT run,
       job,
       attempt,
       max(CASE name WHEN 'attempt_started' THEN at END)                            AS started_at,
       max(CASE name WHEN 'attempt_exited' THEN at END)                             AS exited_at,
       max(CASE name WHEN 'attempt_exited' THEN json_extract(body, '$.seconds') END) AS seconds,
       max(CASE name WHEN 'attempt_exited' THEN json_extract(body, '$.exit') END)    AS exit,
       max(CASE name WHEN 'attempt_exited' THEN json_extract(body, '$.signal') END)  AS signal,
       max(CASE name WHEN 'attempt_exited' THEN json_extract(body, '$.error') END)   AS error,
       max(CASE name WHEN 'attempt_exited' THEN json_extract(body, '$.cpu_seconds') END) AS cpu_seconds,
       max(CASE name WHEN 'attempt_exited' THEN json_extract(body, '$.peak_memory') END) AS peak_memory,
       max(CASE name WHEN 'attempt_exited' THEN json_extract(body, '$.metrics') END) AS metrics
FROM event
WHERE name IN ('attempt_started', 'attempt_exited')
GROUP BY run, job, attempt;
