"""How long and how large an answer may be: what drips, what hangs, what keeps coming; over real sockets."""

# ruff: noqa: SIM117
from __future__ import annotations

import gzip
import json
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from etl_jobs.errors import MisconfiguredError, UnavailableError
from etl_jobs.sources import deadline
from etl_jobs.sources.client import Client
from etl_jobs.sources.patience import Patience
from tests.support.sources import Answer, Asked, dripping, own_certificate, page, served

BRIEF = Patience(timeout=0.5, tries=2, first_delay=0.01)
NOT_WHOLE = r"no whole answer within 0\.5 seconds"
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "nothing at all": (b"", b""),
    "the status": (b"HTTP/1.1 2", b"0"),
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: a\r\n"),
    "news that it will take a while": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("what", DRIPS)
def test_an_answer_that_drips_is_given_up_whatever_drips(what: str) -> None:
    begin, piece = DRIPS[what]
    with dripping(begin, piece=piece) as url, Client(url, patience=BRIEF) as client:
        began = monotonic()
        with pytest.raises(UnavailableError, match=r"(no whole answer within 0.5 seconds|timed out).*tried 2 times"):
            client.get(url)

    assert monotonic() - began < 5


def test_headers_that_drip_over_tls_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = own_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.crt"))
    with dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", piece=b"a", tls=certificate) as url:
        with Client(url, patience=BRIEF) as client, pytest.raises(UnavailableError, match=NOT_WHOLE):
            client.get(url)


def test_headers_that_drip_on_a_connection_that_was_used_before_are_given_up() -> None:
    first = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
    once = Patience(timeout=0.5, tries=1)
    with dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", piece=b"a", first=first) as url, Client(url, patience=once) as client:
        assert client.document(client.get(url)) == []
        with pytest.raises(UnavailableError, match=NOT_WHOLE):
            client.get(url)


def test_a_redirect_begins_no_new_time() -> None:
    def answer(asked: Asked) -> Answer:
        over.wait(0.3)
        return 302, {"Location": f"/{len(requests)}"}, b""

    over = Event()
    with served(answer) as (url, requests), Client(url, patience=BRIEF) as client:
        with pytest.raises(UnavailableError, match=NOT_WHOLE):
            client.get(url)
        over.set()

    assert len(requests) <= 4


def test_a_large_answer_that_keeps_coming_is_read_to_its_end() -> None:
    pieces = 15
    content = json.dumps(["x" * 997] * 20 * pieces).encode()
    begin = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    piece = content[: len(content) // pieces]  # all the same but for where they end
    short = Patience(timeout=0.2, tries=1)
    with dripping(begin, piece=piece) as url, Client(url, patience=short) as client:
        began = monotonic()
        answer = client.get(url)

    assert len(answer.content) == len(content)
    assert monotonic() - began > 1


def test_an_answer_without_an_end_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LARGEST", 50_000)
    begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with dripping(begin, piece=b"8000\r\n" + b" " * 0x8000 + b"\r\n") as url, Client(url) as client:
        with pytest.raises(MisconfiguredError, match="an answer of more than 50,000 bytes") as error:
            client.get(url)

    assert error.value.hint == "ask for smaller pages"


PLAIN = {"Content-Type": "application/json"}
GZIP = {**PLAIN, "Content-Encoding": "gzip"}


@pytest.mark.parametrize(("headers", "content"), [(PLAIN, b" " * 200_000), (GZIP, gzip.compress(b" " * 30_000_000))])
def test_the_limit_of_size_is_for_what_lies_in_memory(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], content: bytes
) -> None:
    monkeypatch.setattr(deadline, "LARGEST", 100_000)
    with served(lambda _: (200, headers, content)) as (url, asked), Client(url) as client:
        with pytest.raises(MisconfiguredError, match="an answer of more than 100,000 bytes"):
            client.get(url)

    assert len(asked) == 1


def test_an_answer_that_is_compressed_and_small_enough_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LARGEST", 100_000)
    document = ["x" * 49_990, "y" * 49_990]
    with served(lambda _: (200, GZIP, gzip.compress(json.dumps(document).encode()))) as (url, _), Client(url) as client:
        assert client.document(client.get(url)) == document
        assert client.document(client.get(url)) == document  # over the same connection
        assert len(client._connections) == 1


def test_many_requests_leave_no_thread_and_no_list_of_dead_connections() -> None:
    import threading

    before = threading.active_count()
    with served(lambda _: page([], Connection="close")) as (url, _), Client(url) as client:
        for _ in range(20):
            client.get(url)
        assert len(client._connections) <= 2

    assert threading.active_count() <= before + 1
