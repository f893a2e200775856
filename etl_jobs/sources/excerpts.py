"""What messages tell of a foreign text or document: its beginning, or no more than its form; passwords never."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

UNTOLD = "its words may quote a secret value"
MASK = "***"
_SHOWN = 200
_SHORTEST = 4  # what is shorter cannot be told from other text
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key$|auth(?!or)|credential|session|sig$|signature", re.IGNORECASE)
_ASSIGNED = re.compile(r"""([\w-]+)\s*=\s*("[^"]*"|\{[^}]*\}|[^\s;,]+)""")
_NAME = re.compile(r"[A-Za-z_$@][A-Za-z_.-]{0,39}")
_URL_SAFE = str.maketrans("+/", "-_")
# Headers whose values are no secrets, whatever they are.
_OPEN_HEADERS = re.compile(
    r"accept|content-|user-agent$|cache-control$|if-|prefer$|from$|host$|connection$", re.IGNORECASE
)


def shown(text: str) -> str:
    """The beginning of a foreign text, fit for a line of a log."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN]).split())
    return line[:_SHOWN] + ("…" if len(line) > _SHOWN else "") or "(empty)"


def form_of(document: Any) -> str:
    """What kind of JSON it is, and an object's names where they look like names: none of its values."""
    match document:
        case None:
            return "null"
        case dict():
            return f"an object {_names_in(document)}"
        case list():
            return f"a list of {len(document)}"
        case str():
            return "a text"
        case bool():
            return "true or false"
        case _:
            return "a number"


def _names_in(document: dict[str, Any]) -> str:
    """The names of an object; in one that holds other objects, or under odd names, they may be values themselves."""
    if not document:
        return "of nothing"
    if all(isinstance(value, dict) for value in document.values()):
        return f"of {len(document):,} objects"
    names = [name for name in document if _NAME.fullmatch(name)]
    more = [f"{len(document) - len(names):,} more"] if len(names) < len(document) else []
    return f"with {shown(', '.join([*map(repr, names), *more]))}"


class Excerpts:
    """What may be told of the other side's words: none of the `secrets`; where it is `quiet`, no value at all."""

    def __init__(self, secrets: Iterable[str] = (), *, quiet: bool = False) -> None:
        self.quiet = quiet
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def hidden(self, text: str) -> str:
        """The whole text without the secrets."""
        return self._secrets.sub(MASK, text) if self._secrets else text

    def shown(self, text: str) -> str:
        """The beginning of the text, without secrets; it is hidden before it is cut, for half a secret is one, too."""
        return shown(self.hidden(text))

    def document(self, document: Any, *, text: str | None = None) -> str:
        """What is told of a document, whose `text` this is."""
        return self.hidden(form_of(document)) if self.quiet else self.shown(str(document) if text is None else text)


def secrets_in_url(url: str) -> set[str]:
    """User and password of a URL (a token may be either), and its parameters that are called like secrets."""
    try:
        parts = urlsplit(url)
        login, parameters = parts.netloc.rpartition("@")[0], parse_qs(parts.query)
    except ValueError:
        return set()
    user, _, password = login.partition(":")
    found = {login, user if not password else "", password} | secrets_in_parameters(parameters)
    return found | {unquote(secret) for secret in found}


def secrets_in_parameters(parameters: Mapping[str, Any]) -> set[str]:
    """The values of those that are called like secrets, and passwords within others: `…;Pwd=…`."""
    lists = ((name, value if isinstance(value, list) else [value]) for name, value in parameters.items())
    texts = [(name, text) for name, values in lists for text in values if isinstance(text, str)]
    found = {text for name, text in texts if _SECRET_NAME.search(name)}
    inner = ((name, value) for _, text in texts for name, value in _ASSIGNED.findall(text))
    return found | {value.strip('"{}') for name, value in inner if _SECRET_NAME.search(name)}


def secrets_in_headers(headers: Mapping[str, str]) -> set[str]:
    """Values of headers but the harmless ones: whole, without the scheme, what cookies hold, what base64 hides."""
    found: set[str] = set()
    for name, value in headers.items():
        if _OPEN_HEADERS.match(name):
            continue
        scheme, blank, rest = value.partition(" ")
        token = rest.strip() if blank else value
        found |= {value, token, *(inner.strip('"') for _, inner in _ASSIGNED.findall(value))}
        found |= _decoded(token) if scheme.lower() == "basic" else set()
    return found


def _decoded(token: str) -> set[str]:
    try:
        login = b64decode(token).decode()
    except ValueError:
        return set()
    return {login, login.partition(":")[2]}


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written."""
    yield secret
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (json.dumps(secret, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    raw = secret.encode("utf-8", "surrogatepass")
    for before in range(3):  # in base64 its neighbours decide which of three alignments it has
        digits = b64encode(bytes(before) + raw).decode()
        inner = digits[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        yield from (inner, inner.translate(_URL_SAFE))
