"""etl-run job NAME: one job of the pipeline, with its own options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import msgspec

from etl_runner.cli.context import Opened, open_pipeline
from etl_runner.cli.exclusive import IfRunning, if_running_option
from etl_runner.cli.options import Settings, common_options, remember
from etl_runner.cli.plan_options import plan_options, unique
from etl_runner.errors import UsageError
from etl_runner.events import JobExpanded
from etl_runner.expanding import extended
from etl_runner.model import Expansion, Job, Output, Plan, When
from etl_runner.pipeline.matrix import MatrixError, copies_of, reported_values
from etl_runner.pipeline.pipeline import shown_values


class Value(click.ParamType[str]):
    """One of a matrix parameter's values; any text where they are known only during a run."""

    name = "value"

    def __init__(self, values: tuple[str, ...]) -> None:
        self._values = values

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self._values and value not in self._values:
            self.fail(f"{value!r} is not one of {shown_values(self._values)}", param, ctx)
        return str(value)


class Jobs(click.Group):
    """The jobs of the pipeline file as commands: templates (`table`), and single copies by their names (`table-3`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take -c and --profile wherever they stand: the job's own options can be known only with them."""
        return super().parse_args(ctx, [*_picked(args, ("-c", "--config", "--profile")), *args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(opened_in(ctx).pipeline.templates)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        opened = opened_in(ctx)
        if cmd_name in opened.pipeline.templates:
            return template_command(opened, cmd_name)
        if any(job.name == cmd_name for job in opened.pipeline.plan().jobs):
            return copy_command(opened, cmd_name)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise unknown_job(opened_in(ctx), args[0])
        return super().resolve_command(ctx, args)


def _picked(args: list[str], names: tuple[str, ...]) -> list[str]:
    """Take these options and their values out of `args`, up to a --."""
    picked: list[str] = []
    at = 0
    while at < len(args) and args[at] != "--":
        if args[at] in names and at + 1 < len(args):
            picked += args[at : at + 2]
            del args[at : at + 2]
        elif args[at].startswith(tuple(f"{name}=" for name in names if name.startswith("--"))):
            picked.append(args.pop(at))
        else:
            at += 1
    return picked


@click.group("job", cls=Jobs, subcommand_metavar="NAME [OPTIONS] [-- ARGS]...")
@common_options
def job(settings: Settings) -> None:
    """Run one job, and nothing else: what it needs counts as done.

    What stands behind -- is added to the job's command. The exit status is the job's own.
    """


def opened_in(ctx: click.Context) -> Opened:
    """The pipeline that the command line names, read once."""
    if "opened" not in ctx.meta:
        given = {name: ctx.params.get(name) for name in Settings._fields}
        with ctx.scope(cleanup=False):
            settings = remember(Settings(**{name: value for name, value in given.items() if value is not None}))
        ctx.meta["opened"] = open_pipeline(settings)
    opened: Opened = ctx.meta["opened"]
    return opened


def template_command(opened: Opened, name: str) -> click.Command:
    """The command of a template: its matrix parameters are options, which narrow down the copies to run."""
    template = opened.pipeline.templates[name]
    options = [
        click.Option(
            [f"--{parameter}", f"matrix_{parameter}"],
            type=Value(values),
            multiple=True,
            metavar=shown_values(values) or "VALUE",
            help=f"Only the copies with this {parameter}; may be given several times.",
        )
        for parameter, values in template.params.items()
    ]

    def names(plan: Plan, chosen: dict[str, tuple[str, ...]]) -> set[str]:
        return {
            copy.name
            for copy in plan.jobs
            if copy.template == name
            and all(copy.params[key.removeprefix("matrix_")] in values for key, values in chosen.items() if values)
        }

    return _command(opened, name, options, names, help_text=template.description)


def copy_command(opened: Opened, name: str) -> click.Command:
    """The command of one copy by its own name."""
    return _command(opened, name, [], lambda _plan, _chosen: {name}, help_text=f"Run {name}.")


def _command(opened: Opened, name: str, options: list[click.Option], names: Any, *, help_text: str) -> click.Command:
    @plan_options
    @click.option("--explain", is_flag=True, help="Print what the job says it would do; run nothing.")
    @if_running_option
    @click.argument("args", nargs=-1, type=click.UNPROCESSED)
    @common_options
    def run(
        *,
        settings: Settings,
        workers: int | None,
        timeout: float | None,
        params: tuple[tuple[str, str], ...],
        dry_run: bool,
        explain: bool,
        if_running: IfRunning,
        args: tuple[str, ...],
        **chosen: tuple[str, ...],
    ) -> int:
        plan = opened.pipeline.plan(params=unique(params), workers=workers, timeout=timeout)
        if name in opened.pipeline.templates:
            plan = with_given(plan, name, {key.removeprefix("matrix_"): values for key, values in chosen.items()})
        alone = only(plan, names(plan, chosen), args)
        if explain:
            from etl_runner.cli import explaining

            return explaining.explain(opened, alone, settings)
        if dry_run:
            from etl_runner.cli.plan import show_plan

            show_plan(opened, alone, settings)
            return 0
        from etl_runner.cli.launch import launch

        single = alone.jobs[0].name if len(alone.jobs) == 1 else None
        return launch(opened, alone, settings, if_running=if_running, passes_on=single)

    command = click.command(name, help=help_text or f"Run {name}.")(run)
    command.params = [*options, *(p for p in command.params if p.name not in ("config", "profile"))]
    return command


def with_given(plan: Plan, name: str, given: Mapping[str, tuple[str, ...]]) -> Plan:
    """The plan with the copies that the command line names, where they are known only during a run otherwise."""
    expand = next((job.expand for job in plan.jobs if job.name == name), None)
    if expand is None:
        return plan
    if missing := [key for key, values in expand.matrix.items() if not given[key] and isinstance(values, Output)]:
        raise UsageError(
            f"{name!r} gets its values from {', '.join(expand.sources)} during a run",
            hint=f"say which: --{missing[0]} …; or run both: etl-run all --only +{name}",
        )
    try:
        matrix = {key: reported_values(list(given[key])) or values for key, values in expand.matrix.items()}
        copies = copies_of(name, Expansion(matrix=matrix), lambda _: [])
    except MatrixError as error:
        raise UsageError(error.message) from None
    others = {job.name for job in plan.jobs}
    if taken := [copy.name for copy in copies if copy.name in others]:
        raise UsageError(f"there is already a job {taken[0]!r}")
    return extended(plan, [JobExpanded(job=name, copies=copies)])


def only(plan: Plan, names: set[str], args: tuple[str, ...]) -> Plan:
    """The plan of these jobs alone, with `args` behind their commands."""
    jobs = tuple(_alone(job, args) for job in plan.jobs if job.name in names)
    return msgspec.structs.replace(plan, jobs=jobs)


def _alone(job: Job, args: tuple[str, ...]) -> Job:
    if args and job.argv[:2] == ("/bin/sh", "-c"):
        raise UsageError(f"{job.name} runs in a shell: arguments behind -- have no place there")
    return msgspec.structs.replace(job, needs=(), when=When.SUCCESS, argv=(*job.argv, *args))


def unknown_job(opened: Opened, name: str) -> UsageError:
    """The error for a name that is no job, with the nearest ones."""
    from difflib import get_close_matches

    known = [*opened.pipeline.templates, *(job.name for job in opened.pipeline.plan().jobs)]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"jobs: {', '.join(opened.pipeline.templates)}"
    return UsageError(f"no job called {name!r} in {opened.path.name}", hint=hint)
