"""After a load: `python -m etl_jobs.cleanup staging` drops leftovers, `… vacuum` tidies what was loaded."""

from __future__ import annotations

from psycopg import sql

from etl_jobs.command import arguments, catalogue_of, run, this_run
from etl_jobs.names import whole_name
from etl_jobs.owned import exists, is_staging
from etl_jobs.records import target_name
from etl_jobs.tables import Catalogue
from etl_jobs.warehouse import Session, connect, prepare, try_lock, unlock
from etl_runner.job import report

_STEPS = {"1": "staging", "2": "vacuum", "staging": "staging", "vacuum": "vacuum"}

_SHOWN = 10


def main() -> None:
    parser = arguments("Tidy up after a load.")
    parser.add_argument("step", choices=list(_STEPS), help="staging (or 1), vacuum (or 2)")
    parser.add_argument("--keep-days", type=int, default=90, help="load records older than this go (staging)")
    options = parser.parse_args()
    catalogue = catalogue_of(options)
    with connect() as session:
        prepare(session, catalogue.schema, catalogue.staging_schema)
        if _STEPS[options.step] == "staging":
            dropped, left = drop_staging(session, catalogue)
            expired = expire_records(session, days=options.keep_days)
            report(dropped=dropped, expired=expired)
            print(f"{dropped} staging tables of killed loads dropped, {expired} old load records removed")
            if left:
                shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
                print(f"left alone in {catalogue.staging_schema}, as no load has made them: {shown}")
        else:
            vacuumed = vacuum(session, catalogue, run_id=this_run())
            report(vacuumed=vacuumed)
            print(f"{vacuumed} tables vacuumed and analyzed")


def drop_staging(session: Session, catalogue: Catalogue) -> tuple[int, list[str]]:
    """Drop the staging tables nobody is loading into; a living load holds its target's lock.

    Returns how many, and the names of tables that no load has made.
    """
    dropped, others = 0, []
    names = session.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r' ORDER BY 1",
        [sql.Identifier(catalogue.staging_schema).as_string(session)],
    ).fetchall()
    for (name,) in names:
        staging = sql.Identifier(catalogue.staging_schema, name)
        lock = whole_name(catalogue.schema, name)
        if try_lock(session, lock):
            try:
                if is_staging(session, staging):
                    session.execute(sql.SQL("DROP TABLE {}").format(staging))
                    dropped += 1
                elif exists(session, staging):
                    others.append(name)
            finally:
                unlock(session, lock)
    return dropped, others


def expire_records(session: Session, *, days: int) -> int:
    """Forget old loads, never the last one of a target."""
    return session.execute(
        "DELETE FROM etl.load AS l WHERE finished < now() - make_interval(days => %s)"
        " AND EXISTS (SELECT FROM etl.load AS later WHERE later.target = l.target AND later.id > l.id)",
        [days],
    ).rowcount


def vacuum(session: Session, catalogue: Catalogue, *, run_id: int | None) -> int:
    """VACUUM (ANALYZE) the tables this run changed; outside a run, every table of the catalogue that exists."""
    done = 0
    for table in catalogue.tables:
        target = sql.Identifier(catalogue.schema, table.name)
        wanted = session.execute(
            "SELECT to_regclass(%(relation)s) IS NOT NULL AND (%(run)s::bigint IS NULL OR EXISTS ("
            "SELECT FROM etl.load WHERE run = %(run)s AND target = %(target)s AND inserted + updated + deleted > 0))",
            {"relation": target.as_string(session), "run": run_id, "target": target_name(catalogue, table)},
        ).fetchone()
        if wanted and wanted[0]:
            session.execute(sql.SQL("VACUUM (ANALYZE) {}").format(target))
            done += 1
    return done


if __name__ == "__main__":
    run(main)
