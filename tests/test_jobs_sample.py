"""The sample ERP: the same every time, related, of the wanted size, made as it is read."""

from __future__ import annotations

import csv
import hashlib
import io
import tracemalloc
from decimal import Decimal

import pytest

from etl_jobs.catalogue import PACKAGED, read_catalogue
from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources import open_source
from etl_jobs.sources.erp import COLUMNS
from etl_jobs.sources.sample import SampleSource

Rows = list[dict[str, str]]


def read(table: str, *, scale: float = 0.02, seed: int = 1) -> Rows:
    text = b"".join(SampleSource(table, scale=scale, seed=seed).blocks()).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_the_catalogue_declares_every_table_and_column_of_the_sample() -> None:
    catalogue = read_catalogue(PACKAGED, env={})

    assert len(catalogue.tables) == 20
    assert {t.name: ",".join(t.columns) for t in catalogue.tables} == COLUMNS
    assert {open_source(catalogue, t).columns() for t in catalogue.tables} == {
        tuple(c.split(",")) for c in COLUMNS.values()
    }


def test_the_default_size_is_about_200_000_rows() -> None:
    rows = sum(block.count(b"\n") for t in COLUMNS for block in SampleSource(t, scale=1, seed=1).blocks())

    assert 180_000 < rows < 220_000


def test_every_call_on_every_machine_yields_the_same_rows() -> None:
    digest = hashlib.sha256()
    for table in COLUMNS:
        for block in SampleSource(table, scale=0.1, seed=1).blocks():
            digest.update(block)

    assert digest.hexdigest() == "a703da2d27df286d23531415cd92e393fb4d18ca839f524c0c6fe92068dd61cc"


def test_another_seed_yields_other_rows_and_another_fingerprint() -> None:
    assert read("partner", seed=1) != read("partner", seed=2)
    prints = {SampleSource("partner", scale=x, seed=y).fingerprint() for x in (1, 2) for y in (1, 2)}
    assert len(prints) == 4


@pytest.mark.parametrize("scale", [0.0001, 0.02])
def test_keys_are_unique_and_references_lead_somewhere(scale: float) -> None:
    catalogue = read_catalogue(PACKAGED, env={})
    data = {name: read(name, scale=scale) for name in COLUMNS}
    for table in catalogue.tables:
        keys = [tuple(row[c] for c in table.key) for row in data[table.name]]
        assert len(set(keys)) == len(keys), table.name
        for reference in table.references:
            known = {tuple(row[c] for c in reference.to) for row in data[reference.table]}
            found = {tuple(row[c] for c in reference.columns) for row in data[table.name]}
            assert {value for value in found if "" not in value} <= known, (table.name, reference)


def test_a_row_is_called_by_its_number() -> None:
    source = SampleSource("partner", scale=1, seed=1)
    sent = b"".join(source.blocks())

    assert source.trail.records == 6000
    assert sent.count(b"\n") > 6001  # some values have several lines
    assert source.place(record=1234) == "sample partner, row 1,234"
    assert source.place(line=2) == "sample partner, rows 1–2,000"


def test_an_orders_total_is_the_sum_of_its_lines() -> None:
    for head, line, key in (
        ("import_order", "import_order_line", "order_id"),
        ("local_sale", "local_sale_line", "sale_id"),
        ("local_purchase", "local_purchase_line", "purchase_id"),
        ("local_purchase", "local_purchase_due", "purchase_id"),
    ):
        sums: dict[str, Decimal] = {}
        for row in read(line):
            sums[row[key]] = sums.get(row[key], Decimal(0)) + Decimal(row["amount"])
        assert sums == {row["id"]: Decimal(row["amount_total"]) for row in read(head)}, line


def test_what_is_paid_is_the_sum_of_the_payments() -> None:
    paid = {(row["purchase_id"], row["part_no"]): row["paid"] for row in read("local_purchase_due")}
    payments = {(row["purchase_id"], row["part_no"]): row["amount"] for row in read("supplier_payment")}

    assert {key: amount for key, amount in paid.items() if amount != "0.00"} == payments


def test_memory_does_not_grow_with_the_size() -> None:
    tracemalloc.start()
    for _ in SampleSource("stock_move", scale=5, seed=1).blocks():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2_000_000


def test_an_unknown_table_of_the_sample_is_named() -> None:
    with pytest.raises(MisconfiguredError, match="no table 'nope'"):
        SampleSource("nope", scale=1, seed=1).columns()
