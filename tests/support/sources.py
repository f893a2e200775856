"""What tests of sources share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.support.jobs import Ended, run_job


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    """The text in blocks that end at these places, none of them empty."""
    borders = [0, *sorted(places), len(text)]
    pieces = (text[a:b] for a, b in pairwise(borders))
    return [piece for piece in pieces if piece]


@dataclass
class Load:
    """A catalogue with a source of some kind, loaded into schema `shop` of one database."""

    folder: Path
    dsn: str
    kind: str
    top: str = ""
    part: str = ""
    env: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)

    def table(self, name: str, columns: Mapping[str, str], settings: str = "") -> None:
        """Declare a table; `settings` are further lines of its part of the catalogue."""
        kinds = ", ".join(f'"{column}" = "{kind}"' for column, kind in columns.items())
        self.tables.append(f'[[table]]\nname = "{name}"\ncolumns = {{ {kinds} }}\n{settings}\n')

    def load(self, number: int = 0, **env: str) -> Ended:
        return self.run(f"table --id {number}", **env)

    def run(self, command: str, **env: str) -> Ended:
        """A job of the load, with its options: `table --id 0`."""
        catalogue, output = self.folder / "tables.toml", self.folder / "output.jsonl"
        head = f'[source]\nkind = "{self.kind}"\n{self.top}\n[source.{self.kind}]\n{self.part}\n'
        catalogue.write_text(head + '[warehouse]\nschema = "shop"\n' + "\n".join(self.tables))
        module, *options = command.split()
        return run_job(self.dsn, module, *options, "--catalogue", catalogue, output=output, **{**self.env, **env})
