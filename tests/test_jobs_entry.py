"""A warehouse that lets nobody in: what waiting cures, and what only a person does."""

# ruff: noqa: F401, F811
from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl_jobs.refusals import has_no_entry
from tests.support.jobs import query, run_job
from tests.support.servers import Warehouse, database, warehouse


@pytest.mark.parametrize("wrong", ["dbname", "user"])
@pytest.mark.parametrize("module", [("table", "--id", 0), ("pre",), ("final",)])
def test_a_warehouse_of_a_wrong_name_or_user_is_for_a_person(
    database: str, module: tuple[str | int, ...], wrong: str
) -> None:
    ended = run_job(make_conninfo(database, **{wrong: "nowhere"}), *map(str, module))

    assert ended.status == 78, ended.stderr
    assert "cannot enter the warehouse: " in ended.stderr
    assert '"nowhere" does not exist' in ended.stderr
    assert "hint: check the database, user and password" in ended.stderr


def test_a_warehouse_that_is_full_is_worth_another_attempt(database: str) -> None:
    name = conninfo_to_dict(database)["dbname"]
    query(database, "CREATE ROLE latecomer LOGIN")
    query(database, f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    try:
        ended = run_job(make_conninfo(database, user="latecomer"), "pre")
    finally:
        query(database, "DROP ROLE latecomer")

    assert ended.status == 75, ended.stderr
    assert "too many connections for database" in ended.stderr


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('FATAL:  password authentication failed for user "u"', True),
        ('FATAL:  Peer authentication failed for user "u"', True),
        ('FATAL:  role "u" does not exist', True),
        ('FATAL:  role "u" is not permitted to log in', True),
        ('FATAL:  database "d" does not exist', True),
        ('FATAL:  permission denied for database "d"', True),
        ('FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", no encryption', True),
        ("fe_sendauth: no password supplied", True),
        ("SSL error: certificate verify failed", True),
        ('::1: Connection refused\n127.0.0.1: FATAL:  database "d" does not exist', True),
        ('FATAL:  password authentication failed for user "u"\nFATAL:  the database system is starting up', False),
        ("FATAL:  sorry, too many clients already", False),
        ('FATAL:  too many connections for role "u"', False),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", False),
        ("connection timeout expired", False),
        ("Connection refused", False),
    ],
)
def test_what_waiting_does_not_cure_is_known_by_its_words(said: str, *, expected: bool) -> None:
    assert has_no_entry(said) is expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (psycopg.errors.InvalidPassword, True),
        (psycopg.errors.InvalidAuthorizationSpecification, True),
        (psycopg.errors.InvalidCatalogName, True),
        (psycopg.errors.CannotConnectNow, False),
        (psycopg.errors.TooManyConnections, False),
    ],
)
def test_or_by_its_code_in_whatever_language(kind: type[psycopg.Error], *, expected: bool) -> None:
    assert has_no_entry("mot de passe", state=kind.sqlstate or "") is expected
