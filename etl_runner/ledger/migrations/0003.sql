-- Jobs whose copies became known during the run count as their copies.

DROP VIEW runs;

-- One row per run. finished_at, status, exit, seconds and counts are NULL for a run whose end nobody saw (yet),
-- retry_of for a run that is none.
CREATE VIEW runs AS
SELECT r.id,
       r.pipeline,
       json_extract(s.body, '$.profile')  AS profile,
       json_extract(s.body, '$.by')       AS started_by,
       json_extract(s.body, '$.command')  AS command,
       json_extract(s.body, '$.config')   AS config,
       json_extract(s.body, '$.pid')      AS pid,
       json_extract(s.body, '$.workers')  AS workers,
       coalesce(
           json_extract(s.body, '$.jobs'),
           (SELECT json_array_length(p.body, '$.jobs') FROM plan p WHERE p.hash = r.plan)
       ) + (
           SELECT coalesce(sum(json_array_length(e.body, '$.copies') - 1), 0) FROM event e
           WHERE e.run = r.id AND e.name = 'job_expanded' AND json_array_length(e.body, '$.copies') > 0
       )                                  AS jobs,
       r.started_at,
       f.at                               AS finished_at,
       json_extract(f.body, '$.status')   AS status,
       json_extract(f.body, '$.exit')     AS exit,
       json_extract(f.body, '$.seconds')  AS seconds,
       json_extract(f.body, '$.counts')   AS counts,
       json_extract(s.body, '$.retry_of') AS retry_of
FROM run r
LEFT JOIN event s ON s.run = r.id AND s.name = 'run_started'
LEFT JOIN event f ON f.run = r.id AND f.name = 'run_finished';
