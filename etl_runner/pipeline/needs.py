"""Who waits for whom: the names in `needs` resolved to jobs, and circles found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from etl_runner.model import Copy, Output
from etl_runner.pipeline.file import File
from etl_runner.pipeline.pipeline import Template, texts
from etl_runner.pipeline.positions import Path
from etl_runner.pipeline.source import Source
from etl_runner.pipeline.text import Pieces, TextError, fill, params_in, parse_text
from etl_runner.pipeline.words import did_you_mean


class _Edge(Struct, frozen=True):
    """`to` is a template that must be over before; `via` is the phase that says so, if it is one."""

    to: str
    path: Path
    via: str = ""


class _Need(Struct, frozen=True):
    """One entry of `needs`."""

    text: str
    path: Path


_Named = list[tuple[str, tuple[str, ...]]]  # templates and their jobs


def resolve_needs(source: Source, spec: File, templates: dict[str, Template]) -> dict[str, Template]:
    """The templates with every copy's needs as job names. Problems are added to `source`."""
    return _Needs(source, spec, templates).resolved()


class _Needs:
    def __init__(self, source: Source, spec: File, templates: dict[str, Template]) -> None:
        self.source = source
        self.spec = spec
        self.templates = templates
        self.members: dict[str, list[str]] = {phase: [] for phase in spec.phases}
        self.owner: dict[str, str] = {}
        self.edges: dict[str, dict[tuple[str, Path], _Edge]] = {name: {} for name in templates}
        for template in templates.values():
            self.members.get(template.phase, []).append(template.name)
            for copy in template.copies:
                self.owner.setdefault(copy.name, template.name)

    def resolved(self) -> dict[str, Template]:
        phases_in_circle = self._phase_circles()
        waits = {} if phases_in_circle else {phase: self._phase_waits(phase) for phase in self.spec.phases}
        done = {name: self._template(template, waits) for name, template in self.templates.items()}
        for circle, path in circles({name: list(edges.values()) for name, edges in self.edges.items()}):
            self.source.add(path, f"needs go in a circle: {circle}", "take one of these needs out")
        return done

    def _template(self, template: Template, waits: Mapping[str, tuple[str, ...]]) -> Template:
        entries = [
            (need, pieces)
            for need in _entries(("jobs", template.name, "needs"), template.table.needs)
            if (pieces := self._pieces(need, template)) is not None
        ]
        fixed = self._edges_and_jobs(template, [need for need, pieces in entries if not params_in(pieces)])
        fixed += self._edges_and_jobs(template, self._sources(template))
        phase_waits = waits.get(template.phase, ())
        shared = tuple(dict.fromkeys((*fixed, *phase_waits)))
        own = [(need, pieces) for need, pieces in entries if params_in(pieces)]
        if not own:
            copies = tuple(replace(copy, needs=shared) for copy in template.copies)
        else:
            copies = tuple(self._copy(template, copy, own, shared) for copy in template.copies)
        return replace(template, copies=copies)

    def _pieces(self, need: _Need, template: Template) -> Pieces | None:
        """The need's text with its holes, or None after adding a problem."""
        try:
            pieces = parse_text(need.text)
        except TextError as error:
            self.source.add(need.path, error.message, error.cure, token=error.token)
            return None
        for name in params_in(pieces):
            if template.expand and name in template.params:
                self.source.add(need.path, f"{name!r} is known only during the run", "need the whole job")
                return None
            if name not in template.params:
                cure = did_you_mean(name, template.params) or "needs may use the keys of the job's matrix"
                self.source.add(need.path, f"unknown parameter {name!r}", cure, token=f"{{{name}}}")
                return None
        return pieces

    def _sources(self, template: Template) -> Iterator[_Need]:
        """The jobs that report values of the matrix: they are needed, whether `needs` says so or not."""
        if not template.expand:
            return
        matrix: Path = ("jobs", template.name, "matrix")
        for key, values in template.expand.matrix.items():
            if isinstance(values, Output):
                short = isinstance((template.table.matrix or {}).get("job"), str)
                need = _Need(values.job, (*matrix, "job") if short else (*matrix, key, "job"))
                if self._is_one_job(need):
                    yield need

    def _is_one_job(self, need: _Need) -> bool:
        """Whether a source of values is there and is one job, or add a problem."""
        found = self._named(need.text)
        if found is None:
            self._unknown(need)
            return False
        if [self.templates[owner].expand for owner, _ in found] != [None] or len(found[0][1]) != 1:
            cure = "name one job, which reports all values"
            self.source.add(need.path, f"{need.text!r} stands for more than one job", cure)
            return False
        ((name,),) = (names for _, names in found)
        if name != need.text:
            self.source.add(need.path, f"{need.text!r} is not the job's own name", f"write {name!r}")
        return name == need.text

    def _copy(
        self, template: Template, copy: Copy, own: Sequence[tuple[_Need, Pieces]], shared: tuple[str, ...]
    ) -> Copy:
        """A copy whose needs follow its own parameters, as in needs = ["extract-{id}"]."""
        needs = [_Need(fill(pieces, params=copy.params, lookup=lambda _: None), need.path) for need, pieces in own]
        return replace(copy, needs=tuple(dict.fromkeys((*self._edges_and_jobs(template, needs), *shared))))

    def _edges_and_jobs(self, template: Template, needs: Iterable[_Need]) -> list[str]:
        jobs: list[str] = []
        for need in needs:
            found = self._named(need.text)
            if found is None:
                self._unknown(need)
            elif any(owner == template.name for owner, _ in found):
                phase = f": it is in phase {need.text!r}" if need.text in self.members else ""
                self.source.add(need.path, f"{template.name!r} needs itself{phase}")
            else:
                self._link(template.name, found, _Edge("", need.path))
                jobs.extend(job for _, names in found for job in names)
        return jobs

    def _link(self, template: str, found: _Named, like: _Edge) -> None:
        for owner, _ in found:
            self.edges[template][owner, like.path] = replace(like, to=owner)

    def _named(self, name: str, seen: frozenset[str] = frozenset()) -> _Named | None:
        """The jobs a name stands for, by template; None if it stands for nothing.

        A phase without jobs stands for what it needs itself.
        """
        if members := self.members.get(name):
            return [(member, self._copies(member)) for member in members]
        if name in self.templates:
            return [(name, self._copies(name))]
        if name in self.members:
            needs = [n for n in texts(self.spec.phases[name].needs) if n not in seen]
            return [pair for n in needs for pair in self._named(n, seen | {name}) or []]
        return [(self.owner[name], (name,))] if name in self.owner else None

    def _copies(self, template: str) -> tuple[str, ...]:
        return tuple(copy.name for copy in self.templates[template].copies)

    def _unknown(self, need: _Need) -> None:
        cure = did_you_mean(need.text, [*self.members, *self.templates, *self.owner])
        for template in self.templates.values():
            if template.expand and need.text.startswith(f"{template.name}-"):
                cure = f"the copies of {template.name!r} are known only during the run: need {template.name!r}"
        self.source.add(need.path, f"no phase or job called {need.text!r}", cure)

    def _phase_waits(self, phase: str) -> tuple[str, ...]:
        """The jobs that every job of the phase waits for."""
        jobs: list[str] = []
        for need in _entries(("phases", phase, "needs"), self.spec.phases[phase].needs):
            found = self._named(need.text)
            if found is None:
                self._unknown(need)
                continue
            jobs.extend(job for _, names in found for job in names)
            for member in self.members[phase]:
                self._link(member, found, _Edge("", need.path, phase))
        return tuple(dict.fromkeys(jobs))

    def _phase_circles(self) -> bool:
        edges = {
            name: [
                _Edge(need.text, need.path)
                for need in _entries(("phases", name, "needs"), phase.needs)
                if need.text in self.spec.phases
            ]
            for name, phase in self.spec.phases.items()
        }
        found = list(circles(edges))
        for circle, path in found:
            self.source.add(path, f"phases need each other in a circle: {circle}", "take one of these needs out")
        return bool(found)


def circles(edges: Mapping[str, Sequence[_Edge]]) -> Iterator[tuple[str, Path]]:
    """Every circle met on a depth-first walk, as `a → b → a`, with the place of the need that closes it."""
    state: dict[str, bool] = {}  # False: on the way, True: done
    for start in edges:
        if start in state:
            continue
        state[start] = False
        way: list[str] = [start]
        taken: list[_Edge] = []
        pending = [iter(edges[start])]
        while pending:
            edge = next(pending[-1], None)
            if edge is None:
                state[way.pop()] = True
                pending.pop()
                if taken:
                    taken.pop()
            elif edge.to not in state:
                state[edge.to] = False
                way.append(edge.to)
                taken.append(edge)
                pending.append(iter(edges.get(edge.to, ())))
            elif not state[edge.to]:
                first = way.index(edge.to)
                yield _circle(way[first:], [*taken[first:], edge])


def _circle(nodes: Sequence[str], edges: Sequence[_Edge]) -> tuple[str, Path]:
    steps = [nodes[0]]
    for edge in edges:
        steps.append(f"{edge.to} (phase {edge.via} waits for it)" if edge.via else edge.to)
    explicit = [edge for edge in edges if not edge.via]
    return " → ".join(steps), (explicit or edges)[-1].path


def _entries(path: Path, needs: str | list[str] | None) -> list[_Need]:
    if isinstance(needs, str):
        return [_Need(needs, path)]
    return [_Need(text, (*path, index)) for index, text in enumerate(needs or ())]
