"""Encodings by the names PostgreSQL has for them, and what Python calls these."""

from __future__ import annotations

import codecs

from etl_jobs.errors import MisconfiguredError

_PYTHON = {
    "UTF8": "utf-8-sig", "UNICODE": "utf-8-sig", "SQLASCII": "latin-1", "WIN": "cp1251", "ALT": "cp866",
    "TCVN": "cp1258", "KOI8": "koi8_r", "KOI8R": "koi8_r", "KOI8U": "koi8_u", "UHC": "cp949", "EUCJP": "euc_jp",
    "EUCCN": "gb2312", "EUCKR": "euc_kr", "EUCJIS2004": "euc_jis_2004", "SHIFTJIS2004": "shift_jis_2004",
    "MSKANJI": "shift_jis",
    **{name: name.lower() for name in ("BIG5", "GBK", "GB18030", "JOHAB", "SJIS", "SHIFTJIS")},
    **{f"LATIN{n}": f"latin{n}" for n in range(1, 11)},
    **{f"ISO8859{n}": f"iso8859_{n}" for n in range(1, 17) if n != 12},
    **{f"WIN{n}": f"cp{n}" for n in (866, 874, *range(1250, 1259))},
}  # fmt: skip


_LOOKS = (
    (b"\x1f\x8b", "it is compressed: let its name end in .gz"),
    (b"\x28\xb5\x2f\xfd", "it is compressed: let its name end in .zst"),
    (b"BZh", "it is compressed: let its name end in .bz2"),
    (b"\xfd7zXZ", "it is compressed: let its name end in .xz"),
    (b"PK\x03\x04", "it is a zip archive or a spreadsheet: unpack it, or export it as CSV"),
    (b"\xff\xfe", 'it begins as UTF-16 does: say encoding = "UTF-16" in [source.csv]'),
    (b"\xfe\xff", 'it begins as UTF-16 does: say encoding = "UTF-16" in [source.csv]'),
)


def hint_for(head: bytes) -> str:
    """What a file is that begins like this and is no text in the encoding it should be in."""
    for begins, said in _LOOKS:
        if head.startswith(begins):
            return said
    if b"\0" in head:
        kind = "UTF-16BE" if head[:1] == b"\0" else "UTF-16LE"
        return f'it has bytes of zero: is encoding = "{kind}" right?'
    return "see [source.csv] encoding in the catalogue"


def server_name(encoding: str) -> str | None:
    """The name to give the server; None where it knows no such encoding, so that the text must be made UTF-8 first."""
    return encoding if _plain(encoding) in _PYTHON else None


def python_name(encoding: str) -> str:
    """Python's name of it; raises MisconfiguredError where nobody knows it."""
    name = _PYTHON.get(_plain(encoding), encoding)
    try:
        "".encode(name)  # not all that Python knows is for text
        return codecs.lookup(name).name if name != "utf-8-sig" else name
    except (LookupError, UnicodeError):
        raise MisconfiguredError(
            f"source.csv.encoding: there is no encoding {encoding!r}", hint='for example "UTF8", "WIN1252", "UTF-16"'
        ) from None


def _plain(encoding: str) -> str:
    return "".join(character for character in encoding.upper() if character.isalnum())
