"""The position scanner against tomllib: same key paths, and each place holds what tomllib read there."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from etl_runner.pipeline.positions import Path, scan

BARE = st.text("abcXYZ019_-", min_size=1, max_size=4)
ODD = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=5)
BLANK = st.sampled_from(["", " ", "\t", "  "])
FILLER = st.sampled_from(["", " ", "\n", "  # note ] } \" ' = [x]\n", "\n\n\t"])


def _basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def keys(draw: st.DrawFn) -> str:
    """One part of a key, bare or quoted either way."""
    name = draw(BARE | ODD)
    if name and all(c in "abcXYZ019_-" for c in name) and draw(st.booleans()):
        return name
    if "'" not in name and draw(st.booleans()):
        return f"'{name}'"
    return _basic(name)


@st.composite
def strings(draw: st.DrawFn) -> str:
    text = draw(ODD | st.sampled_from(["#", "]", "}", "=", ",", "[a]", "a = 1"]))
    match draw(st.integers(0, 4)):
        case 0:
            return _basic(text)
        case 1:
            return f"'{text.replace(chr(39), '')}'"
        case 2:
            inner = text.replace("\\", "\\\\").replace('"', '\\"')
            return f'"""\n{inner}""\\\n  x\n[b]\\"""{draw(st.sampled_from(["", chr(34), chr(34) * 2]))}"""'
        case 3:
            return f"'''{text.replace(chr(39), '')}\n''[c]\n{draw(st.sampled_from(['', chr(39), chr(39) * 2]))}'''"
        case _:
            return '"\\u00e9\\t\\"\\\\"'


SCALARS = st.sampled_from(
    ["0", "-17", "1_000", "0xff", "1e3", "-inf", "true", "1979-05-27 07:32:00", "07:32:00", "2026-01-01T00:00:00Z"]
)


@st.composite
def pairs(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    parts = draw(st.lists(keys(), min_size=1, max_size=3))
    dot = f"{draw(BLANK)}.{draw(BLANK)}"
    return f"{dot.join(parts)}{draw(BLANK)}={draw(BLANK)}{draw(values)}"


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(values, max_size=3))
    body = f"{draw(FILLER)},{draw(FILLER)}".join(items)
    comma = "," if items and draw(st.booleans()) else ""
    return f"[{draw(FILLER)}{body}{draw(FILLER)}{comma}{draw(FILLER)}]"


@st.composite
def inline_tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    return f"{{{draw(BLANK)}{', '.join(draw(st.lists(pairs(values), max_size=3)))}{draw(BLANK)}}}"


VALUES = st.recursive(strings() | SCALARS, lambda v: arrays(v) | inline_tables(v), max_leaves=8)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Lines of TOML; not every document is valid (a key may be set twice)."""
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        match draw(st.integers(0, 4)):
            case 0:
                lines.append(f"[{draw(BLANK)}{'.'.join(draw(st.lists(keys(), min_size=1, max_size=3)))}{draw(BLANK)}]")
            case 1:
                lines.append(f"[[ {draw(keys())}{draw(st.sampled_from(['', '.a', '.a.b']))} ]]")
            case _:
                lines.append(draw(BLANK) + draw(pairs(VALUES)))
        lines[-1] += draw(st.sampled_from(["", " ", " # note [x] = 'y'", "\t#"]))
    return draw(st.sampled_from(["\n", "\n\n"])).join(lines) + draw(st.sampled_from(["", "\n"]))


def paths_of(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    children: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    here = [(path, value)] if path else []
    return here + [pair for key, inner in children for pair in paths_of(inner, (*path, key))]


def _last_valid(text: str) -> tuple[str, dict[str, Any]]:
    """The longest beginning of the document that is TOML."""
    lines = text.split("\n")
    for count in range(len(lines), 0, -1):
        try:
            return "\n".join(lines[:count]), tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
    return "", {}


@given(documents())
def test_every_key_path_tomllib_yields_has_its_place(document: str) -> None:
    text, data = _last_valid(document)

    places = scan(text)

    assert set(places) == {path for path, _ in paths_of(data)}


@given(documents())
def test_a_place_holds_the_value_tomllib_read_there(document: str) -> None:
    text, data = _last_valid(document)

    places = scan(text)

    for path, value in paths_of(data):
        if places[path].value != places[path].key:
            start, end = places[path].value
            assert repr(tomllib.loads(f"x = {text[start:end]}")["x"]) == repr(value)


@given(documents())
def test_a_place_holds_the_key(document: str) -> None:
    text, data = _last_valid(document)

    places = scan(text)

    for path, _ in paths_of(data):
        if isinstance(path[-1], str):
            start, end = places[path].key
            assert list(tomllib.loads(f"{text[start:end]} = 1")) == [path[-1]]


def test_array_elements_and_arrays_of_tables_are_counted() -> None:
    text = '[[a]]\nx = [1, "two"]\n[[a]]\n[a.b]\ny = { z.w = 3 }\n'

    places = scan(text)

    assert {path: text[slice(*place.value)] for path, place in places.items() if path[-1] in {0, 1, "x", "w"}} == {
        ("a", 0): "a",
        ("a", 1): "a",
        ("a", 0, "x"): '[1, "two"]',
        ("a", 0, "x", 0): "1",
        ("a", 0, "x", 1): '"two"',
        ("a", 1, "b", "y", "z", "w"): "3",
    }
