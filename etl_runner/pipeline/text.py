"""Texts with holes: {param} and ${VAR}, and how `run` is split into words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

_TOKEN = re.compile(
    r"(?P<escape>\$\$\{[^}]*\}|\{\{|\}\})"
    r"|(?P<var>\$\{[^}]*\}?)"
    r"|(?P<param>\{[A-Za-z_][A-Za-z0-9_]*\})"
    r"|(?P<brace>\{[^{}\s]*\}?|\})"
)
_VAR = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_HOLE = "\ue000"
_SHELL_SYNTAX = re.compile(r"\|\|?|&&?|[0-9]*>>?\S*|&>\S*|<<?|[^;]*;")


class Param(Struct, frozen=True):
    """A hole for a parameter."""

    name: str


class Var(Struct, frozen=True):
    """A hole for an environment variable; `default` where it is unset or empty."""

    name: str
    default: str | None = None


Piece = str | Param | Var
Pieces = tuple[Piece, ...]


class TextError(ValueError):
    """A text cannot be read; `token` is the part that is wrong."""

    def __init__(self, message: str, *, token: str = "", cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.token = token
        self.cure = cure


def parse_text(text: str, *, shell: bool = False) -> Pieces:
    """Literal pieces and holes. `{{` and `}}` are braces, `$${x}` is `${x}`. A shell's `${…}` is left to the shell."""
    pieces: list[Piece] = []
    at = 0
    for found in _TOKEN.finditer(text):
        pieces.append(text[at : found.start()])
        pieces.append(_piece(found, shell=shell))
        at = found.end()
    pieces.append(text[at:])
    return _joined(pieces)


def _piece(found: re.Match[str], *, shell: bool) -> Piece:
    token = found.group()
    match found.lastgroup:
        case "escape" if token[0] == "$":
            return token if shell else token[1:]
        case "escape":
            return token[0]
        case "var" if shell:
            return token
        case "var":
            return _var(token)
        case "param":
            return Param(token[1:-1])
        case _:
            raise TextError(f"{token!r} is no parameter", token=token, cure=f"a literal brace is {token[0] * 2!r}")


def _var(token: str) -> Var:
    found = _VAR.fullmatch(token)
    if not found:
        raise TextError(f"{token!r} is no variable", token=token, cure="write ${NAME} or ${NAME:-default}")
    return Var(found[1], found[2])


def _joined(pieces: Iterable[Piece]) -> Pieces:
    """The pieces with neighbouring literals made one, and empty ones left out."""
    out: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and out and isinstance(out[-1], str):
            out[-1] += piece
        elif piece != "":
            out.append(piece)
    return tuple(out)


def split_words(text: str) -> tuple[Pieces, ...]:
    """The words a shell would see, quotes removed. A hole stays within its word, whatever will fill it."""
    pieces = parse_text(text)
    holes = [piece for piece in pieces if not isinstance(piece, str)]
    plain = "".join(piece if isinstance(piece, str) else _HOLE for piece in pieces)
    try:
        words = shlex.split(plain)
    except ValueError as error:
        raise TextError(f"cannot be split into words: {str(error).lower()}", cure="close the quote") from None
    _refuse_shell_syntax(plain)
    if not words:
        raise TextError("nothing to run")
    rest = iter(holes)
    return tuple(_joined(part for part in _with_holes(word, rest)) for word in words)


def _with_holes(word: str, holes: Iterable[Piece]) -> Iterable[Piece]:
    first, *others = word.split(_HOLE)
    yield first
    for literal, hole in zip(others, holes, strict=False):
        yield hole
        yield literal


def _refuse_shell_syntax(plain: str) -> None:
    for word in shlex.split(plain, posix=False):
        if _SHELL_SYNTAX.fullmatch(word):
            raise TextError(f"{word!r} means nothing without a shell", token=word, cure="set shell = true, or quote it")


def fill(
    pieces: Sequence[Piece],
    *,
    params: Mapping[str, str],
    lookup: Callable[[str], str | None],
    quote: Callable[[str], str] = str,
) -> str:
    """The text with its holes filled; `quote` is applied to parameters. Raises KeyError(name) for a missing one."""
    return "".join([_filled(piece, params, lookup, quote) for piece in pieces])


def _filled(
    piece: Piece, params: Mapping[str, str], lookup: Callable[[str], str | None], quote: Callable[[str], str]
) -> str:
    match piece:
        case str():
            return piece
        case Param(name):
            return quote(params[name])
        case Var(name, default):
            value = lookup(name)
            if default is not None and not value:
                return default
            if value is None:
                raise KeyError(name)
            return value


def params_in(pieces: Iterable[Piece]) -> tuple[str, ...]:
    """The names of the parameters in a text."""
    return tuple(piece.name for piece in pieces if isinstance(piece, Param))


def vars_in(pieces: Iterable[Piece]) -> tuple[str, ...]:
    """The names of the variables in a text that must be set."""
    return tuple(piece.name for piece in pieces if isinstance(piece, Var) and piece.default is None)


def read_env_file(text: str) -> tuple[dict[str, str], list[int]]:
    """The variables of NAME=value lines, and the numbers of lines that are none.

    `export` before a name, blank lines and # comments are allowed; 'single' quotes are literal, "double" ones know \\n,
    \\t, \\" and \\\\.
    """
    values: dict[str, str] = {}
    bad: list[int] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if found := _ENV_LINE.fullmatch(line):
            values[found["name"]] = _env_value(found)
        else:
            bad.append(number)
    return values, bad


_ENV_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*"""
    r"""(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^'"\s#](?:[^#]|(?<=\S)#)*?)?)\s*(?:(?<=[\s=])#.*)?"""
)
_ESCAPES = {"n": "\n", "t": "\t"}


def _env_value(found: re.Match[str]) -> str:
    if found["double"] is not None:
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), found["double"])
    return found["single"] or (found["bare"] or "").rstrip()
