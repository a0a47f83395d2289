"""Our own requests for storage commitment: one row an N-ACTION to an archive, under a Transaction UID of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import uuid4

from sqlite_utils import Database

from node.clock import to_text
from node.ledger import commitments, events
from node.ledger.commitments import CommitmentStatus, Item
from node.ledger.events import Severity
from node.ledger.rows import one


def begin(database: Database, at: datetime, number: int, again_at: datetime) -> tuple[str, list[Item]]:
    """The archive is about to be asked: a new Transaction UID, and what it is asked for; again at `again_at` at latest.

    Random, so that nobody but the archive can answer it; new for each try, because the archive may know the last one.
    """
    transaction = f"2.25.{uuid4().int}"
    open_items = [item for item in commitments.items(database, number) if item.failure is None]
    database.execute(
        "INSERT INTO archive_requests (transaction_uid, commitment, asked_at) VALUES (?,?,?)",
        [transaction, number, to_text(at)],
    )
    database.execute("UPDATE commitments SET not_before=? WHERE id=?", [to_text(again_at), number])
    through = commitments.get(database, number).through
    commitments.record_for(database, at, number, "commitment.archive-asked", through=through, instances=len(open_items))
    return transaction, open_items


def answered(
    database: Database,
    at: datetime,
    *,
    transaction_uid: str,
    archives: frozenset[str],
    committed: frozenset[str],
    failed: Mapping[str, int],
    pause: Callable[[timedelta], timedelta],
) -> list[str]:
    """An archive's report: what it has committed itself to is settled; the SOP instances that it failed are returned.

    `archives` are the destinations that the report may have come from; one that is not about a request to them changes
    nothing. What it failed stays open: it is asked for again, because it may still be on its way there; `pause` says
    how long after, from the age of the request.
    """
    row = one(database, "SELECT commitment FROM archive_requests WHERE transaction_uid=?", [transaction_uid])
    number = int(row["commitment"]) if row else None
    commitment = commitments.get(database, number) if number is not None else None
    if commitment is None or number is None or commitment.through not in archives:
        events.record(
            database,
            at,
            "commitment.unknown-report",
            severity=Severity.WARNING,
            archives=sorted(archives),
            transaction_uid=transaction_uid,
        )
        return []
    database.execute(
        "UPDATE archive_requests SET answered_at=? WHERE transaction_uid=?", [to_text(at), transaction_uid]
    )
    if commitment.status is not CommitmentStatus.AT_ARCHIVE:
        return []
    waiting = [item for item in commitments.items(database, number) if item.failure is None]
    database.conn.executemany(
        "UPDATE commitment_items SET failure=0 WHERE commitment=? AND position=?",
        [(number, item.position) for item in waiting if item.sop_instance_uid in committed - failed.keys()],
    )
    refused = [item for item in waiting if item.sop_instance_uid in failed]
    database.conn.executemany(
        "UPDATE commitment_items SET archive_said=? WHERE commitment=? AND position=?",
        [(failed[item.sop_instance_uid], number, item.position) for item in refused],
    )
    commitments.record_for(
        database,
        at,
        number,
        "commitment.archive-answered",
        Severity.WARNING if refused else Severity.INFO,
        through=commitment.through,
        committed=len(committed),
        failed=len(failed),
        reasons=sorted({f"{reason:04X}" for reason in failed.values()}),
    )
    if not commitments.decide_if_settled(database, at, number) and refused:
        again = at + pause(at - commitment.taken_at)
        commitments.wait(database, at, number, again, f"{commitment.through} lacks {len(refused)} of the instances")
    return [item.sop_instance_uid for item in refused]


def is_answered(database: Database, transaction_uid: str) -> bool:
    """Whether the archive has reported on this request of ours."""
    sql = "SELECT 1 FROM archive_requests WHERE transaction_uid=? AND answered_at IS NOT NULL"
    return one(database, sql, [transaction_uid]) is not None


def give_up(database: Database, at: datetime, number: int, otherwise: int, after: str) -> None:
    """The archive had its time: what it has not committed itself to fails, by what it said last or `otherwise`."""
    commitment = commitments.get(database, number)
    missing = [item for item in commitments.items(database, number) if item.failure is None]
    database.conn.executemany(
        "UPDATE commitment_items SET failure=? WHERE commitment=? AND position=?",
        [(item.archive_said or otherwise, number, item.position) for item in missing],
    )
    commitments.record_for(
        database,
        at,
        number,
        "commitment.archive-late",
        Severity.ALERT,
        through=commitment.through,
        instances=len(missing),
        after=after,
        error=commitment.error,
    )
    commitments.decide_if_settled(database, at, number)
