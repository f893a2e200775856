"""Any sequence of source changes, loads and kills under every strategy, compared with a model in Python."""

# ruff: noqa: F401, F811
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.jobs import Shop, nobody_left, query, wait_for
from tests.support.mortal import Mortal, mortal
from tests.support.servers import Warehouse, database, warehouse

Row = tuple[int, str, int]  # id, name, at
KEY = 'key = ["id"]\n'
STRATEGIES = {
    "snapshot": KEY,
    "snapshot, rows repeat": "",
    "replace": KEY + 'strategy = "replace"',
    "replace, rows repeat": 'strategy = "replace"',
    "slice": KEY + 'strategy = "slice"\nwhere = "at >= 2"',
    "append": KEY + 'strategy = "append"',
    "append, batches": 'strategy = "append"',
    "append, watermark": KEY + 'strategy = "append"\nwatermark = "at"\nlag = 1',
    "incremental": KEY + 'strategy = "incremental"\nwatermark = "at"\nlag = 1',
    "scd2": KEY + 'strategy = "scd2"',
}


@dataclass
class Model:
    """What the target must hold after a load, by the words of the documentation."""

    name: str
    rows: list[Row] = field(default_factory=list)
    batches: list[Counter[Row]] = field(default_factory=list)
    watermark: int | None = None
    versions: list[Row] = field(default_factory=list)  # of a history: those that are closed

    def load(self, source: list[Row], *, full: bool) -> None:
        kind, _, more = self.name.partition(", ")
        held = {row[0]: row for row in self.rows}
        new = {row[0]: row for row in source}
        if kind == "slice":
            part = {row[0]: row for row in source if row[2] >= 2}
            self.rows = [row for row in self.rows if row[2] < 2 and row[0] not in part] + list(part.values())
        elif kind in {"snapshot", "replace", "scd2"} or full:
            self.versions += [row for row in self.rows if new.get(row[0]) != row] if kind == "scd2" else []
            self.rows = list(source)
            self.batches = [Counter(source)]
            self.watermark = None
        elif more == "batches":
            if Counter(source) not in self.batches:
                self.rows += source
                self.batches.append(Counter(source))
        elif kind == "append":
            since = self.watermark if more == "watermark" else None
            fresh = [row for row in source if since is None or row[2] >= since - 1]
            self.rows += [row for row in fresh if row[0] not in held]
        else:
            fresh = [row for row in source if self.watermark is None or row[2] >= self.watermark - 1]
            self.rows = list((held | {row[0]: row for row in fresh}).values())
        if "watermark" in STRATEGIES[self.name]:
            reached = [row[2] for row in source] + ([] if self.watermark is None else [self.watermark])
            self.watermark = max(reached, default=None)

    def change(self, name: str) -> None:
        """Another strategy from now on: it begins at the beginning."""
        self.watermark = self.watermark if name.partition(",")[0] == self.name.partition(",")[0] else None
        self.name = name


def row_lists(*, repeat: bool) -> st.SearchStrategy[list[Row]]:
    row = st.tuples(st.integers(1, 5), st.sampled_from("ab"), st.integers(0, 4))
    return st.lists(row, max_size=5, unique_by=None if repeat else lambda row: row[0])


@st.composite
def stories(draw: st.DrawFn, name: str) -> list[tuple[list[Row] | None, bool, int | None]]:
    """Steps: a new source or the old one, a full refresh or not, the statement to die at or to live."""
    sources = row_lists(repeat="key" not in STRATEGIES[name])
    dies = st.none() | st.integers(-60, 60).filter(bool)
    step = st.tuples(st.none() | sources, st.sampled_from([False, False, False, True]), dies)
    return draw(st.lists(step, min_size=1, max_size=6))


@pytest.fixture(scope="module")
def loads() -> Iterator[Mortal]:
    with mortal() as it:
        yield it


def held(dsn: str, name: str) -> tuple[list[Row], list[Row]]:
    """Rows and, of a history, closed versions; no rows where there is no table yet."""
    if query(dsn, "SELECT to_regclass('shop.t') IS NULL") == [(True,)]:
        return [], []
    current = "is_current" if name == "scd2" else "true"
    rows = query(dsn, f"SELECT id, name, at, {current} FROM shop.t")
    return sorted(row[:3] for row in rows if row[3]), sorted(row[:3] for row in rows if not row[3])


def expected(model: Model) -> tuple[list[Row], list[Row]]:
    return sorted(model.rows), sorted(model.versions)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", STRATEGIES)
def test_any_story_of_changes_and_kills_ends_as_the_model_says(name: str, warehouse: Warehouse, loads: Mortal) -> None:
    with warehouse.database() as dsn, TemporaryDirectory() as folder:
        shop = Shop(Path(folder), dsn)
        shop.table("t", {"id": "integer", "name": "text", "at": "integer"}, STRATEGIES[name] + "\nmax_delete = 1")

        @settings(max_examples=8, suppress_health_check=list(HealthCheck))
        @given(story=stories(name))
        def check(story: list[tuple[list[Row] | None, bool, int | None]]) -> None:
            query(dsn, "DROP SCHEMA IF EXISTS shop, shop_staging, etl CASCADE")
            model = Model(name)
            source: list[Row] = []
            for changed, full, dies in story:
                source = source if changed is None else changed
                shop.file("t.csv", "at,id,name\n" + "".join(f"{at},{id_},{text}\n" for id_, text, at in source))
                before = expected(model)
                after = Model(name, [*model.rows], [*model.batches], model.watermark, [*model.versions])
                after.load(source, full=full)
                if dies is not None:
                    ended = loads.load(dsn, shop.catalogue, full=full, dies=dies)
                    wait_for(lambda: nobody_left(dsn))
                    done = held(dsn, name)
                    assert done in (before, expected(after)), ended
                ended = loads.load(dsn, shop.catalogue, full=full)
                assert ended["status"] == 0, ended
                assert held(dsn, name) == expected(after)
                assert query(dsn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'shop_staging'") == [(0,)]
                model = after

        check()


KEYED = sorted(name for name, words in STRATEGIES.items() if words.startswith(KEY) and name != "scd2")


@pytest.mark.timeout(300)
def test_any_story_of_changing_strategies_ends_as_the_model_says(warehouse: Warehouse, loads: Mortal) -> None:
    story_of_names = st.lists(st.tuples(st.sampled_from(KEYED), row_lists(repeat=False)), min_size=2, max_size=7)
    with warehouse.database() as dsn, TemporaryDirectory() as folder:
        shop = Shop(Path(folder), dsn)

        @settings(max_examples=40, suppress_health_check=list(HealthCheck))
        @given(story=story_of_names)
        def check(story: list[tuple[str, list[Row]]]) -> None:
            query(dsn, "DROP SCHEMA IF EXISTS shop, shop_staging, etl CASCADE")
            model = Model(story[0][0])
            for name, source in story:
                shop.tables.clear()
                more = STRATEGIES[name] + "\nmax_delete = 1"
                shop.table("t", {"id": "integer", "name": "text", "at": "integer"}, more)
                shop.file("t.csv", "at,id,name\n" + "".join(f"{at},{id_},{text}\n" for id_, text, at in source))
                model.change(name)
                model.load(source, full=False)
                ended = loads.load(dsn, shop.catalogue, full=False)
                assert ended["status"] == 0, ended
                assert held(dsn, name) == expected(model)

        check()
