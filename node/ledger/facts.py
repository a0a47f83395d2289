"""What the rules saw: headers of instances, kept per series and revision, without pixels.

Between arrival and completion an instance's header is a row of its own. At completion a series'
headers become one record in dictionary-coded columns (300 slices share most values), compressed: it
is what decisions are replayed on when the images are long gone.

A header is `{keyword: [VR, [values]]}`; an item of a sequence is such a mapping again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from node.ledger.rows import one, query, to_json

Header = Mapping[str, Any]


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


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """All instances of one series that counted at one revision."""

    series_instance_uid: str
    instances: tuple[InstanceRecord, ...]


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
    rows = query(database, "SELECT facts FROM series_facts WHERE study_instance_uid=? ORDER BY revision DESC", [study])
    records = (_from_columns(_unpack(row["facts"])) for row in rows)
    return next((i.header for record in records for i in record.instances if i.receipt == receipt), None)


def save(database: Database, study: str, revision: int, record: SeriesRecord) -> None:
    """Keep a series as it was at this revision, and drop the headers that it now holds."""
    database.execute(
        "INSERT INTO series_facts VALUES (?,?,?,?)",
        [study, record.series_instance_uid, revision, _pack(_to_columns(record))],
    )
    for instance in record.instances:
        drop_header(database, instance.receipt)


def of_study(database: Database, study: str, revision: int) -> list[SeriesRecord]:
    """The study's series as they were at `revision`: of each series the newest record up to it."""
    rows = query(
        database,
        "SELECT facts, max(revision) FROM series_facts WHERE study_instance_uid=? AND revision<=?"
        " GROUP BY series_instance_uid ORDER BY series_instance_uid",
        [study, revision],
    )
    records = [_from_columns(_unpack(row["facts"])) for row in rows]
    return [record for record in records if record.instances]


def _to_columns(record: SeriesRecord) -> dict[str, Any]:
    columns: dict[str, dict[str, Any]] = {}
    for index, instance in enumerate(record.instances):
        for keyword, element in instance.header.items():
            column = columns.setdefault(keyword, {"seen": {}, "at": [-1] * len(record.instances)})
            text = to_json(element)
            column["at"][index] = column["seen"].setdefault(text, len(column["seen"]))
    return {
        "series": record.series_instance_uid,
        "instances": [_without_header(instance) for instance in record.instances],
        "columns": {
            keyword: {"values": [json.loads(text) for text in column["seen"]], "at": column["at"]}
            for keyword, column in columns.items()
        },
    }


def _without_header(instance: InstanceRecord) -> dict[str, Any]:
    return {name: getattr(instance, name) for name in InstanceRecord.__slots__ if name != "header"}


def _from_columns(content: Mapping[str, Any]) -> SeriesRecord:
    columns = content["columns"].items()
    instances = []
    for index, fields in enumerate(content["instances"]):
        header = {key: column["values"][column["at"][index]] for key, column in columns if column["at"][index] >= 0}
        instances.append(InstanceRecord(**{**fields, "marks": tuple(fields["marks"]), "header": header}))
    return SeriesRecord(content["series"], tuple(instances))


def _pack(value: Any) -> bytes:
    return zlib.compress(to_json(value).encode(), 6)


def _unpack(blob: bytes) -> Any:
    return json.loads(zlib.decompress(blob))
