"""JSON APIs as source, over real sockets: every way of paging, bad moments, what is refused."""

# ruff: noqa: F401, F811, SIM117
from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from time import monotonic

import pytest

from etl_jobs.errors import DataRejectedError, MisconfiguredError, UnavailableError
from etl_jobs.sources.client import Client
from etl_jobs.sources.http import HttpSource
from etl_jobs.sources.patience import Patience
from etl_jobs.tables import SourceSettings, Table
from tests.support.jobs import query, rows
from tests.support.servers import database, warehouse
from tests.support.sources import Answer, Asked, Load, dripping, own_certificate, page, served

SEVEN = [{"id": n, "name": f"n{n}"} for n in range(1, 8)]
COLUMNS = {"id": "integer", "name": "text"}
IDS = [str(n) for n in range(1, 8)]


@pytest.fixture
def load(tmp_path: Path, database: str) -> Load:
    return Load(tmp_path, database, kind="http", top='url = "${API}/v1"')


def source(url: str, *, columns: dict[str, str] = COLUMNS, of_table: dict[str, object] | None = None,
           key: tuple[str, ...] = (), **options: object) -> HttpSource:  # fmt: skip
    options = {"tries": 3, **options}
    table = Table(id=0, name="things", files=(), columns=columns, source=of_table or {}, key=key)
    return HttpSource(SourceSettings(kind="http", url=url, options=options), table)


def ids(blocks: list[bytes]) -> list[str]:
    return [line.split(b",")[0].decode().strip('"') for line in b"".join(blocks).splitlines()[1:]]


def by_number(asked: Asked) -> Answer:
    start = (int(asked.parameters["page"]) - 1) * 3
    return page({"data": {"items": SEVEN[start : start + 3]}})


def by_offset(asked: Asked) -> Answer:
    """A server that never gives more than 2, however many are asked for."""
    start = int(asked.parameters["skip"])
    return page(SEVEN[start : start + 2])


def by_cursor(asked: Asked) -> Answer:
    start = int(asked.parameters.get("after", 0))
    more = {"next": start + 3} if start + 3 < 7 else {"next": None}
    return page({"items": SEVEN[start : start + 3], "meta": more})


def by_link(asked: Asked) -> Answer:
    start = int(asked.parameters.get("from", 0))
    link = {"Link": f'</things?from={start + 3}>; rel="next", </things>; rel="first"'} if start + 3 < 7 else {}
    return page(SEVEN[start : start + 3], **link)


def by_next(asked: Asked) -> Answer:
    start = int(asked.parameters.get("from", 0))
    return page({"items": SEVEN[start : start + 3], "next": f"?from={start + 3}" if start + 3 < 7 else ""})


WAYS: dict[str, tuple[Callable[[Asked], Answer], dict[str, object]]] = {
    "number": (by_number, {"records": "data.items", "page": {"by": "number"}}),
    "offset": (by_offset, {"page": {"by": "offset", "parameter": "skip", "size": 100, "size_parameter": "top"}}),
    "cursor": (by_cursor, {"records": "items", "page": {"by": "cursor", "parameter": "after", "at": "meta.next"}}),
    "link": (by_link, {"page": {"by": "link"}}),
    "next": (by_next, {"records": "items", "page": {"by": "next", "at": "next"}}),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_paging_reads_every_record_once(way: str) -> None:
    answer, options = WAYS[way]
    with served(answer) as (url, asked):
        things = source(url, **options)
        assert things.columns() == ("id", "name")
        assert ids(list(things.blocks())) == IDS
        assert len(asked) == {"number": 4, "offset": 5}.get(way, 3)  # the first page was kept
        assert ids(list(things.blocks())) == IDS


def test_a_load_asks_no_more_often_than_it_has_to(load: Load) -> None:
    load.table("things", COLUMNS)
    counts = []
    with served(lambda _: page(SEVEN)) as (url, asked):
        for command in ("table --id 0", "table --id 0", "table --id 0 --explain"):
            ended = load.run(command, API=url)
            assert ended.status == 0, ended.stderr
            counts.append(len(asked))
            asked.clear()

    assert counts == [2, 2, 1]  # are the columns right, before anything is done; then what is read


def test_records_become_rows_of_the_declared_columns(load: Load) -> None:
    record = {"id": 1, "partner": [7, 'A "quoted", name\n'], "price": 10.10, "big": 0.1234567890123456789, "ok": False,
              "tags": ["a", 'b"', None], "more": {"x": [1.50]}, "at": "2026-01-02T03:04:05Z", "empty": ""}  # fmt: skip
    with served(lambda _: (200, {}, json.dumps([record, {"id": 2}]).replace("0.12345678901234568", "0.1234567890123456789").encode())) as (url, asked):  # fmt: skip # noqa: E501
        load.env |= {"API": url, "TOKEN": "s3cret"}
        load.part = 'headers = { Authorization = "Bearer ${TOKEN}" }'
        load.table("t", {"id": "integer", "partner_id": "integer", "partner": "text", "price": "numeric",
                         "big": "numeric", "ok": "boolean", "tags": "text[]", "more": "jsonb", "at": "timestamptz",
                         "empty": "text"},
                   'source = { path = "things", parameters = { active = 1 },'
                   ' paths = { partner_id = "partner.0", partner = "partner.1" } }')  # fmt: skip
        ended = load.load()

    assert ended.status == 0, ended.stderr
    assert query(load.dsn, "SELECT t::text FROM shop.t ORDER BY id") == [
        ('(1,7,"A ""quoted"", name\n",10.1,0.1234567890123456789,f,"{a,""b\\\\"""",NULL}","{""x"": [1.5]}",'
         '"2026-01-02 03:04:05+00","")',),
        ("(2,,,,,,,,,)",),
    ]  # fmt: skip
    assert (asked[0].path, asked[0].parameters) == ("/v1/things", {"active": "1"})
    assert asked[0].headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("below", "path", "expected", "parameters"),
    [
        ("/v1", "things", "/v1/things", {}),
        ("/v1/", "/a/things?state=posted&x=", "/v1/a/things", {"state": "posted", "x": ""}),
        ("/v1?key=k%2F1&state=new", "things?state=posted", "/v1/things", {"key": "k/1", "state": "posted"}),
        ("/v1/all", "", "/v1/all", {}),
        ("/v1/all", "/", "/v1/all/", {}),
    ],
)
def test_an_url_and_a_path_are_put_together_with_the_parameters_of_both(
    below: str, path: str, expected: str, parameters: dict[str, str]
) -> None:
    with served(lambda asked: page(SEVEN if asked.parameters["page"] == "1" else [])) as (url, asked):
        of_table = {"path": path, "parameters": {"size": 7}}
        assert ids(list(source(f"{url}{below}", of_table=of_table, page={"by": "number"}).blocks())) == IDS

    assert [(a.path, a.parameters) for a in asked] == [
        (expected, {**parameters, "size": "7", "page": number}) for number in ("1", "2")
    ]


@pytest.mark.parametrize(
    ("below", "path", "expected"),
    [
        ("/v1?x=%E9&flag", "things?q=a%20b+c", "x=%E9&flag&q=a%20b+c"),  # no UTF-8, no value, two kinds of blank
        ("/v1?k=%2f", "things?tag=#5&tag=(a,b)&", "k=%2f&tag=%235&tag=(a,b)"),
        ("/v1?", "things?", ""),
        ("/v1#x", "", ""),
    ],
)
@pytest.mark.parametrize("way", ["none", "number"])
def test_the_parameters_of_an_url_are_sent_as_they_are_written(below: str, path: str, expected: str, way: str) -> None:
    options = {"page": {"by": "number"}} if way == "number" else {}
    with served(lambda asked: page(SEVEN if asked.parameters.get("page", "1") == "1" else [])) as (url, asked):
        assert ids(list(source(f"{url}{below}", of_table={"path": path}, **options).blocks())) == IDS

    numbers = ["page=1", "page=2"] if way == "number" else [""]
    assert [a.query for a in asked] == ["&".join(filter(None, [expected, number])) for number in numbers]


def test_what_is_asked_for_takes_the_place_of_a_parameter_of_the_url() -> None:
    with served(lambda asked: page(SEVEN if asked.parameters["page no"] == "1" else [])) as (url, asked):
        of_table = {"path": "things?page%20no=9&state=new&x=1", "parameters": {"state": ["a b", "c"]}}
        paging = {"by": "number", "parameter": "page no"}
        assert ids(list(source(f"{url}?state=old", of_table=of_table, page=paging).blocks())) == IDS

    assert [a.query for a in asked] == [f"x=1&state=a+b&state=c&page+no={number}" for number in (1, 2)]


@pytest.mark.parametrize("where", ["url", "path"])
def test_no_secret_of_an_url_is_told_as_it_is_written_or_meant(where: str) -> None:
    below, path = {"url": ("?token=s3cr%2ft%E9", "things"), "path": ("", "things?token=s3cr%2ft%E9")}[where]
    with served(lambda asked: (400, {}, f"{asked.query} s3cr/t\ufffd s3cr/t\xe9".encode())) as (url, _):
        with pytest.raises(MisconfiguredError) as error:
            list(source(url + below, of_table={"path": path}).blocks())

    assert error.value.message.endswith(": token=*** *** ***")


def test_a_record_of_nothing_but_null_is_a_row(load: Load) -> None:
    pages = {"1": [{"v": "a"}], "2": [{"v": None}], "3": [{"v": "\\."}, {"v": ""}], "4": []}
    load.part = 'page = { by = "number" }'
    load.table("things", {"v": "text"})
    with served(lambda asked: page(pages[asked.parameters["page"]])) as (url, _):
        load.env["API"] = url
        ended = load.load()

    assert ended.status == 0, ended.stderr
    assert query(load.dsn, "SELECT v FROM shop.things ORDER BY v") == [("",), ("\\.",), ("a",), (None,)]


def test_a_bad_value_is_named_with_its_record(load: Load) -> None:
    with served(lambda _: page([*SEVEN, {"id": "x8", "name": "a"}])) as (url, _):
        load.env["API"] = url
        load.table("things", COLUMNS)
        ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "things")) == (65, [])
    assert "/v1/things, record 8, column 'id', value 'x8'" in ended.stderr


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_bad_moment_passes(status: int) -> None:
    answers = [page("busy", status), page("busy", status), page(SEVEN)]
    with served(lambda _: answers.pop(0)) as (url, asked):
        things = source(url)
        things._patience = Patience(tries=3, first_delay=0.01)
        things.columns()

    assert len(asked) == 3


def test_a_connection_that_breaks_is_tried_again() -> None:
    answers = [None, None, page(SEVEN)]
    with served(lambda _: answers.pop(0)) as (url, _), Client(url, patience=Patience(first_delay=0.01)) as client:
        assert client.document(client.get(url)) == SEVEN


def test_the_wait_that_a_server_asks_for_is_kept() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    answers = [page("", 429, Retry_After="7"), page("", 503, Retry_After=soon), page("", 503), page(SEVEN)]
    waited: list[float] = []
    with served(lambda _: answers.pop(0)) as (url, _), Client(url, sleep=waited.append) as client:
        client.get(url)

    assert waited[0] == 7
    assert 80 < waited[1] <= 90
    assert 1 <= waited[2] <= 2


def test_a_server_that_asks_for_too_long_a_wait_is_unavailable_at_once() -> None:
    asked_too_long = r"429 .*: it asks to wait 3,600 seconds, longest_wait is 300 \(tried once\)"
    with served(lambda _: page("", 429, Retry_After="3600")) as (url, asked):
        with Client(url) as client, pytest.raises(UnavailableError, match=asked_too_long):
            client.get(url)

    assert len(asked) == 1


def test_delays_grow_and_end_with_the_last_try() -> None:
    waited: list[float] = []
    with served(lambda _: page("", 500)) as (url, asked), Client(url, sleep=waited.append) as client:
        with pytest.raises(UnavailableError, match="500 Internal Server Error"):
            client.get(url)

    assert len(asked) == 6
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waited))


def test_the_rate_is_not_exceeded() -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with served(lambda _: page([])) as (url, asked):
        with Client(url, patience=Patience(rate=4), sleep=sleep, clock=lambda: now[0]) as client:
            for _ in range(5):
                client.get(url)

    assert len(asked) == 5
    assert now[0] == 101.0


def test_a_request_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    from threading import Event

    over = Event()

    def slow(_: Asked) -> Answer:
        over.wait(20)
        return page([])

    with served(slow) as (url, asked):
        try:
            with Client(url, patience=Patience(timeout=0.05, tries=2, first_delay=0.01)) as client:
                with pytest.raises(UnavailableError, match=r"ReadTimeout.*tried 2 times"):
                    client.get(url)
        finally:
            over.set()

    assert len(asked) == 2


def test_an_api_that_dies_in_the_middle_leaves_the_table_and_says_what_was_read(load: Load) -> None:
    alive = [True]

    def answer(asked: Asked) -> Answer | None:
        if not alive[0] and asked.parameters["page"] == "3":
            return None
        return by_number(asked)

    load.part = 'tries = 2\nrecords = "data.items"\npage = { by = "number" }'
    load.table("things", COLUMNS, 'key = ["id"]')
    with served(answer) as (url, _):
        load.env["API"] = url
        assert load.load().status == 0
        query(load.dsn, "UPDATE shop.things SET name = 'before'")
        alive[0] = False
        ended = load.load()

    assert ended.status == 75
    assert "/v1/things failed after 6 rows (54 bytes) were read: page 3: RemoteProtocolError" in ended.stderr
    assert rows(load.dsn, "shop", "things") == [(n, "before") for n in range(1, 8)]


REFUSED: dict[str, tuple[Answer, int, str]] = {
    "login": (page("who are you", 401), 78, "401 Unauthorized: \"who are you\""),
    "path": (page("", 404), 78, "404 Not Found"),
    "html": ((200, {}, b"<html>\x1b[31mLog in"), 65, "invalid character (byte 0)): <html> [31mLog in"),
    "no list": (page({"items": []}), 65, "in the answer is no list of records"),
    "no records": (page([1, 2]), 65, "in the answer is no list of records"),
    "typo": (page([{"id": 1, "nam": "a"}]), 65, "column 'name': no record has 'name' (did you mean 'nam'?)"),
    "unseen pages": (page(SEVEN, Link='</x>; rel="next"'), 65, "there are more pages than this one"),
    "moved": ((302, {"Location": "ftp://x/"}, b""), 78, "it has moved to ftp://x/"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_another_try_cannot_cure_is_said_at_once(load: Load, case: str) -> None:
    answer, status, said = REFUSED[case]
    load.table("things", COLUMNS)
    with served(lambda _: answer) as (url, asked):
        load.env["API"] = url
        ended = load.load()

    assert (ended.status, len(asked)) == (status, 1)
    assert said in ended.stderr


LATER: dict[str, tuple[object, str]] = {
    "another shape": ({"items": SEVEN}, """at 'data' is no list of records: {"items": [{"id": 1, """),
    "an error": ({"error": "quota exceeded"}, """at 'data' is no list of records: {"error": "quota exceeded"}"""),
    "null": ({"data": None}, """at 'data' is no list of records: {"data": null}"""),
    "no objects": ({"data": [1]}, """at 'data' is no list of records: {"data": [1]}"""),
    "another name": (
        {"data": [{"id": 8, "label": "n8"}, {"id": 9, "label": "n9"}]},
        "column 'name': no record of this page has 'name' any more, those before all had it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LATER)
def test_a_later_page_of_another_shape_is_said_with_what_was_read(load: Load, case: str) -> None:
    later, said = LATER[case]
    load.part = 'records = "data"\npage = { by = "number" }'
    load.table("things", COLUMNS)
    with served(lambda asked: page({"data": SEVEN} if asked.parameters["page"] == "1" else later)) as (url, _):
        load.env["API"] = url
        ended = load.load()

    assert (ended.status, rows(load.dsn, "shop", "things")) == (65, [])
    assert f"/v1/things failed after 7 rows (63 bytes) were read: page 2: {said}" in ended.stderr


ROW = {"id": 1, "name": "DE99SECRET"}
QUIET: dict[str, tuple[Answer, str]] = {
    "a list elsewhere": (page({"items": [ROW], "more": 1}), "is no list of records: an object with 'items', 'more'"),
    "no objects": (page([["DE99SECRET"], 2]), "is no list of records: a list of 2"),
    "objects by a value": (page({"DE99SECRET": ROW, "x": {}}), "is no list of records: an object of 2 objects"),
    "numbers by a value": (page({"n": 1, "DE99SECRET": 2}), "is no list of records: an object with 'n', 1 more"),
    "nothing": (page({}), "is no list of records: an object of nothing"),
    "a text": (page("DE99SECRET"), "is no list of records: a text"),
    "null": (page(None), "is no list of records: null"),
    "no JSON": (
        (200, {}, b"[{'name': 'DE99SECRET'}]"),
        "the answer is not JSON (JSON is malformed: object keys must be strings (byte 2)): 24 bytes",
    ),
}


@pytest.mark.parametrize("case", QUIET)
def test_of_records_with_secret_columns_only_the_form_is_told(load: Load, case: str) -> None:
    answer, said = QUIET[case]
    load.table("things", COLUMNS, 'secret = ["name"]')
    with served(lambda _: answer) as (url, _):
        load.env["API"] = url
        ended = load.load()

    assert (ended.status, said in ended.stderr) == (65, True), ended.stderr
    assert "DE99SECRET" not in ended.stdout + ended.stderr


def test_what_records_may_leave_out_may_be_missing_on_a_page() -> None:
    pages = {"1": [*SEVEN, {"id": 8}], "2": [{"id": 9}], "3": []}
    with served(lambda asked: page(pages[asked.parameters["page"]])) as (url, _):
        assert ids(list(source(url, page={"by": "number"}).blocks())) == [*IDS, "8", "9"]


def test_a_server_that_ignores_the_page_is_found_out() -> None:
    with served(lambda _: page(SEVEN)) as (url, _):
        with pytest.raises(DataRejectedError, match=r"after 7 rows \(.*\) is the same again"):
            list(source(url, page={"by": "number"}).blocks())


def test_no_header_goes_to_another_server(load: Load) -> None:
    load.part = 'headers = { Authorization = "Bearer s3cret", "X-Api-Key" = "s3cret" }'
    load.table("things", COLUMNS)
    with served(lambda _: page(SEVEN)) as (elsewhere, strangers):
        with served(lambda _: (302, {"Location": f"{elsewhere}/things?key=s3cret"}, b"")) as (url, _):
            load.env["API"] = url
            ended = load.load()

    assert (ended.status, strangers) == (78, [])
    assert f"it has moved to {elsewhere}/things" in ended.stderr
    assert "hint: change source.url" in ended.stderr
    assert "s3cret" not in ended.stderr


def test_what_has_moved_on_the_same_server_is_followed_with_its_headers() -> None:
    def answer(asked: Asked) -> Answer:
        return page(SEVEN) if asked.path == "/new" else (301, {"Location": "../new"}, b"")

    with served(answer) as (url, asked):
        assert ids(list(source(f"{url}/v1", headers={"X-Api-Key": "k"}).blocks())) == IDS

    assert [(a.path, a.headers["X-Api-Key"]) for a in asked] == [("/v1/things", "k"), ("/new", "k")]


def test_a_redirect_in_a_circle_is_said(load: Load) -> None:
    load.table("things", COLUMNS)
    with served(lambda asked: (302, {"Location": asked.path}, b"")) as (url, _):
        load.env["API"] = url
        ended = load.load()

    assert ended.status == 78
    assert "/v1/things failed: it redirects in a circle" in ended.stderr


@pytest.mark.parametrize("token", ["s3cret ", "s3cret\n", "s3cr\u00e9t", "s3cret\x00x", "s3cret\r\nX: y"])
def test_a_header_that_cannot_be_sent_is_named_without_its_value(load: Load, token: str) -> None:
    value = json.dumps(f"Bearer {token}", ensure_ascii=False)  # TOML writes these as JSON does
    load.part = f"headers = {{ Authorization = {value}, Accept = 'application/json' }}"
    load.table("things", COLUMNS)
    with served(lambda _: page(SEVEN)) as (url, asked):
        load.env["API"] = url
        ended = load.load()

    assert (ended.status, asked) == (78, [])
    assert ended.stderr.startswith("error: source.http.headers: the value of 'Authorization' ")
    assert "s3c" not in ended.stderr


@pytest.mark.parametrize("name", ["X Api", "", "X:", "Ä"])
def test_a_header_without_a_proper_name_is_refused(name: str) -> None:
    with pytest.raises(MisconfiguredError, match="is no name of a header"):
        source("http://127.0.0.1:1", headers={name: "x"}).columns()


BAD_MOMENTS: dict[str, Answer] = {
    "an encoding that is none": (200, {"Content-Encoding": "gzip"}, b"no gzip"),
    "a wait of no number": (429, {"Retry-After": "²"}, b""),
    "a wait before time": (429, {"Retry-After": "Mon, 01 Jan 0001 00:00:00 -2359"}, b""),
    "a wait of no time": (500, {"Retry-After": "soon"}, b""),
}


@pytest.mark.parametrize("case", BAD_MOMENTS)
def test_nonsense_in_an_answer_is_a_bad_moment(case: str) -> None:
    answers = [BAD_MOMENTS[case], page(SEVEN)]
    with served(lambda _: answers.pop(0)) as (url, _), Client(url, patience=Patience(first_delay=0.01)) as client:
        assert client.document(client.get(url)) == SEVEN


def test_an_answer_that_drips_is_given_up_like_one_that_does_not_come() -> None:
    with dripping() as url, Client(url, patience=Patience(timeout=0.5, tries=2, first_delay=0.01)) as client:
        began = monotonic()
        with pytest.raises(
            UnavailableError, match=r"no whole answer within 0.5 seconds, \d+ bytes of one \(tried 2 times\)"
        ):
            client.get(url)

    assert monotonic() - began < 5


@pytest.mark.parametrize(("content", "said"), [
    (b'[{"id": 1}, {"id" 2}]', '(JSON is malformed: expected \':\' (byte 18)): [{"id": 1}, {"id" 2}]'),
    (b"", "(Input data was truncated): (empty)"),
    (b'["\xe9"]', "(no UTF-8 (byte 2)): "),
])  # fmt: skip
def test_what_is_no_json_is_shown_with_the_place(content: bytes, said: str) -> None:
    with served(lambda _: (200, {}, content)) as (url, _):
        with pytest.raises(DataRejectedError) as error:
            source(url).columns()

    assert f"failed: the answer is not JSON {said}" in error.value.message


def test_a_byte_order_mark_is_passed_over() -> None:
    with served(lambda _: (200, {}, b"\xef\xbb\xbf" + json.dumps(SEVEN).encode())) as (url, _):
        assert ids(list(source(url).blocks())) == IDS


def test_a_certificate_that_is_not_believed_is_no_bad_moment(tmp_path: Path) -> None:
    with served(lambda _: page(SEVEN), tls=own_certificate(tmp_path)) as (url, asked):
        with Client(url) as client, pytest.raises(MisconfiguredError, match="CERTIFICATE_VERIFY_FAILED") as error:
            client.get(url)

    assert asked == []
    assert "certificate" in error.value.hint


@pytest.mark.parametrize("key", [(), ("id",)])
def test_a_server_that_ignores_the_page_is_found_out_whatever_else_it_says(key: tuple[str, ...]) -> None:
    def answer(_: Asked) -> Answer:
        more = {"at": len(asked)} if key else {}  # rows with a key are told by what is read of them
        return page({"items": [{**record, **more} for record in SEVEN], "request": len(asked)})

    with served(answer) as (url, asked):
        with pytest.raises(DataRejectedError, match=r"after 7 rows \(.*\) is the same again"):
            list(source(url, key=key, records="items", page={"by": "number"}).blocks())

    assert len(asked) == 2


CIRCLES: dict[str, dict[str, object]] = {
    "cursor": {"by": "cursor", "at": "next"},
    "next": {"by": "next", "at": "link"},
    "link": {"by": "link"},
}


@pytest.mark.parametrize("way", CIRCLES)
def test_pages_in_a_circle_have_an_end(way: str) -> None:
    def answer(asked: Asked) -> Answer:
        here = int(asked.parameters.get("cursor", 0))
        after = {0: 1, 1: 2, 2: 1}[here]
        following = {"next": after, "link": f"/things?cursor={after}", "request": len(requests)}
        return page({"items": [{"id": here, "name": len(requests)}], **following},
                    Link=f'</things?cursor={after}>; rel="next"')  # fmt: skip

    with served(answer) as (url, requests):
        with pytest.raises(DataRejectedError, match=r"after 3 rows \(.*\) has been read before: see source.page"):
            list(source(url, records="items", page=CIRCLES[way]).blocks())

    assert len(requests) == 3


def test_empty_pages_in_the_middle_end_nothing_where_a_cursor_goes_on() -> None:
    left = [([], 1), (SEVEN[:4], 2), ([], 3), ([], 4), (SEVEN[4:], None)]
    with served(lambda _: page(dict(zip(("items", "next"), left.pop(0), strict=True)))) as (url, _):
        blocks = list(source(url, records="items", page={"by": "cursor", "at": "next"}).blocks())

    assert ids(blocks) == IDS


def test_a_total_ends_the_reading_and_must_be_right() -> None:
    def answer(asked: Asked) -> Answer:
        start = int(asked.parameters["offset"])
        return page({"items": SEVEN[start : start + 4], "total": total})

    options = {"records": "items", "page": {"by": "offset", "total": "total"}}
    with served(answer) as (url, asked):
        total = 7
        assert ids(list(source(url, **options).blocks())) == IDS
        assert len(asked) == 2
        total = 8
        with pytest.raises(UnavailableError, match=r"7 rows \(.*\) were read, 8 announced"):
            list(source(url, **options).blocks())


@pytest.mark.parametrize("url", ["http://user:s3cret@127.0.0.1:1/v1?key=s3cret", "http://user:s3cret@x:y/"])
def test_what_an_url_hides_is_in_no_message(load: Load, url: str) -> None:
    load.env["API"] = url
    load.part = "tries = 1"
    load.table("things", COLUMNS)

    ended = load.load()

    assert ended.status in (75, 78)
    assert "s3cret" not in ended.stderr


def test_columns_must_be_declared() -> None:
    with pytest.raises(MisconfiguredError, match="table 'things': 'columns' is missing"):
        source("http://x", columns={})


def test_a_next_page_on_another_server_gets_no_password() -> None:
    with served(lambda _: page({"items": SEVEN, "next": "https://elsewhere.example/x"})) as (url, _):
        with pytest.raises(DataRejectedError, match="is on another server"):
            list(source(url, records="items", page={"by": "next", "at": "next"}).blocks())


def test_mistakes_in_the_catalogue_are_said_together(load: Load) -> None:
    load.env["API"] = "http://x"
    load.part = 'tries = 0\nrate = -1\npage = { by = "pages", size = 5 }\nheader = {}'
    load.table("t", COLUMNS, 'source = { page = { by = "cursor" }, paths = { id = 1 } }')

    said = load.load().stderr

    for problem in ("source.http.tries: expected a number above 0", "source.http.rate: expected requests per second",
                    "page.by: expected 'none' or 'number'", "size needs `size_parameter`",
                    "unknown key 'header' (did you",
                    "table 't': source.page: by 'cursor' needs `at`", "paths: expected a table of texts"):  # fmt: skip
        assert problem in said


LINKS = [
    "</things?from=3>; rel=next",
    '</things?from=3>; rel="NEXT"',
    '</things?from=3>; Rel="next last"',
    '</things?ids=1,2&from=3>; title="a, b; c"; rel="next", </x>; rel="last"',
    '</x>; rel="prev", </things?from=3>; rel="next"',
]


@pytest.mark.parametrize("link", LINKS)
def test_the_next_link_is_found_however_it_is_written(link: str) -> None:
    def answer(asked: Asked) -> Answer:
        return page(SEVEN[3:]) if asked.parameters.get("from") == "3" else page(SEVEN[:3], Link=link)

    with served(answer) as (url, _):
        assert ids(list(source(url, page={"by": "link"}).blocks())) == IDS
        with pytest.raises(DataRejectedError, match="there are more pages than this one"):
            list(source(url).blocks())


PARTS = {"of more": (206, "items 0-6/8"), "of nobody knows": (206, "0-6/*"), "of more all the same": (200, "0-6/100"),
         "unsaid": (206, "")}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_a_part_of_the_records_is_not_taken_for_all(case: str) -> None:
    status, said = PARTS[case]
    with served(lambda _: page(SEVEN, status, Content_Range=said)) as (url, _):
        with pytest.raises(DataRejectedError, match="there are more pages than this one"):
            list(source(url).blocks())

    with served(lambda _: page(SEVEN, 206, Content_Range="0-6/7")) as (url, _):
        assert ids(list(source(url).blocks())) == IDS


@pytest.mark.parametrize(
    ("by", "at", "document", "meant"),
    [
        ("cursor", "meta.nxt", {"meta": {"next": "c"}}, "next"),
        ("cursor", "next_cursor", {"nextCursor": "c"}, "nextCursor"),
        ("next", "link.next", {"links": {"next": "/x"}}, "links"),
        ("next", "links.next", {"Link": {"next": "/x"}}, "Link"),
        ("cursor", "next_ids", {"text_id": 3, "next_id": 4}, "next_id"),
        ("cursor", "next_curser", {"next_course": 3, "next_cursor": 4}, "next_cursor"),
        ("cursor", "meta.next_id", {"Meta": {"next_id": 4}}, "Meta"),
    ],
)
def test_a_next_page_under_another_name_is_not_the_end(by: str, at: str, document: object, meant: str) -> None:
    with served(lambda _: page({"items": SEVEN, **document})) as (url, _):
        with pytest.raises(DataRejectedError) as error:
            list(source(url, records="items", page={"by": by, "at": at}).blocks())

    read = r"/things failed after 7 rows (63 bytes) were read: page 1: "
    assert f"{read}nothing is at {at!r} (did you mean {meant!r}?)" in error.value.message


@pytest.mark.parametrize(
    "last", [{}, {"prev_cursor": "c"}, {"prev_cursor": "c", "next_cursor": None}, {"text_cursor": None}]
)
def test_the_last_page_may_leave_the_cursor_out(last: dict[str, object]) -> None:
    pages = [{"items": SEVEN[:3], "next_cursor": "c"}, {"items": SEVEN[3:], **last}]
    with served(lambda _: page(pages.pop(0))) as (url, _):
        assert ids(list(source(url, records="items", page={"by": "cursor", "at": "next_cursor"}).blocks())) == IDS

    with served(lambda _: page({"items": SEVEN, **last})) as (url, _):
        assert ids(list(source(url, records="items", page={"by": "cursor", "at": "next_cursor"}).blocks())) == IDS


ONE_PAGE: list[tuple[str, str, object]] = [
    ("cursor", "next_id", {"text_id": 5}),
    ("cursor", "next_cursor", {"next_course": "c"}),
    ("cursor", "page", {"pages": 1}),
    ("cursor", "next_id", {"next_ids": []}),
    ("cursor", "next_id", {"NextId": {"a": 1}}),
    ("cursor", "nxt", {"next": True}),
    ("cursor", "nxt", {"next": 0}),
    ("next", "nextPage", {"next_page": 1}),
    ("next", "nxt", {"next": ["/x"]}),
    ("next", "link.next", {"links": {"self": "/x"}}),
    ("next", "link.next", {"links": []}),
    ("next", "link.next", {"link": {"text": "/x", "nexts": None}}),
]


@pytest.mark.parametrize(("by", "at", "document"), ONE_PAGE)
def test_a_name_that_merely_looks_like_it_is_no_next_page(by: str, at: str, document: dict[str, object]) -> None:
    with served(lambda _: page({"items": SEVEN, **document})) as (url, asked):
        assert ids(list(source(url, records="items", page={"by": by, "at": at}).blocks())) == IDS

    assert len(asked) == 1


def test_after_the_first_page_a_name_that_is_nearly_the_same_is_no_cursor() -> None:
    pages = [{"items": SEVEN[:3], "next_cursor": "c"}, {"items": SEVEN[3:], "nextCursor": "c"}]
    with served(lambda _: page(pages.pop(0))) as (url, _):
        assert ids(list(source(url, records="items", page={"by": "cursor", "at": "next_cursor"}).blocks())) == IDS


def test_a_cursor_of_several_values_is_refused() -> None:
    with served(lambda _: page({"items": SEVEN, "next": {"a": 1}})) as (url, _):
        with pytest.raises(DataRejectedError, match="page 1: the cursor at 'next' is no text and no number"):
            list(source(url, records="items", page={"by": "cursor", "at": "next"}).blocks())


def test_a_next_page_on_another_server_is_said_with_what_was_read() -> None:
    with served(lambda _: page(SEVEN, Link='<https://elsewhere.example/x>; rel="next"')) as (url, _):
        said = r"/things failed after 7 rows \(63 bytes\) were read: page 1: the next page is on another server"
        with pytest.raises(DataRejectedError, match=said):
            list(source(url, page={"by": "link"}).blocks())


@pytest.mark.parametrize("total", [7, 7.0, "7"])
def test_a_total_may_be_written_in_several_ways(total: object) -> None:
    def answer(asked: Asked) -> Answer:
        start = int(asked.parameters["offset"])
        return page({"items": SEVEN[start : start + 4], **({} if start else {"total": announced})})

    options = {"records": "items", "page": {"by": "offset", "total": "total"}}
    announced = total
    with served(answer) as (url, _):
        assert ids(list(source(url, **options).blocks())) == IDS
        announced = "8"
        with pytest.raises(UnavailableError, match=r"7 rows \(.*\) were read, 8 announced"):
            list(source(url, **options).blocks())


@pytest.mark.parametrize("document", [{}, {"total": None}, {"total": True}, {"total": "7+"}, {"total": 7.5}])
def test_a_total_that_is_none_is_said(document: dict[str, object]) -> None:
    with served(lambda _: page({"items": SEVEN, **document})) as (url, _):
        with pytest.raises(DataRejectedError, match="page 1: at 'total' is no number of records") as error:
            list(source(url, records="items", page={"by": "offset", "total": "total"}).blocks())

    assert "`total`" in error.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"id":1,"name":' + b"[" * 5000 + b"]" * 5000 + b"}]", "the answer's JSON is nested too deeply"),
        (b'[{"id":1,"name":"a\\ud83d b"}]', "not JSON (half of a pair of surrogates (byte 18))"),
        (b'[{"id":1,"name":NaN}]', "not JSON (JSON is malformed: invalid character (byte 16))"),
    ],
)
def test_what_no_reader_of_json_takes_is_said(content: bytes, said: str) -> None:
    with served(lambda _: (200, {}, content)) as (url, _), pytest.raises(DataRejectedError) as error:
        source(url).columns()

    assert said in error.value.message


def test_an_answer_that_breaks_off_without_a_sign_is_another_matter_than_bad_json() -> None:
    from tests.support.sources import saying

    with saying(b'HTTP/1.1 200 OK\r\n\r\n[{"id": 1, "na') as url, pytest.raises(UnavailableError) as error:
        source(url).columns()

    assert "the answer is not JSON (Input data was truncated)" in error.value.message
    assert error.value.hint == "it broke off: the table is as it was"
