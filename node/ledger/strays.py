"""Received files that belong to no study: our own objects that came back, and what could not be read.

They are of no study, so none is *purging* for them. Their files go first, then their rows; a crash in between leaves
rows whose files are gone, and the next run removes them, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from node.clock import to_text
from node.ledger import dismissals, events
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.outdated import Amount
from node.ledger.rows import one, placeholders, query

_PAGE = 100
_NOT_NEEDED = (
    "NOT EXISTS (SELECT 1 FROM alerts WHERE kind='instance.unreadable' AND place=coalesce(study_instance_uid, '')"
    " AND closed_at IS NULL AND acknowledged_at IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM commitment_items AS item JOIN commitments ON commitments.id=commitment"
    " WHERE item.sop_instance_uid=instances.sop_instance_uid AND (commitments.status NOT IN ('reported', 'dead')"
    " OR (failure=0 AND through IS NULL AND (keep_seconds IS NULL"
    " OR julianday(decided_at)+keep_seconds/86400.0>julianday(:now)))))"
    " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.receipt=instances.receipt)"
    " AND NOT EXISTS (SELECT 1 FROM defects WHERE item='receipt:' || receipt)"
    " AND NOT EXISTS (SELECT 1 FROM box_answers LEFT JOIN attempts ON attempts.id=box_answers.attempt"
    " WHERE box_answers.receipt=instances.receipt AND (box_answers.status IN ('new', 'unmatched')"
    " OR (box_answers.status='matched' AND ended_at IS NULL)))"
)


def old(database: Database, before: datetime, now: datetime) -> Iterator[list[str]]:
    """Receipts of before `before` that nobody needs: nobody has still to look at them, and nothing was promised."""
    after = ""
    while True:
        rows = query(
            database,
            "SELECT receipt FROM instances INDEXED BY instances_not_current WHERE status<>'current'"  # noqa: S608 - our own text
            " AND received_at<:before AND receipt>:after AND NOT EXISTS (SELECT 1 FROM studies"
            " WHERE studies.study_instance_uid=instances.study_instance_uid)"
            f" AND {_NOT_NEEDED} ORDER BY receipt LIMIT {_PAGE}",
            {"before": to_text(before), "after": after, "now": to_text(now)},
        )
        if not rows:
            return
        after = rows[-1]["receipt"]
        yield [row["receipt"] for row in rows]


def removed(database: Database, at: datetime, receipts: Sequence[str]) -> Amount:
    """Their files are gone, and that is durable: remove the rows; how much that was."""
    among = placeholders(receipts)
    sql = f"SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM instances WHERE receipt IN ({among})"  # noqa: S608 - only question marks
    row = one(database, sql, [*receipts])
    assert row is not None, "a count is one row"
    places = f"SELECT DISTINCT coalesce(study_instance_uid, '') AS place FROM instances WHERE receipt IN ({among})"  # noqa: S608 - as above
    concerned = [each["place"] for each in query(database, places, [*receipts])]
    for table in ("headers", "instances"):
        database.execute(f"DELETE FROM {table} WHERE receipt IN ({among})", [*receipts])  # noqa: S608 - as above
    for place in concerned:
        dismissals.removed(database, place)
    events.record(database, at, EventKind.INSTANCES_GONE, instances=row["n"], bytes=row["bytes"])
    return Amount(row["n"], row["bytes"])
