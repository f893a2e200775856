"""What is a secret: by the name of its variable, or as a password inside a URL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

SHORTEST = 6
SHORTEST_NAMED = 4

_NAMES = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY"
    r"|_(PASS|PWD)|(^|_)(PRIVATE|SECRET|ACCESS|ENCRYPTION|ACCOUNT|SIGNING)_?KEY)$",
    re.IGNORECASE,
)
_AUTHORITY = re.compile(r"\b[a-z][a-z0-9+.-]*://([^\s/?#:@]*):([^\s/?#]*)@", re.IGNORECASE)
_PARAMETER = re.compile(r"[?&;](?:\w*password|pwd|\w*secret|\w*token|api_?key|sig)=([^\s&;#]+)", re.IGNORECASE)
_CONNINFO = re.compile(r"(?:^|[\s;])(?:password|pwd)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^\s';]+))", re.IGNORECASE)


def is_secret_name(name: str, named: Iterable[str] = ()) -> bool:
    """Whether a variable of this name holds a secret: by the usual patterns, or as one of `named` (names or globs)."""
    return bool(_NAMES.search(name)) or _is_named(name, named)


def is_secret(name: str, value: str, named: Iterable[str] = ()) -> bool:
    """Whether a variable is not for everybody's eyes: for its name, or for a password inside it."""
    return is_secret_name(name, named) or bool(passwords_in(value))


def passwords_in(value: str) -> set[str]:
    """The passwords inside a URL or a connection string, as they are written there.

    One that is also the user's name (`postgres:postgres@`) is none: to hide it would hide half of a log.
    """
    if "=" not in value and ":" not in value:
        return set()
    found = {password for user, password in _AUTHORITY.findall(value) if password != user}
    found |= set(_PARAMETER.findall(value))
    if "://" not in value:
        found |= {re.sub(r"\\(.)", r"\1", quoted) or bare for quoted, bare in _CONNINFO.findall(value)}
    return found - {""}


def secrets_in(variables: Iterable[tuple[str, str]], named: Sequence[str] = ()) -> set[str]:
    """The secrets among names and values of variables that are long enough to be told from other text."""
    found: set[str] = set()
    for name, value in variables:
        least = SHORTEST_NAMED if _is_named(name, named) else SHORTEST
        candidates = passwords_in(value)
        if is_secret_name(name, named):
            candidates |= {value, value.strip()}
        found |= {secret for secret in candidates if len(secret) >= least}
    return found


def variables_in(command: Iterable[str]) -> set[tuple[str, str]]:
    """What a command says by names: `--api-key=x`, `--api-key x`, `PGPASSWORD=x`; and its words, without any.

    Words inside a word, as a shell would see them, are looked at, too; what the shell is to fill in is no value.
    """
    texts = tuple(command)
    words = [word for text in texts for word in text.split()]
    found = {("", text) for text in texts if "=" in text or ":" in text}
    for at, word in enumerate(words):
        if word[0] == "-" or "=" in word:
            following = words[at + 1] if at + 1 < len(words) else ""
            found |= _named_value(word, following)
    return found


def _named_value(word: str, following: str) -> set[tuple[str, str]]:
    name, equals, value = word.partition("=")
    if name[:1] != "-" and not name.isupper():
        return set()
    name, value = name.lstrip("-").replace("-", "_"), (value if equals else following).strip("\"'")
    return {(name, value)} if name and value and value[0] not in "-$" else set()


def _is_named(name: str, named: Iterable[str]) -> bool:
    return bool(name) and any(fnmatchcase(name, glob) for glob in named)
