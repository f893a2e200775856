"""The JSON Schema of the pipeline file, for editors."""

from __future__ import annotations

from typing import Any

import msgspec

from etl_runner.pipeline.file import File

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the pipeline file, from the structs the reader uses."""
    (reference,), definitions = msgspec.json.schema_components((File,), ref_template="#/$defs/{name}")
    found = _without_null({"$schema": DIALECT, "title": "etl-run pipeline", **reference, "$defs": definitions})
    assert isinstance(found, dict)
    return found


def _without_null(node: Any) -> Any:
    """The schema without null: TOML has none; a key that is not there is just not there."""
    match node:
        case list():
            return [_without_null(inner) for inner in node]
        case {"$ref": _, "default": dict()}:
            return {key: value for key, value in node.items() if key != "default"}
        case {"anyOf": choices, **rest} if {"type": "null"} in choices:
            left = [choice for choice in choices if choice != {"type": "null"}]
            rest.pop("default", None)
            return _without_null({**rest, **left[0]} if len(left) == 1 else {**rest, "anyOf": left})
        case dict():
            return {key: _without_null(inner) for key, inner in node.items()}
        case _:
            return node
