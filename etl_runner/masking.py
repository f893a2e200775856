"""Hides secrets in streams of bytes, in texts and in events.

A secret has several forms: as it is, quoted for a URL, escaped for JSON, and inside base64 (where its neighbours
decide which of three alignments it has). A mask stands for each stretch of bytes that occurrences of any form cover:
those that overlap share one. A stream comes in chunks: what may be the beginning of a form at the end of what is known
is held back until more is known. What was shown all the same, because nothing came for a while, is remembered: if it
was the beginning of a secret, the rest of that is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import fields, replace

MASK = "***"
MOST_SHOWN_EARLY = 2
SHORTEST_LINE = 12
NAMES = frozenset(("job", "phase", "because", "pipeline", "profile", "config", "by"))  # fields that are never masked

_S = TypeVar("_S", bound=Struct)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Masker:
    """Hides these secrets. It is false where there are none: then nothing needs to go through it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in forms_of(secret)}
        self._forms = sorted(forms)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def stream(self) -> MaskedStream:
        return MaskedStream(self._forms)

    def text(self, text: str) -> str:
        """The text with masks for its secrets."""
        if not self._forms:
            return text
        errors = "surrogateescape"  # environment and arguments that are not UTF-8
        try:
            data = text.encode("utf-8", errors)
        except UnicodeEncodeError:  # halves of pairs that came by JSON
            errors = "surrogatepass"
            data = text.encode("utf-8", errors)
        if not any(form in data for form in self._forms):
            return text
        stream = self.stream()
        return (stream.feed(data) + stream.end()).decode("utf-8", errors)

    def struct(self, value: _S) -> _S:
        """The event (or any struct of texts) with masks for its secrets; names of jobs and the like stay."""
        if not self._forms:
            return value
        changed = {}
        for field in fields(value):
            old = getattr(value, field.name)
            new = old if field.name in NAMES else self._masked(old)
            if new != old:
                changed[field.name] = new
        return replace(value, **changed) if changed else value

    def _masked(self, value: Any) -> Any:
        if type(value) is str:  # no member of an enum
            return self.text(value)
        if isinstance(value, dict):
            return {self._masked(key): self._masked(inner) for key, inner in value.items()}
        if isinstance(value, tuple):
            return tuple(map(self._masked, value))
        return value


class MaskedStream:
    """A stream of bytes on its way: everything comes out in order, with masks for what is secret."""

    def __init__(self, forms: Sequence[bytes]) -> None:
        self._forms = forms
        self._beginnings = {form[:n] for form in forms for n in (1, 2, 3) if n < len(form)}
        self._known = b""
        self._told = 0  # how many bytes of `_known` are out already, as they are or as a mask
        self._is_masked = False  # whether that ends in a mask

    @property
    def is_holding(self) -> bool:
        """Whether something waits for what follows."""
        return len(self._known) > self._told

    def feed(self, chunk: bytes) -> bytes:
        """What can be told now."""
        self._known = self._known + chunk if self._known else chunk
        return self._tell(self._certain())

    def idle(self) -> bytes:
        """What may be shown because nothing has come for a while: at most the first two bytes of a secret."""
        if len(self._known) > MOST_SHOWN_EARLY or not self.is_holding:
            return b""
        early = self._known[self._told :]
        self._told, self._is_masked = len(self._known), False
        return early

    def end(self) -> bytes:
        """All that is left."""
        return self._tell(len(self._known))

    def _tell(self, certain: int) -> bytes:
        """Say the bytes before `certain`, and forget them; a mask may reach beyond it."""
        parts = []
        at = self._told
        for start, stop in self._secret():
            if start >= certain:
                break
            if stop <= at:
                continue
            if start >= at:
                parts.append(self._known[at:start])
            if start >= at or not self._is_masked:
                parts.append(MASK.encode())
            at, self._is_masked = stop, True
        if at < certain:
            parts.append(self._known[at:certain])
            at, self._is_masked = certain, False
        self._known, self._told = self._known[certain:], at - certain
        return b"".join(parts)

    def _secret(self) -> list[tuple[int, int]]:
        """The occurrences, in order; some overlap."""
        return sorted(occurrence for form in self._forms for occurrence in _find(self._known, form))

    def _certain(self) -> int:
        """The length of what is known without the longest end that may be the beginning of a form."""
        known = self._known
        size = len(known)
        first = next((size - n for n in (3, 2, 1) if n <= size and known[-n:] in self._beginnings), size)
        for form in self._forms:
            at = known.find(form[:4], max(0, size - len(form) + 1))
            while 0 <= at < first:
                if form.startswith(known[at:]):
                    first = at
                at = known.find(form[:4], at + 1)
        return first


def _find(known: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    at = known.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = known.find(form, at + 1)


def forms_of(secret: str) -> set[bytes]:
    """The bytes a secret can be written as, those of its longer lines included."""
    from urllib.parse import unquote  # only where there are secrets

    wholes = {secret, unquote(secret), *(line for line in secret.splitlines() if _is_secret_line(line))}
    return {form for whole in wholes for form in _forms_of_one(whole)} - {b""}


def _is_secret_line(line: str) -> bool:
    return len(line) >= SHORTEST_LINE and not line.startswith("-----")


def _forms_of_one(text: str) -> Iterator[bytes]:
    import json
    from urllib.parse import quote, quote_plus

    raw = text.encode("utf-8", "surrogateescape")
    yield raw
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield quoted.encode()
        yield _lower_hex(quoted).encode()
    for is_ascii in (True, False):
        yield json.dumps(text, ensure_ascii=is_ascii)[1:-1].encode("utf-8", "surrogateescape")
    for encoded in _base64_of(raw):
        yield encoded
        yield encoded.translate(_URL_SAFE)


def _lower_hex(quoted: str) -> str:
    head, *parts = quoted.split("%")
    return "".join((head, *(f"%{part[:2].lower()}{part[2:]}" for part in parts)))


def _base64_of(raw: bytes) -> Iterator[bytes]:
    """What base64 makes of the bytes behind 0, 1 or 2 others: the digits that depend on nothing else."""
    from base64 import b64encode

    for before in range(3):
        digits = b64encode(bytes(before) + raw)
        yield digits[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
