"""`${NAME}` and `${NAME:-default}` in a catalogue's texts, from the environment; in SQL they are values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from etl_jobs.entries import Entries

Complain = Callable[[str], object]

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^{}]*))?\}")
_OF_INTERVALS = re.compile(r"\$\{ETL_INTERVAL_(START|END)\b")
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<dollars>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"""|(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`)"""
    r"|(?P<alone>\$\{\w+(?::-[^{}]*)?\})"
    r"""|(?P<open>['"`])""",
    re.DOTALL,
)
_ESCAPED_QUOTE = re.compile(r"""\\['"`]""")


def filled(value: Any, env: Mapping[str, str], complain: Complain) -> Any:
    """The value with the variables in all its texts; one that is neither set nor has a default is complained of."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _value(found, env, lambda said: complain(f"{value!r}: {said}")), value)
    if isinstance(value, dict):
        return {key: filled(inner, env, complain) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, env, complain) for inner in value]
    return value


def sql_filled(text: str, env: Mapping[str, str], complain: Complain) -> str:
    """SQL with its variables: quoted literals, and within quotes what cannot end them. Comments stay as they are.

    Complains of variables that are not set, and where it cannot be sure what a value would become.
    """

    def wrong(said: str) -> None:
        complain(f"{text!r}: {said}")

    if not _VARIABLE.search(text):
        return text
    if _ESCAPED_QUOTE.search(text):
        wrong("a quote behind a backslash and a variable do not go together, write '' for the quote")
        return text
    return _TOKEN.sub(lambda found: _sql_token(found, env, wrong), text)


def reads_an_interval(value: object) -> bool:
    """Whether the interval of a backfill is asked for in any of its texts."""
    if isinstance(value, dict | list):
        return any(map(reads_an_interval, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and bool(_OF_INTERVALS.search(value))


def interval_of(env: Mapping[str, str], entry: Mapping[str, Any], *, common: object) -> str:
    """The interval that a backfill loads of this table, as a text; empty where there is none, or it loads all of it.

    What goes on from a watermark is of the interval in any case, as it neither uses nor moves it then.
    """
    goes_on = entry.get("strategy") in {"incremental", "append"} and entry.get("watermark")
    if not goes_on and not reads_an_interval([entry.get("source", {}), entry.get("where", ""), common]):
        return ""
    start, end = env.get("ETL_INTERVAL_START", ""), env.get("ETL_INTERVAL_END", "")
    return f"{start} to {end}" if start or end else ""


def check_interval(entries: Entries, where: str, entry: Mapping[str, Any], *, common: object) -> None:
    """A source of which a backfill reads one interval must not take the place of the whole table.

    The source is what the table's entry says of it, and the `common` one of all tables.
    """
    if not reads_an_interval([entry.get("source", {}), common]):
        return
    strategy = entry.get("strategy", "snapshot")
    if strategy in {"snapshot", "replace", "scd2"}:
        entries.problems.append(
            f"{where}: strategy {strategy!r} would leave one interval of it:"
            " take 'slice' with a `where` of the interval, or 'incremental'"
        )
    elif strategy == "slice" and not reads_an_interval(entry.get("where", "")):
        entries.problems.append(f"{where}: `where` has to say which rows an interval is, as the source does")


def _sql_token(found: re.Match[str], env: Mapping[str, str], wrong: Complain) -> str:
    token = found[0]
    if found["open"]:
        wrong("its quotes do not match")
    elif found["dollars"] and _VARIABLE.search(token):
        wrong("no variable can stand between $$ and $$")
    elif found["quoted"]:
        return token[0] + _quoted(token[1:-1], token[0], env, wrong) + token[0]
    elif found["alone"]:
        return "'" + _quoted(token, "'", env, wrong) + "'"
    return token


def _quoted(text: str, quote: str, env: Mapping[str, str], wrong: Complain) -> str:
    """The text with its variables, as it has to be written between these quotes."""

    def value(found: re.Match[str]) -> str:
        known = _value(found, env, wrong)
        if "\\" in known:
            wrong(f"{found['name']} has a backslash, which not every database takes for one")
        return known.replace(quote, quote * 2)

    return _VARIABLE.sub(value, text)


def _value(found: re.Match[str], env: Mapping[str, str], wrong: Complain) -> str:
    name, default = found["name"], found["default"]
    value = env.get(name) or default
    if value is None:
        more = f", only a backfill does that: ${{{name}:-…}} has a value for other loads" * reads_an_interval(found[0])
        wrong(f"the environment variable {name} is not set{more}")
    return value or ""
