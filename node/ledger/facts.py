"""What the rules saw: headers of instances, kept per series and revision, without pixels.

Between arrival and completion an instance's header is a row of its own. At completion a series'
headers become one record in dictionary-coded columns (300 slices share most values), compressed: it
is what decisions are replayed on when the images are long gone.

A header is `{keyword: [VR, [values]]}`; an item of a sequence is such a mapping again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.ledger.connection import Database
from node.ledger.instances import Instance
from node.ledger.rows import one, query, to_json

Header = Mapping[str, Any]
_LOOKS = 1_000_000
"""More looks than any revision ever has: orders records by revision, then by look."""
NEWEST = _LOOKS - 1
"""As a look: the newest there is."""


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One instance of a series record: who it is, and its header."""

    receipt: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    frames: int
    marks: tuple[str, ...]
    header: Header

    @classmethod
    def of(cls, instance: Instance, header: Header) -> InstanceRecord:
        """An instance as a series record holds it."""
        return cls(
            receipt=instance.receipt,
            sop_instance_uid=instance.sop_instance_uid,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            frames=instance.frames,
            marks=tuple(sorted(instance.marks)),
            header=header,
        )


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """All instances of one series that counted at one revision."""

    series_instance_uid: str
    instances: tuple[InstanceRecord, ...]


@dataclass(frozen=True, slots=True)
class PackedSeries:
    """A series record as it is kept."""

    series_instance_uid: str
    receipts: tuple[str, ...]
    """Its instances, whose own headers it replaces."""
    facts: bytes


class SeriesColumns:
    """A series record attribute by attribute, as it is kept: what nobody asks for is never unpacked."""

    def __init__(self, text: str) -> None:
        head, *columns = text.split("\n")
        content = json.loads(head)
        self.series_instance_uid: str = content["series"]
        self.size: int = content["size"]
        self._fields: Mapping[str, Mapping[str, Any]] = content["instances"]
        self._packed: dict[str, str] = dict(zip(content["keywords"], columns, strict=True))

    @property
    def keywords(self) -> Collection[str]:
        """Attributes that any instance has."""
        return self._packed.keys()

    def field(self, name: str) -> tuple[Sequence[Any], Sequence[int] | None]:
        """Distinct values of what instances state beside their headers, and which has which, as in `unpacked`."""
        column = self._fields[name]
        return column["values"], column["at"]

    def spelled_out(self, name: str) -> list[Any]:
        """The same with one value an instance."""
        values, at = self.field(name)
        return list(values) * self.size if at is None else [values[index] for index in at]

    def packed(self, keyword: str) -> str | None:
        """What `unpacked` reads: equal texts stand for equal columns. None where no instance has the attribute."""
        return self._packed.get(keyword)


def unpacked(packed: str) -> tuple[Sequence[Any], Sequence[int] | None]:
    """Distinct elements of an attribute, and for each instance an index into them or -1; None: all have the first."""
    column = json.loads(packed)
    return column["values"], column["at"]


def add_header(database: Database, receipt: str, study: str, header: Header) -> None:
    """Keep the header of an instance until its study is complete."""
    database.execute("INSERT INTO headers VALUES (?,?,?)", [receipt, study, _pack(header)])


def drop_header(database: Database, receipt: str) -> None:
    """The instance no longer counts."""
    database.execute("DELETE FROM headers WHERE receipt=?", [receipt])


def headers_of(database: Database, study: str) -> dict[str, Header]:
    """Headers that wait for the study's completion, by receipt."""
    rows = query(database, "SELECT receipt, header FROM headers WHERE study_instance_uid=?", [study])
    return {row["receipt"]: _unpack(row["header"]) for row in rows}


def header_of(database: Database, study: str, receipt: str) -> Header | None:
    """The header of one instance, from its own row or from the newest record that holds it."""
    row = one(database, "SELECT header FROM headers WHERE receipt=?", [receipt])
    if row is not None:
        header: Header = _unpack(row["header"])
        return header
    rows = query(
        database, "SELECT facts FROM series_facts WHERE study_instance_uid=? ORDER BY revision DESC, look DESC", [study]
    )
    records = (_from_columns(columns_in(row["facts"])) for row in rows)
    return next((i.header for record in records for i in record.instances if i.receipt == receipt), None)


def packed(record: SeriesRecord) -> PackedSeries:
    """The record as it is kept; takes too long for a transaction (some 0.1 ms an instance)."""
    receipts = tuple(instance.receipt for instance in record.instances)
    return PackedSeries(record.series_instance_uid, receipts, zlib.compress(_to_text(record).encode(), 6))


def save(database: Database, study: str, revision: int, series: PackedSeries, look: int = 0) -> None:
    """Keep a series as it was at this revision, or at a look at the study after it; drop the headers it now holds."""
    database.execute(
        "INSERT INTO series_facts (study_instance_uid, series_instance_uid, revision, look, facts) VALUES (?,?,?,?,?)",
        [study, series.series_instance_uid, revision, look, series.facts],
    )
    database.conn.executemany("DELETE FROM headers WHERE receipt=?", [(receipt,) for receipt in series.receipts])


def of_study(database: Database, study: str, revision: int, look: int = 0) -> list[SeriesRecord]:
    """The study's series as they were at this look at `revision`: of each series the newest record up to it."""
    return [_from_columns(series) for series in columns_of_study(database, study, revision, look)]


def columns_of_study(database: Database, study: str, revision: int, look: int = 0) -> list[SeriesColumns]:
    """The same as `of_study`, attribute by attribute, as it is kept: what many decisions are made from."""
    rows = query(
        database,
        f"SELECT facts, max(revision*{_LOOKS}+look) FROM series_facts WHERE study_instance_uid=?"  # noqa: S608 - a number of ours
        f" AND revision*{_LOOKS}+look<=? GROUP BY series_instance_uid ORDER BY series_instance_uid",
        [study, revision * _LOOKS + look],
    )
    every = [columns_in(row["facts"]) for row in rows]
    return [series for series in every if series.size]


def columns_of(record: SeriesRecord) -> SeriesColumns:
    """The columns of a record that is not in the ledger."""
    return SeriesColumns(_to_text(record))


_FIELDS = tuple(name for name in InstanceRecord.__slots__ if name != "header")


def _to_text(record: SeriesRecord) -> str:
    """A line of JSON with who the instances are, then one for each attribute."""
    size = len(record.instances)
    columns: dict[str, _DistinctValues] = {}
    fields = {name: _DistinctValues(size) for name in _FIELDS}
    for index, instance in enumerate(record.instances):
        for name, field in fields.items():
            field.put(index, getattr(instance, name))
        for keyword, element in instance.header.items():
            if keyword not in columns:
                columns[keyword] = _DistinctValues(size)
            columns[keyword].put(index, element)
    head = {
        "series": record.series_instance_uid,
        "size": size,
        "instances": {name: field.content() for name, field in fields.items()},
        "keywords": list(columns),
    }
    return "\n".join(map(to_json, [head, *(column.content() for column in columns.values())]))


class _DistinctValues:
    """Distinct values in order of appearance, and which instance has which."""

    def __init__(self, size: int) -> None:
        self._seen: dict[str, int] = {}
        self._at = [-1] * size

    def put(self, index: int, value: Any) -> None:
        self._at[index] = self._seen.setdefault(to_json(value), len(self._seen))

    def content(self) -> dict[str, Any]:
        """Where every instance has the first value, which is the most frequent case, that is not spelled out."""
        return {"values": [json.loads(text) for text in self._seen], "at": self._at if any(self._at) else None}


def columns_in(blob: bytes) -> SeriesColumns:
    """The columns of a record as it is kept."""
    return SeriesColumns(zlib.decompress(blob).decode())


def _from_columns(series: SeriesColumns) -> SeriesRecord:
    fields = {name: series.spelled_out(name) for name in _FIELDS}
    fields["marks"] = [tuple(marks) for marks in fields["marks"]]
    headers: list[dict[str, Any]] = [{} for _ in range(series.size)]
    for keyword in series.keywords:
        values, at = unpacked(series.packed(keyword) or "")
        for index, header in enumerate(headers):
            place = 0 if at is None else at[index]
            if place >= 0:
                header[keyword] = values[place]
    rows = zip(*(fields[name] for name in _FIELDS), headers, strict=True)
    return SeriesRecord(series.series_instance_uid, tuple(InstanceRecord(*row) for row in rows))


def _pack(value: Any) -> bytes:
    return zlib.compress(to_json(value).encode(), 6)


def _unpack(blob: bytes) -> Any:
    return json.loads(zlib.decompress(blob))
