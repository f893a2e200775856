"""A part of a plan, chosen by --only and --skip."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from etl_runner.errors import UsageError
from etl_runner.model import Job, Plan


def select(plan: Plan, *, only: Sequence[str] = (), skip: Sequence[str] = ()) -> Plan:
    """The plan without the jobs that are not chosen.

    A selector is a job, a template, a phase, a tag or a glob over job names; `+x` adds all that x needs, `x+` all that
    needs x; several may stand in one text, with commas. The order of what is left stays, also where it came from a job
    left out. Raises UsageError for a selector that fits nothing, and if nothing is left.
    """
    if not only and not skip:
        return plan
    selection = _Selection(plan)
    chosen = selection.names(only) if only else set(selection.jobs)
    chosen -= selection.names(skip)
    if not chosen:
        raise UsageError("nothing is left to run", hint="--only and --skip together leave no job")
    kept = keep(plan, chosen)
    for job in kept.jobs:
        for source in job.expand.sources if job.expand else ():
            if source not in chosen:
                raise UsageError(
                    f"{source!r} is left out, which says what {job.name!r} stands for", hint=f"--only +{job.name}"
                )
    return kept


def keep(plan: Plan, names: Collection[str]) -> Plan:
    """The plan of these jobs alone; the order of what is left stays, also where it came from a job left out."""
    nearest = _NearestChosen({job.name: job for job in plan.jobs}, set(names))
    kept = tuple(replace(job, needs=nearest.of(job.needs)) for job in plan.jobs if job.name in names)
    used = {job.phase for job in kept}
    phases = tuple(
        replace(phase, needs=tuple(need for need in phase.needs if need in used or need in names))
        for phase in plan.phases
        if phase.name in used
    )
    return replace(plan, jobs=kept, phases=phases)


def downstream(plan: Plan, names: Iterable[str]) -> set[str]:
    """These jobs, and all that need them."""
    return _reach(names, _dependents(plan.jobs))


class _Selection:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.jobs = {job.name: job for job in plan.jobs}
        self.words: dict[str, set[str]] = {phase.name: set() for phase in plan.phases}
        for job in plan.jobs:
            for word in (job.template, *job.tags, *filter(None, [job.phase])):
                self.words.setdefault(word, set()).add(job.name)

    def names(self, selectors: Iterable[str]) -> set[str]:
        return set[str]().union(*(self._selected(one) for selector in selectors for one in self._split(selector)))

    def _split(self, selector: str) -> list[str]:
        if selector in self.words or "[" in selector:  # a tag or a glob may have commas of its own
            return [selector]
        return [one.strip() for one in selector.split(",")]

    def _selected(self, selector: str) -> set[str]:
        word = selector.removeprefix("+").removesuffix("+")
        found = self._fitting(word)
        if not found and word not in self.words:
            raise self._unknown(word)
        wanted = set(found)
        if selector.startswith("+"):
            wanted |= _reach(found, {name: job.needs for name, job in self.jobs.items()})
        if selector.endswith("+"):
            wanted |= downstream(self.plan, found)
        return wanted

    def _fitting(self, word: str) -> set[str]:
        found = set(self.words.get(word, ()))
        if word in self.jobs:
            found.add(word)
        if re.search(r"[*?\[]", word):
            from fnmatch import translate

            glob = re.compile(translate(word))
            found |= {name for name in self.jobs if glob.match(name)}
        return found

    def _unknown(self, word: str) -> UsageError:
        from etl_runner.pipeline.words import did_you_mean

        hint = did_you_mean(word, [*self.words, *self.jobs])
        return UsageError(
            f"no job, phase or tag called {word!r}", hint=hint or f"there are: {', '.join(list(self.words)[:12])}"
        )


def _dependents(jobs: Iterable[Job]) -> dict[str, list[str]]:
    dependents: dict[str, list[str]] = {}
    for job in jobs:
        for need in job.needs:
            dependents.setdefault(need, []).append(job.name)
    return dependents


def _reach(start: Iterable[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    """Everything that can be reached over the edges."""
    seen = set(start)
    pending = list(seen)
    while pending:
        for name in edges.get(pending.pop(), ()):
            if name not in seen:
                seen.add(name)
                pending.append(name)
    return seen


class _NearestChosen:
    """Needs with every job that was left out replaced by what it needed itself."""

    def __init__(self, jobs: Mapping[str, Job], chosen: set[str]) -> None:
        self.jobs = jobs
        self.chosen = chosen
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {(): ()}

    def of(self, needs: tuple[str, ...]) -> tuple[str, ...]:
        pending = [needs]
        while pending:
            top = pending[-1]
            open_ = [] if top in self._known else [n for n in self._left_out(top) if n not in self._known]
            if open_:
                pending.extend(dict.fromkeys(open_))
            else:
                pending.pop()
                self._known.setdefault(top, self._joined(top))
        return self._known[needs]

    def _left_out(self, needs: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [self.jobs[need].needs for need in needs if need not in self.chosen]

    def _joined(self, needs: tuple[str, ...]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for need in needs:
            if need in self.chosen:
                found[need] = None
            else:
                found.update(dict.fromkeys(self._known[self.jobs[need].needs]))
        return tuple(found)
