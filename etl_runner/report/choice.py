"""Which run, which jobs: what people name, found in the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from etl_runner import words
from etl_runner.errors import UsageError
from etl_runner.ledger import LedgerReader, matches
from etl_runner.model import Job, Plan


def choose_run(reader: LedgerReader, run: int | None, *, job: str | None = None) -> int:
    """The run meant: the one named, else the last one that has the job, else the last one. UsageError if none."""
    if run is not None:
        return reader.run(run).id
    chosen = reader.last_run_with(job) if job else None
    if chosen is None:
        chosen = reader.last_run()
    if chosen is None:
        raise no_runs()
    return chosen


def choose_jobs(plan: Plan, name: str, *, run: int) -> list[Job]:
    """The jobs meant by a job's name, a template's name or a glob; UsageError if there are none."""
    if exact := [job for job in plan.jobs if job.name == name]:
        return exact
    if found := [job for job in plan.jobs if matches(job.name, job.template, name)]:
        return found
    known = [*(job.template for job in plan.jobs), *(job.name for job in plan.jobs)]
    raise unknown_job(name, known=known, where=f"in run {run}")


def choose_only(plan: Plan, name: str, *, run: int) -> list[Job]:
    """The one job meant by `name`, alone; UsageError if there are none or several."""
    found = choose_jobs(plan, name, run=run)
    if len(found) > 1:
        hint = f"choose one: {words.names((job.name for job in found), most=5)}"
        raise UsageError(f"{name!r} stands for {len(found)} jobs", hint=hint)
    return found


def unknown_job(name: str, *, known: Iterable[str], where: str) -> UsageError:
    """There is no such job; with the likeliest name."""
    names = list(dict.fromkeys(known))
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {words.names(names, most=10)}"
    return UsageError(f"no job called {name!r} {where}", hint=hint)


def no_runs() -> UsageError:
    return UsageError("there are no runs yet", hint="start one: etl-run all")
