"""CSV text in blocks: where records end, without looking at their values. Blocks may be cut anywhere."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain

from etl_jobs.errors import DataRejectedError

_BLOCK = 256 * 1024
_MARK = b"\\."
_MARK_LINE = re.compile(rb"[\r\n]\\\.(?=[\r\n])")
_MARK_BEGINS = re.compile(rb"[\r\n](?:\\\.?)?\Z")
LONGEST = 64 * 1024 * 1024  # of a record, where one by one is looked at


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


def records(blocks: Iterable[bytes], *, quote: bytes, escape: bytes, longest: int = LONGEST) -> Iterator[bytes]:
    """The records of the text with their ends, as the server splits it: the end of the first line is that of all.

    What follows an open quote is one record. Raises TooLongError at a record of more than `longest` bytes.
    """
    blocks = iter(blocks)
    head = bytearray()
    end = None
    while end is None and (block := next(blocks, None)) is not None:
        head += block
        end = _first_end(bytes(head), quote, escape)
        _limit(len(head), longest if end is None else len(head))
    if head:
        yield bytes(head[:end])
    if end is None:
        return
    mark = b"\r" if head[:end].endswith(b"\r") else b"\n"
    begun: list[bytes] = []
    quoted, size = False, 0
    for line in _lines(chain((bytes(head[end:]),), blocks), mark, longest):
        quoted = _quoted_after(line, quoted, quote, escape)
        if not quoted and not begun:
            yield line
            continue
        begun.append(line)
        size += len(line)
        _limit(size, longest)
        if not quoted:
            yield b"".join(begun)
            begun, size = [], 0
    if begun:
        yield b"".join(begun)


def _lines(blocks: Iterable[bytes], mark: bytes, longest: int) -> Iterator[bytes]:
    begun: list[bytes] = []
    size = 0
    for block in blocks:
        *whole, rest = block.split(mark)
        for line in whole:
            yield b"".join((*begun, line, mark))
            begun, size = [], 0
        if rest:
            begun.append(rest)
            size += len(rest)
            _limit(size, longest)
    if begun:
        yield b"".join(begun)


class TooLongError(DataRejectedError):
    """A record that is longer than what may be looked at."""


def _limit(size: int, longest: int) -> None:
    if size > longest:
        raise TooLongError(f"a record of more than {longest >> 20} MB", hint="is a quote not closed?")


def _quoted_after(line: bytes, quoted: bool, quote: bytes, escape: bytes) -> bool:
    """Whether the text is inside of quotes after the line, given whether it was before."""
    if quote == escape:
        return quoted ^ bool(line.count(quote) & 1)
    position = 0
    special = re.compile(b"[" + re.escape(quote + escape) + b"]")
    while match := special.search(line, position):
        position = match.end()
        if match[0] == quote:
            quoted = not quoted
        elif quoted:
            position += 1
    return quoted


def is_open(record: bytes, *, quote: bytes, escape: bytes) -> bool:
    """The record ends inside of quotes: it has no end."""
    return _quoted_after(record, False, quote, escape)


def mark_of(header: bytes) -> bytes:
    """What the server counts as a line within a value, after such a first line; in the first line itself it is CR."""
    return b"\n" if line_end(header) in (b"", b"\n") else b"\r"


def lines_of(record: bytes, mark: bytes) -> int:
    """How many lines the server counts for the record: its own, and one for every `mark` inside of it."""
    return 1 + record.rstrip(b"\r\n").count(mark)


def in_batches(texts: Iterable[bytes], *, size: int) -> Iterator[list[bytes]]:
    """The texts, as many together as make `size` bytes."""
    batch: list[bytes] = []
    total = 0
    for text in texts:
        batch.append(text)
        total += len(text)
        if total >= size:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


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


def line_end(record: bytes) -> bytes:
    """How it ends: CR LF, LF, CR or not at all."""
    return next((end for end in (b"\r\n", b"\n", b"\r") if record.endswith(end)), b"")


def with_line_end(blocks: Iterable[bytes], end: bytes, *, quote: bytes, escape: bytes) -> Iterator[bytes]:
    """The text with another end of its records; those that do not end as the first one stay as they are."""
    texts = records(blocks, quote=quote, escape=escape, longest=sys.maxsize)
    own = b""
    for batch in in_batches(texts, size=_BLOCK):
        own = own or line_end(batch[0])
        yield b"".join(text.removesuffix(own) + end if own and text.endswith(own) else text for text in batch)


def ended(blocks: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    """The text with an end of line at its end: another file's text follows."""
    last = b"\n"
    for block in blocks:
        yield block
        last = block[-1:]
    if last not in b"\r\n":
        yield end


def with_quoted_marks(blocks: Iterable[bytes], *, quote: bytes, escape: bytes) -> Iterator[bytes]:
    """The text with every record `\\.` in quotes: without them, it ends the data before PostgreSQL 18."""
    if quote in _MARK:
        yield from blocks
    elif quote != escape:
        texts = records(blocks, quote=quote, escape=escape, longest=sys.maxsize)
        yield from (b"".join(quoted_mark(text, quote) for text in batch) for batch in in_batches(texts, size=_BLOCK))
    else:
        yield from _with_quoted_marks(blocks, quote)


def _with_quoted_marks(blocks: Iterable[bytes], quote: bytes) -> Iterator[bytes]:
    """Quotes are counted from mark to mark; an end of line and what may be a mark stay for the next block."""
    quoted, rest = False, b""
    for block in blocks:
        text = rest + block
        begun = _MARK_BEGINS.search(text[-3:])
        whole, start = len(text) - len(begun[0] if begun else b""), 0
        pieces = []
        for found in _MARK_LINE.finditer(text) if b"\n\\." in text or b"\r\\." in text else ():
            quoted ^= bool(text.count(quote, start, found.start()) & 1)
            pieces += [text[start : found.start() + 1], _MARK if quoted else quote + _MARK + quote]
            start = found.end()
        quoted ^= bool(text.count(quote, start, whole) & 1)
        rest = text[whole:]
        yield b"".join((*pieces, text[start:whole]))
    yield rest


def quoted_mark(record: bytes, quote: bytes) -> bytes:
    """The record, in quotes if it is nothing but `\\.` and an end of line."""
    end = line_end(record)
    return quote + _MARK + quote + end if end and record == _MARK + end else record


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
