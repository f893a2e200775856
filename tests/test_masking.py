"""What is a secret, and that it is hidden: all of it, nothing else, however the bytes arrive."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from time import perf_counter
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_runner.events import AttemptExited, JobFinished, StopReason, StopRequested
from etl_runner.masking import MASK, Masker, forms_of
from etl_runner.model import Outcome
from etl_runner.secrecy import is_secret, is_secret_name, passwords_in, secrets_in

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"

# names and values


@pytest.mark.parametrize(
    "name",
    [
        "PGPASSWORD", "DB_PASSWORD", "db_password", "FTP_PASSWD", "SSH_PASSPHRASE", "CLIENT_SECRET", "GITHUB_TOKEN",
        "ERP_API_KEY", "APIKEY", "TLS_PRIVATE_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "DB_PASS", "DB_PWD",
        "SECRET_KEY",
    ],
)  # fmt: skip
def test_usual_names_are_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["PWD", "OLDPWD", "SSH_ASKPASS", "MAX_TOKENS", "TOKEN_FILE", "KEYBOARD", "SORT_KEY", "AWS_ACCESS_KEY_ID", ""],
)
def test_other_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_names_and_globs_of_the_pipeline_are_secrets() -> None:
    assert [is_secret_name(name, ("ERP_*", "PIN")) for name in ("ERP_CODE", "PIN", "PINS")] == [True, True, False]


@pytest.mark.parametrize(
    ("value", "passwords"),
    [
        ("postgresql://etl:hunter2@db/shop", {"hunter2"}),
        ("postgresql+psycopg://etl:p%40ss:w@db:5432/shop?sslmode=require", {"p%40ss:w"}),
        ("redis://:topsecret@cache:6379/0", {"topsecret"}),
        ("postgres://u:with@sign@db/x", {"with@sign"}),
        ("https://x.example/hook?a=1&token=abcdef12", {"abcdef12"}),
        ("postgresql:///shop?host=/run&password=hunter2", {"hunter2"}),
        ("host=db user=etl password=hunter2 dbname=shop", {"hunter2"}),
        (r"host=db password='it\'s one' dbname=shop", {"it's one"}),
        ("Server=db;Pwd=hunter2;Database=shop", {"hunter2"}),
        ("postgresql://postgres:postgres@db/shop", set()),
        ("postgresql://db:5432/shop", set()),
        ("postgresql://etl@db/shop", set()),
        ("http://proxy:8080", set()),
        ("12:30 key=value user@host", set()),
    ],
)
def test_passwords_are_found_inside_urls_and_connection_strings(value: str, passwords: set[str]) -> None:
    assert passwords_in(value) == passwords
    assert is_secret("ANY_NAME", value) == bool(passwords)


def test_short_values_are_not_looked_for_unless_they_are_named() -> None:
    env = {"A_TOKEN": "abcde", "PIN": "1234", "B_TOKEN": "abcdef", "X_URL": "x://u:12345@h", "NAME": "hello world"}

    assert secrets_in(env.items()) == {"abcdef"}
    assert secrets_in(env.items(), ("PIN", "X_URL")) == {"abcdef", "1234", "12345", "x://u:12345@h"}


# streams


def masked(secrets: Iterable[str], chunks: Iterable[bytes]) -> bytes:
    stream = Masker(secrets).stream()
    return b"".join([stream.feed(chunk) for chunk in chunks]) + stream.end()


def expected(secrets: Iterable[str], text: bytes) -> bytes:
    """The same by the book: every byte of every occurrence is marked; one mask for what overlaps."""
    forms = {form for secret in secrets for form in forms_of(secret)}
    found = sorted((i, i + len(f)) for f in forms for i in range(len(text)) if text.startswith(f, i))
    out, at, reach = b"", 0, 0
    for start, stop in found:
        if start >= reach:
            out += text[at:start] + MASK.encode()
        at = reach = max(reach, stop)
    return out + text[at:]


letters = st.text('ab%=+/\n "é', min_size=4, max_size=9)
pieces = st.one_of(letters, st.text(max_size=6), st.sampled_from(["", "\n", "a", "ab"]))
WAYS: list[Callable[[str], str]] = [
    str,
    quote,
    quote_plus,
    lambda s: quote(s, safe="").lower(),
    json.dumps,
    lambda s: b64encode(s.encode()).decode(),
    lambda s: b64encode(b"x" + s.encode() + b"y").decode(),
    lambda s: urlsafe_b64encode(b"user:" + s.encode()).decode(),
    lambda s: s[: len(s) // 2],
    lambda s: s[: len(s) // 2] + s,
]


@given(st.lists(letters, min_size=1, max_size=3), st.data())
def test_every_byte_of_a_secret_is_hidden_and_nothing_else_however_the_bytes_arrive(
    secrets: list[str], data: st.DataObject
) -> None:
    written = st.builds(lambda way, secret: way(secret), st.sampled_from(WAYS), st.sampled_from(secrets))
    text = "".join(data.draw(st.lists(st.one_of(pieces, written), max_size=12))).encode("utf-8", "surrogatepass")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    told = masked(secrets, chunks)

    assert told == expected(secrets, text)
    assert told == masked(secrets, [text[i : i + 1] for i in range(len(text))])


@pytest.mark.parametrize(
    "written",
    [
        'p&s "w/\u00f6\\d',
        "p%26s%20%22w%2F%C3%B6%5Cd",
        "p%26s%20%22w/%C3%B6%5Cd",
        "p%26s+%22w%2F%C3%B6%5Cd",
        "p%26s%20%22w%2f%c3%b6%5cd",
        r"p&s \"w/\u00f6\\d",
        'p&s \\"w/\u00f6\\\\d',
    ],
)
def test_a_secret_is_hidden_in_whatever_way_it_is_written(written: str) -> None:
    assert masked(['p&s "w/\u00f6\\d'], [f"<{written}>".encode()]) == b"<***>"


@given(
    st.text("abcdefgh0123456789-_.!~", min_size=6, max_size=40), st.binary(max_size=8), st.binary(max_size=8), st.data()
)
def test_base64_with_any_neighbours_is_hidden(secret: str, before: bytes, after: bytes, data: st.DataObject) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        written = encode(before + secret.encode() + after)
        cut = data.draw(st.integers(0, len(written)))

        told = masked([secret], [written[:cut], written[cut:]])

        digits = told.replace(MASK.encode(), b"", 1).rstrip(b"=")
        assert MASK.encode() in told
        assert len(digits) <= -(-len(before) * 8 // 6) + -(-len(after) * 8 // 6) + 2  # those of the neighbours


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_without_a_secret_in_it_a_stream_is_unchanged(text: bytes, cuts: list[int]) -> None:
    cuts = sorted(cuts)

    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert masked(["correct horse battery"], chunks) == text


def test_only_the_possible_beginning_of_a_secret_is_held_back() -> None:
    stream = Masker(["hunter2"]).stream()

    assert stream.feed(b"a line\nand a hunt") == b"a line\nand a "
    assert stream.is_holding
    assert stream.feed(b"ing dog") == b"hunting dog"
    assert not stream.is_holding


def test_after_a_while_of_nothing_a_short_beginning_is_shown_and_the_rest_of_the_secret_still_hidden() -> None:
    stream = Masker(["hunter2"]).stream()

    assert stream.feed(b"with h") == b"with "
    assert stream.idle() == b"h"
    assert stream.idle() == b""
    assert stream.feed(b"unt") == b""
    assert stream.idle() == b""  # three letters more would be too many
    assert stream.feed(b"er2!") == b"***!"


@given(st.lists(st.sampled_from([b"h", b"hu", b"nter2", b"hunter2", b"\n", b"unter", b"2", None]), max_size=12))
def test_pauses_never_show_more_than_two_bytes_of_a_secret(steps: list[bytes | None]) -> None:
    stream, text, told = Masker(["hunter2"]).stream(), b"", b""
    for step in steps:
        text += step or b""
        told += stream.idle() if step is None else stream.feed(step)
    told += stream.end()

    pieces = told.split(MASK.encode())
    assert b"hunter2" not in told
    assert len(pieces) - 1 == text.count(b"hunter2")
    hidden = text.split(b"hunter2")
    for shown, kept in zip(pieces[:-1], hidden[:-1], strict=True):
        assert shown in {kept + early for early in (b"", b"h", b"hu")}
    assert pieces[-1] == hidden[-1]


def test_each_line_of_a_key_is_hidden_in_whatever_way_lines_are_joined() -> None:
    for written in (PEM, PEM.replace("\n", "\r\n"), json.dumps(PEM), PEM.splitlines()[2]):
        told = masked([PEM], [written.encode()]).decode()

        assert "AASC" not in told
        assert "MIIE" not in told


def test_masking_keeps_up_with_a_flood() -> None:
    chunk = b"".join(b"%d rows of %d were copied to the table\n" % (n * 7919, n) for n in range(1500))[:65536]
    stream = Masker([f"S3cret-{n}-{n * 104729}/+" for n in range(6)]).stream()
    begun = perf_counter()

    for _ in range(300):
        stream.feed(chunk)

    assert 300 * len(chunk) / (perf_counter() - begun) > 30e6


# texts, events


def test_a_masker_without_secrets_is_false_and_changes_nothing() -> None:
    masker = Masker([])
    event = AttemptExited(job="a", attempt=1, seconds=0.1, exit=1, metrics={"x": "y"})

    assert not masker
    assert masker.struct(event) is event
    assert masker.text("abc") == "abc"
    assert masker.stream().feed(b"abc") == b"abc"


def test_texts_that_are_no_unicode_are_masked_too() -> None:
    masker = Masker(["hunter2", "b\udcffd-bytes"])

    assert masker.text("\udcff hunter2 b\udcffd-bytes") == "\udcff *** ***"
    assert masker.text("\ud800 hunter2") == "\ud800 ***"


def test_events_lose_secrets_in_texts_and_metrics_but_no_names() -> None:
    masker = Masker(["table-1", "hunter2", "timeout", "seconds", "failed"])

    exited = AttemptExited(
        job="table-1",
        attempt=1,
        seconds=1.0,
        error="no such program: 'hunter2'",
        metrics={"key hunter2": "hunter2!", "rows": 3, "seconds": 1.5},
        warnings=("not hunter2",),
    )
    finished = JobFinished(job="table-1", phase="table-1", attempt=1, outcome=Outcome.FAILED, because=("table-1",))

    assert masker.struct(exited) == AttemptExited(
        job="table-1",
        attempt=1,
        seconds=1.0,
        error="no such program: '***'",
        metrics={"key ***": "***!", "rows": 3, "***": 1.5},
        warnings=("not ***",),
    )
    assert masker.struct(finished) == finished
    assert masker.struct(StopRequested(reason=StopReason.TIMEOUT)).reason is StopReason.TIMEOUT
