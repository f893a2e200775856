"""What to read of documents that people pay: those that are paid once, the others again until they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from etl_jobs.erp.lookups import LookUp, learn, looked_up
from etl_jobs.errors import MisconfiguredError
from etl_jobs.sources.jsonrpc import Erp, Record, cleaner
from etl_jobs.sources.paths import path_of
from etl_jobs.sources.records import are_arrays, header, lines, rows_of
from etl_jobs.sources.trail import RecordSource
from etl_jobs.tables import Table

_IDS_AT_ONCE = 500
_IDS_PER_PAGE = 10_000  # where nothing else is asked for
_PAID, _UNPAID = ["payment_state", "=", "paid"], ["payment_state", "!=", "paid"]
_LOOKED_UP = {"partner": ("res.partner", ("name", "country", "city")), "company": ("res.company", ("name", "currency"))}
_MADE_OF = {"partner": "partner_id", "company": "company_id", "paid": "payment_state"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What to read and where it goes.

    `columns`: name → type and path in the record, where `partner` and `company` are the looked-up ones and
    `paid` says whether nothing is left to pay. There must be `id` and `paid`.
    """

    model: str
    target: str
    columns: Mapping[str, tuple[str, str]]

    @property
    def origin(self) -> str:
        """What messages and load records call the source."""
        return f"the ERP's {self.model}"

    @property
    def fields(self) -> list[str]:
        """What to ask of the ERP: where the columns' paths begin, and what else `_complete` wants."""
        begins = {str(path_of(path)[0]) for _, path in self.columns.values()}
        return sorted(begins - _MADE_OF.keys() | set(_MADE_OF.values()))

    @property
    def types(self) -> dict[str, str]:
        return {name: kind for name, (kind, _) in self.columns.items()}

    @property
    def table(self) -> Table:
        """The target as a catalogue would declare it."""
        return Table(
            id=0,
            name=self.target,
            files=(),
            columns=self.types,
            key=("id",),
            required=("paid",),
            comment=f"{self.model} of the ERP. What is paid is read once.",
        )


def paid_ids(erp: Erp, documents: Documents, *, newest: int) -> Iterator[list[int]]:
    """The ids of what is paid, up to `newest`, in pages."""
    domain = [_PAID, ["id", "<=", newest]]
    for page in erp.pages(documents.model, [], domain=domain, size=_IDS_PER_PAGE):
        yield [record["id"] for record in page]


class DocumentSource(RecordSource):
    """The documents to read now, as CSV text: what is unpaid or newer than `newest`, and those with `ids`."""

    def __init__(self, erp: Erp, documents: Documents, *, ids: Sequence[int], newest: int) -> None:
        super().__init__(documents.origin)
        self._erp, self._documents, self._ids, self._newest = erp, documents, ids, newest

    def columns(self) -> tuple[str, ...]:
        return tuple(self._documents.columns)

    def blocks(self) -> Iterator[bytes]:
        known = {name: looked_up(self._erp, model, fields) for name, (model, fields) in _LOOKED_UP.items()}
        paths = [path_of(path) for _, path in self._documents.columns.values()]
        types = self._documents.types
        arrays, clean = are_arrays(types), [cleaner(kind) for kind in types.values()]
        self.trail.begin()
        self._erp.client.told_as = self.failed  # what fails from here on says how far it was read
        yield header(self.columns())
        for page in self._pages():
            self._learn(known, page)
            records = [_complete(record, known) for record in page]
            block = lines(rows_of(records, paths, clean=clean), arrays)
            self.trail.add(block, records=len(records))
            yield block

    def _pages(self) -> Iterator[list[Record]]:
        """What is unpaid or new, then what has been paid since it was read, or was seen late."""
        wanted = self._documents.fields
        seen: set[int] = set()
        for page in self._erp.pages(self._documents.model, wanted, domain=["|", _UNPAID, ["id", ">", self._newest]]):
            seen.update(record["id"] for record in page)
            yield page
        others = iter([n for n in self._ids if n not in seen])
        while ids := list(islice(others, _IDS_AT_ONCE)):
            yield from self._erp.pages(self._documents.model, wanted, domain=[["id", "in", ids]])

    def _learn(self, known: Mapping[str, LookUp], page: Sequence[Record]) -> None:
        """Look up what the page names and is not known yet; raises where this user may not see it."""
        for name, (model, fields) in _LOOKED_UP.items():
            named = {record[f"{name}_id"][0]: record for record in page if record[f"{name}_id"]}
            for hidden in learn(self._erp, model, fields, known=known[name], wanted=named):
                called, document = named[hidden][f"{name}_id"][1], named[hidden]["id"]
                raise MisconfiguredError(
                    f"{self.name} {document}: {model} {hidden} ({called!r}) is not to be seen by this user",
                    hint=f"give the user the right to read {model}, archived ones and those of all companies as well",
                )


def _complete(record: Record, known: Mapping[str, LookUp]) -> Record:
    """The record with its partner and company."""
    references = {name: record[f"{name}_id"] for name in _LOOKED_UP}
    more = {name: known[name][reference[0]] if reference else None for name, reference in references.items()}
    return {**record, **more, "paid": record["payment_state"] == "paid"}
