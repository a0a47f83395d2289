"""A ledger that holds many instances already, as after years: rows made by SQL, no files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from node.index.header import Reading
from node.ledger import facts, instances
from node.ledger.database import Database, Ledger
from node.ledger.instances import Instance, InstanceStatus

SLICES_A_STUDY = 300
_OLD = datetime(2024, 1, 2, tzinfo=UTC)


def fill(path: Path, example: Reading, count: int) -> None:
    """Make the ledger at `path` hold `count` instances like `example`, in studies that were complete long ago."""
    ledger = Ledger(path)
    with ledger.transaction() as database:
        database.execute(
            "INSERT INTO studies SELECT '1.2.9.' || value, 'P' || value, '', 'A' || value, 'complete', 1, 1, NULL,"
            f" ?, ?, 'none', ?, ? FROM {_SERIES}",
            ["2024-01-02T00:00:00.000000Z"] * 4 + [1 + count // SLICES_A_STUDY],
        )
        database.execute(
            "INSERT INTO series (series_instance_uid, study_instance_uid, modality, description, last_received_at)"
            f" SELECT '1.2.9.' || value || '.1', '1.2.9.' || value, 'CT', 'Noise', ? FROM {_SERIES}",
            ["2024-01-02T00:00:00.000000Z", 1 + count // SLICES_A_STUDY],
        )
        _example(database, example)
        study = f"'1.2.9.' || (1 + value / {SLICES_A_STUDY})"
        columns = {
            "receipt": "printf('%032x', value)", "sop_instance_uid": "'1.2.9.0.' || value",
            "study_instance_uid": study, "series_instance_uid": f"{study} || '.1'", "digest": "printf('%064x', value)",
        }  # fmt: skip
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
        database.execute("DELETE FROM headers WHERE receipt = 'example'")
        database.execute("DELETE FROM instances WHERE receipt = 'example'")
    ledger.close()


_SERIES = "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT ?) SELECT value FROM n)"


def _example(database: Database, reading: Reading) -> None:
    arrival = reading.arrival
    row = Instance(
        receipt="example", sop_instance_uid="1.2.9.0", sop_class_uid=reading.sop_class_uid,
        study_instance_uid="1.2.9.1", series_instance_uid="1.2.9.1.1",
        transfer_syntax_uid=arrival.transfer_syntax_uid, status=InstanceStatus.CURRENT, digest=reading.digest,
        comparison=reading.comparison, marks={}, frames=1, bytes=reading.bytes,
        calling_ae_title=arrival.calling_ae_title, called_ae_title=arrival.called_ae_title,
        peer_address=arrival.peer_address, association="none", origin="received", received_at=_OLD,
    )  # fmt: skip
    instances.insert(database, row)
    facts.add_header(database, "example", "1.2.9.1", reading.header)
