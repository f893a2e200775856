"""CSV text in blocks: where records end, without looking at their values. Blocks may be cut anywhere."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from etl_jobs.errors import DataRejectedError


def without_header(blocks: Iterable[bytes], *, quote: bytes, escape: bytes) -> Iterator[bytes]:
    """The text less its first record."""
    blocks = iter(blocks)
    head = b""
    for block in blocks:
        head += block
        end = _first_end(head, quote, escape)
        if end is not None:
            if head[end:]:
                yield head[end:]
            break
    yield from blocks


def _first_end(text: bytes, quote: bytes, escape: bytes) -> int | None:
    """Where the second record begins; None where the first may not be over yet."""
    quoted, position = False, 0
    special = re.compile(b"[" + re.escape(quote + escape) + rb"\r\n]")
    while match := special.search(text, position):
        character, position = match[0], match.end()
        if quoted and character == escape and escape != quote:
            position += 1
        elif character == quote:
            quoted = not quoted
        elif not quoted and character == b"\n":
            return position
        elif not quoted and character == b"\r":
            if position == len(text):
                return None
            return position + (text[position : position + 1] == b"\n")
    return None


def ended(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The text with an end of line at its end, one like its first: another file's text follows."""
    end, last = b"", b"\n"
    for block in blocks:
        end = end or (b"\r\n" if b"\r\n" in block else b"\n" if b"\n" in block else b"")
        yield block
        last = block[-1:]
    if last not in b"\r\n":
        yield end or b"\n"


def with_first_field(blocks: Iterable[bytes], field: bytes, *, quote: bytes) -> Iterator[bytes]:
    """The text with one more field at the beginning of every record; the quote must be its own escape.

    Pieces between quotes are looked at as a whole: ends of line in every other one end a record.
    """
    quoted, begins = False, True
    for block in blocks:
        pieces = block.split(quote)
        for number in range(quoted, len(pieces), 2):
            pieces[number] = pieces[number].replace(b"\n", b"\n" + field)
        quoted ^= len(pieces) % 2 == 0
        text = quote.join(pieces)
        if begins:
            text = field + text
        begins = not quoted and block.endswith(b"\n")
        yield text[: -len(field)] if begins else text


def in_utf8(blocks: Iterable[bytes], encoding: str, *, name: str) -> Iterator[bytes]:
    """The text in UTF-8, for encodings the server does not know; `name` is what an error calls the source."""
    decoder = codecs.getincrementaldecoder(encoding)()
    done = 0
    try:
        for block in blocks:
            if text := decoder.decode(block).encode():
                yield text
            done += len(block)
        if text := decoder.decode(b"", final=True).encode():
            yield text
    except UnicodeError as error:
        raise DataRejectedError(f"{name}: not {encoding} text, somewhere after byte {done:,}") from error
