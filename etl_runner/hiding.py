"""The secrets of a run, and its plan without them: as it is remembered and shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from msgspec.structs import replace

from etl_runner.errors import UsageError
from etl_runner.expanding import as_meant
from etl_runner.intervals import anew
from etl_runner.masking import MASK, Masker
from etl_runner.model import Job, Plan
from etl_runner.secrecy import secrets_in, variables_in


def masker_of(plan: Plan, *, env: Mapping[str, str], params: Mapping[str, str] = {}) -> Masker:
    """What hides the secrets of all jobs: one may print another's.

    They are in the environments (`env` is what jobs inherit), the parameters (`params` are the file's), the commands.
    """
    variables = set(env.items()) | set(params.items()) | set(plan.params.items())
    for job in plan.jobs:
        variables.update(job.env.items())
        if job.expand:
            variables.update((name, as_meant(value)) for name, value in job.env.items())
    for words in {job.argv for job in plan.jobs}:
        variables |= variables_in(words)
    return Masker(secrets_in(variables, plan.secrets))


def hidden(plan: Plan, masker: Masker) -> Plan:
    """The plan with masks for what is secret in commands, folders and parameters; names stay."""
    if not masker:
        return plan
    texts = {text for job in plan.jobs for text in (*job.argv, job.cwd)} | set(plan.params.values())
    if masker.text(joined := "\n".join(texts)) == joined:
        return plan
    params = {name: masker.text(value) for name, value in plan.params.items()}
    return replace(plan, jobs=tuple(_hidden(job, masker) for job in plan.jobs), params=params)


def revealed(plan: Plan, names: Collection[str], *, now: Plan) -> Plan:
    """The remembered plan, with what is hidden in the commands and folders of these jobs taken from the plan `now`.

    Raises UsageError for a job that says something else by now beside its secrets: they are nowhere else.
    """
    current = {job.name: job for job in now.jobs}
    jobs = (_revealed(job, current.get(job.name)) if job.name in names else job for job in plan.jobs)
    return replace(plan, jobs=tuple(jobs))


def params_known(params: Mapping[str, str]) -> dict[str, str]:
    """The remembered parameters that have nothing hidden in them."""
    return {name: value for name, value in params.items() if MASK not in value}


def _hidden(job: Job, masker: Masker) -> Job:
    return replace(job, argv=tuple(map(masker.text, job.argv)), cwd=masker.text(job.cwd))


def _revealed(job: Job, now: Job | None) -> Job:
    if not any(MASK in text for text in (*job.argv, job.cwd)):
        return job
    if now is None or not _is_meant((*job.argv, job.cwd), (*now.argv, now.cwd)):
        raise UsageError(
            f"the command of {job.name!r} had a secret in it, which is not remembered, and the pipeline file has "
            "another command for it",
            hint=f"run it anew: etl-run {anew(job)}",
        )
    return replace(job, argv=now.argv, cwd=now.cwd)


def _is_meant(shown: Collection[str], texts: Collection[str]) -> bool:
    """Whether the texts are what is shown, with anything in place of the masks."""
    return len(shown) == len(texts) and all(
        re.fullmatch(".*".join(map(re.escape, mask.split(MASK))), text, re.DOTALL)
        for mask, text in zip(shown, texts, strict=True)
    )
