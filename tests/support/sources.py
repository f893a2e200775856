"""What tests of sources share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    """The text in blocks that end at these places, none of them empty."""
    borders = [0, *sorted(places), len(text)]
    pieces = (text[a:b] for a, b in pairwise(borders))
    return [piece for piece in pieces if piece]
