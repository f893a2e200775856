"""Reading tables.toml: everything wrong with it is said at once, with a guess at what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_jobs.catalogue import PACKAGED, default_path, read_catalogue
from etl_jobs.errors import MisconfiguredError

GOOD = """
[source]
kind = "csv"
folder = "${DATA}/in"
csv = { delimiter = ";" }
[warehouse]
schema = "w"
[[table]]
name = "A"
columns = { id = "integer", at = "timestamp with time zone", n = "numeric(10, 2)", tags = "text[]" }
key = ["id"]
references = [{ columns = ["id"], table = "B" }]
[[table]]
name = "B"
file = "b.txt"
strategy = "slice"
where = "id > 0"
columns = { id = "integer" }
"""


def read(tmp_path: Path, text: str, **env: str) -> object:
    path = tmp_path / "tables.toml"
    path.write_text(text)
    return read_catalogue(path, env={"DATA": "data", **env})


def test_what_is_left_out_has_the_usual_value(tmp_path: Path) -> None:
    catalogue = read(tmp_path, GOOD)
    first, second = catalogue.tables  # type: ignore[attr-defined]

    assert catalogue.source.folder == tmp_path / "data" / "in"  # type: ignore[attr-defined]
    assert (first.id, first.file, first.strategy, first.duplicates) == (0, "A.csv", "snapshot", "fail")
    assert first.references[0].to == ("id",)
    assert (first.max_delete, second.max_delete) == (0.5, 1.0)
    assert (second.id, second.file) == (1, "b.txt")


BAD = {
    "unknown key": ('key = ["id"]', 'keys = ["id"]', "table 'A': unknown key 'keys' (did you mean 'key'?)"),
    "unknown column": ('key = ["id"]', 'key = ["idd"]', "table 'A': key: 'A' has no column 'idd' (did you mean 'id'?)"),
    "unknown parent": ('table = "B"', 'table = "C"', "table 'A': references 'C', which is no table here"),
    "parent's column": ('table = "B"', 'table = "B", to = ["x"]', "references B: 'B' has no column 'x'"),
    "lengths": ('table = "B"', 'table = "B", to = ["id", "id"]', "`columns` and `to` differ in length"),
    "orphans": ('table = "B"', 'table = "B", orphans = "ok"', "orphans: expected 'fail' or 'report', got 'ok'"),
    "name twice": ('name = "B"', 'name = "A"', "the name is used more than once"),
    "no name": ('name = "B"', "", "table 1: 'name' is missing"),
    "strategy": ('"slice"', '"slices"', "or 'incremental' or 'scd2', got 'slices' (did you mean 'slice'?)"),
    "slice of what": ('where = "id > 0"', "", "strategy 'slice' needs `where`"),
    "where alone": ('strategy = "slice"', "", "`where` is for strategy 'slice'"),
    "increment of what": ('"slice"\nwhere = "id > 0"', '"incremental"', "needs a key without duplicates"),
    "history of what": ('"slice"\nwhere = "id > 0"', '"scd2"', "strategy 'scd2' needs a key without duplicates"),
    "append from where": ('"slice"\nwhere = "id > 0"', '"append"\nwatermark = "id"', "needs a key without duplicates"),
    "new columns": ('key = ["id"]', 'new_columns = "ad"', "expected 'fail' or 'add', got 'ad'"),
    "secret": ('key = ["id"]', 'secret = ["pin"]', "table 'A': secret: 'A' has no column 'pin'"),
    "history's own": ('tags = "text[]" }', 'valid_to = "date" }\nstrategy = "scd2"', "makes the column 'valid_to'"),
    "type": ('"integer"', '"int; DROP TABLE x"', "columns.id: not a PostgreSQL type"),
    "kind": ('kind = "csv"', 'kind = "cvs"', "got 'cvs' (did you mean 'csv'"),
    "folder": ('folder = "${DATA}/in"', "", "source.folder: missing"),
    "variable": ("${DATA}", "${NOWHERE}", "the environment variable NOWHERE is not set"),
    "delimiter": ('";"', '";;"', "source.csv.delimiter: expected one character"),
    "schema": ('schema = "w"', "", "warehouse: 'schema' is missing"),
    "a text for a list": ('key = ["id"]', 'key = "id"', "key: expected a list of texts, got 'id'"),
    "numbers for texts": ('key = ["id"]', 'key = [1, ["id"]]', "key: expected a list of texts, got [1, ['id']]"),
    "long name": ('name = "B"', f'name = "{"B" * 64}"', "longer than PostgreSQL's 63 bytes"),
    "not TOML": ("[source]", "[source", "Expected ']'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_named(tmp_path: Path, case: str) -> None:
    old, new, said = BAD[case]
    assert old in GOOD
    with pytest.raises(MisconfiguredError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))

    assert said in caught.value.message
    assert "tables.toml" in caught.value.message


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('key = ["id"]', 'key = ["x"]').replace('table = "B"', 'table = "C"').replace("csv", "cvs", 1)
    with pytest.raises(MisconfiguredError) as caught:
        read(tmp_path, text)

    assert len(caught.value.message.splitlines()) == 3


def test_a_catalogue_without_tables_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match=r"no \[\[table\]\]"):
        read(tmp_path, '[source]\nkind = "sample"\n[warehouse]\nschema = "w"\n')
    with pytest.raises(MisconfiguredError, match=r"cannot read the catalogue .*: No such file"):
        read_catalogue(tmp_path / "nowhere.toml", env={})


def test_the_option_wins_over_the_environment_over_the_file() -> None:
    assert read_catalogue(PACKAGED, env={}).source.scale == 1.0
    assert read_catalogue(PACKAGED, env={"ETL_SCALE": "0.5"}).source.scale == 0.5
    assert read_catalogue(PACKAGED, env={"ETL_SCALE": "0.5"}, scale=3).source.scale == 3
    for bad in ("-1", "0", "x", "nan"):
        with pytest.raises(MisconfiguredError, match="expected a number"):
            read_catalogue(PACKAGED, env={"ETL_SCALE": bad})


def test_the_catalogue_is_found_by_the_environment() -> None:
    assert default_path({}) == PACKAGED
    assert default_path({"ETL_CATALOGUE": "/x/t.toml"}) == Path("/x/t.toml")
