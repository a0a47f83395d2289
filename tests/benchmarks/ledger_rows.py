"""A ledger that holds many instances already, as after years: rows made by SQL, no files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from node.clock import to_text
from node.index.header import HeaderReading
from node.ledger import facts, instances
from node.ledger.database import Database, Ledger
from node.ledger.instances import Instance, InstanceStatus

SLICES_A_STUDY = 300
SHOWN = 10
"""Studies that `status` lists."""
_OLD = datetime(2024, 1, 2, tzinfo=UTC)


def fill(path: Path, example: HeaderReading, count: int) -> None:
    """Make the ledger at `path` hold `count` instances like `example`, in studies that were complete long ago.

    A million takes about a minute: no journal is kept meanwhile, and indexes are made at the end.
    """
    ledger = Ledger(path)
    with ledger.transaction() as database:
        _example(database, example)
    database = ledger.database
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF"):
        database.conn.execute(f"PRAGMA {pragma}")
    database.conn.execute("BEGIN IMMEDIATE")
    indexes = _without_indexes(database)
    add_studies(database, 1 + count // SLICES_A_STUDY)
    _instances(database, count)
    for table in ("headers", "instances"):
        database.execute(f"DELETE FROM {table} WHERE receipt = 'example'")
    for statement in indexes:
        database.execute(statement)
    database.conn.execute("COMMIT")
    ledger.close()


def _without_indexes(database: Database) -> list[str]:
    """Drop them; the statements that make them again."""
    found = database.execute("SELECT name, sql FROM sqlite_schema WHERE type='index' AND sql IS NOT NULL").fetchall()
    for name, _ in found:
        database.execute(f"DROP INDEX {name}")
    return [sql for _, sql in found]


def add_studies(database: Database, count: int) -> None:
    """Studies of one series each, complete and decided long ago."""
    when = "2024-01-02T00:00:00.000000Z"
    columns = (
        "study_instance_uid, patient_id, issuer_of_patient_id, accession_number, status, revision, decided_revision,"
        " first_received_at, last_received_at, last_association, due_at, completed_at"
    )
    database.execute(
        f"INSERT INTO studies ({columns}) SELECT '1.2.9.' || value, 'P' || value, '', 'A' || value, 'complete', 1, 1,"
        f" ?, ?, 'none', ?, ? FROM {_SERIES}",
        [*[when] * 4, count],
    )
    columns = "study_instance_uid, series_instance_uid, modality, description, last_received_at"
    database.execute(
        f"INSERT INTO series ({columns}) SELECT '1.2.9.' || value, '1.2.9.' || value || '.1', 'CT', 'Noise', ?"
        f" FROM {_SERIES}",
        [when, count],
    )


def _instances(database: Database, count: int) -> None:
    study = f"'1.2.9.' || (1 + value / {SLICES_A_STUDY})"
    columns = {
        "receipt": "printf('%032x', value)",
        "sop_instance_uid": "'1.2.9.0.' || value",
        "study_instance_uid": study,
        "series_instance_uid": f"{study} || '.1'",
        "digest": "printf('%064x', value)",
    }
    kept = [name for name in Instance.__slots__ if name not in columns]
    database.execute(
        f"INSERT INTO instances ({','.join([*columns, *kept])})"
        f" SELECT {','.join([*columns.values(), *kept])} FROM {_SERIES}, instances WHERE receipt = 'example'",
        [count],
    )
    database.execute(
        f"INSERT INTO headers SELECT printf('%032x', value), {study}, header FROM {_SERIES}, headers"
        " WHERE receipt = 'example'",
        [count],
    )


_SERIES = "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT ?) SELECT value FROM n)"


def _example(database: Database, reading: HeaderReading) -> None:
    arrival = reading.arrival
    row = Instance(
        receipt="example",
        sop_instance_uid="1.2.9.0",
        sop_class_uid=reading.sop_class_uid,
        study_instance_uid="1.2.9.1",
        series_instance_uid="1.2.9.1.1",
        transfer_syntax_uid=arrival.transfer_syntax_uid,
        status=InstanceStatus.CURRENT,
        digest=reading.digest,
        comparison=reading.comparison,
        marks={},
        frames=1,
        bytes=reading.bytes,
        calling_ae_title=arrival.calling_ae_title,
        called_ae_title=arrival.called_ae_title,
        peer_address=arrival.peer_address,
        association="none",
        origin="received",
        received_at=_OLD,
    )
    instances.insert(database, row)
    facts.add_header(database, "example", "1.2.9.1", reading.header)


def add_waiting(ledger: Ledger, count: int, now: datetime) -> None:
    """So many objects that wait for `pacs`: of each study 290 forwarded images and 10 results. And `SHOWN` studies."""
    when = to_text(now)
    with ledger.transaction() as database:
        add_studies(database, max(SHOWN, 1 + count // SLICES_A_STUDY))
        study, is_image = f"'1.2.9.' || (1 + value / {SLICES_A_STUDY})", f"value % {SLICES_A_STUDY} < 290"
        database.execute(
            "INSERT INTO instances (receipt, sop_instance_uid, sop_class_uid, study_instance_uid, series_instance_uid,"
            " transfer_syntax_uid, status, digest, comparison, marks, frames, bytes, calling_ae_title, called_ae_title,"
            " peer_address, association, origin, received_at)"
            f" SELECT printf('%032x', value), '1.2.9.0.' || value, '1.2.840.10008.5.1.4.1.1.2', {study},"
            f" {study} || '.1', '1.2.840.10008.1.2.1', 'current', printf('%064x', value), '{{}}', '{{}}', 1, 500000,"
            f" 'CT1', 'PACSNODE', '127.0.0.1', 'none', 'received', ? FROM {_SERIES} WHERE {is_image}",
            [when, count],
        )
        database.execute(
            "INSERT INTO deliveries (kind, item, sop_class_uid, study_instance_uid, receipt, file, destination, status,"
            " attempts, refusals, not_before, put_off_at, enqueued_at)"
            f" SELECT CASE WHEN {is_image} THEN 'image' ELSE 'object' END, '1.2.9.0.' || value,"
            f" '1.2.840.10008.5.1.4.1.1.2', {study}, CASE WHEN {is_image} THEN printf('%032x', value) END,"
            f" printf('%032x', value), 'pacs', 'waiting', 0, 0, ?, ?, ? FROM {_SERIES}",
            [when, when, when, count],
        )
