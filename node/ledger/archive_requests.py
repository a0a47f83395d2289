"""Our own requests for storage commitment: one row an N-ACTION to an archive, under a Transaction UID of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from node.clock import to_text
from node.ledger import alerts, commit_batches, commitments, events
from node.ledger.alert_kinds import AlertKind
from node.ledger.commitment import CommitmentItem, CommitmentStatus
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.rows import one


def begin(database: Database, at: datetime, number: int, again_at: datetime) -> tuple[str, list[CommitmentItem]]:
    """The archive is about to be asked: a new Transaction UID, and what it is asked for; again at `again_at` at latest.

    Random, so that nobody but the archive can answer it; new for each try, because the archive may know the last one.
    """
    open_items = [item for item in commitments.items(database, number) if item.failure is None]
    transaction = _insert(database, at, commitment=number)
    commitments.put_off(database, at, number, again_at)
    through = commitments.get(database, number).through
    commitments.record_for(
        database, at, number, EventKind.COMMITMENT_ARCHIVE_ASKED, through=through, instances=len(open_items)
    )
    return transaction, open_items


def begin_for_batch(
    database: Database, at: datetime, number: int, again_at: datetime
) -> tuple[str, list[tuple[str, str]]]:
    """The same for what is left in a batch of deliveries: SOP class and SOP instance UIDs; none where it has ended."""
    references = commit_batches.references(database, number)
    if commit_batches.end_if_settled(database, at, number):
        return "", []
    batch = commit_batches.get(database, number)
    transaction = _insert(database, at, batch=number)
    commit_batches.put_off(database, at, number, again_at)
    events.record(
        database,
        at,
        EventKind.COMMITMENT_ARCHIVE_ASKED,
        study=batch.study_instance_uid,
        destination=batch.destination,
        batch=number,
        instances=len(references),
        transaction_uid=transaction,
    )
    return transaction, references


def _insert(database: Database, at: datetime, *, commitment: int | None = None, batch: int | None = None) -> str:
    transaction = f"2.25.{uuid4().int}"
    database.execute(
        "INSERT INTO archive_requests (transaction_uid, commitment, batch, asked_at) VALUES (?,?,?,?)",
        [transaction, commitment, batch, to_text(at)],
    )
    return transaction


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What an archive says of a request."""

    transaction_uid: str
    calling_ae_title: str
    """Who says so."""
    archives: frozenset[str]
    """The destinations that it may have come from."""
    committed: frozenset[str]
    failed: Mapping[str, int]
    """SOP Instance UID to failure reason."""
    absent: frozenset[str]
    """Those that failed because the archive does not have them."""
    unchanging: frozenset[str]
    """Those that failed for a reason that waiting does not change."""


@dataclass(frozen=True, slots=True)
class ArchiveRequest:
    """One row of `archive_requests`; it is about a request of another AE, or about a batch of deliveries."""

    destination: str
    """The archive that was asked."""
    commitment: int | None
    batch: int | None
    answered_at: str | None


def take(database: Database, at: datetime, report: ArchiveReport) -> ArchiveRequest | None:
    """The request that a report is about, which is answered now; None where it changes nothing.

    It changes nothing where it does not come from the archive that was asked under this Transaction UID, which is
    recorded, nor where it is a second one on the same transaction.
    """
    row = one(
        database,
        "SELECT coalesce(through, destination) AS destination, commitment, batch, answered_at FROM archive_requests"
        " LEFT JOIN commitments ON commitments.id=commitment LEFT JOIN commit_batches ON commit_batches.id=batch"
        " WHERE archive_requests.transaction_uid=?",
        [report.transaction_uid],
    )
    request = ArchiveRequest(**row) if row else None
    if request is None or request.destination not in report.archives:
        events.record(
            database,
            at,
            EventKind.COMMITMENT_UNKNOWN_REPORT,
            severity=Severity.WARNING,
            actor=events.ae(report.calling_ae_title),
            archives=sorted(report.archives),
            transaction_uid=report.transaction_uid,
        )
        return None
    if request.answered_at is not None:
        return None
    sql = "UPDATE archive_requests SET answered_at=? WHERE transaction_uid=?"
    database.execute(sql, [to_text(at), report.transaction_uid])
    return request


def answered(
    database: Database, at: datetime, number: int, report: ArchiveReport, pause: Callable[[timedelta], timedelta]
) -> list[str]:
    """An archive's report: what it has committed itself to is settled; the SOP instances that it failed are returned.

    What it failed stays open: it is asked for again, because it may still be on its way there; `pause` says how long
    after, from the age of the request. For a batch of deliveries see `node.ledger.batch_reports`.
    """
    commitment = commitments.get(database, number)
    if commitment.status is not CommitmentStatus.AT_ARCHIVE:
        return []
    refused = _settle_items(database, number, report)
    commitments.record_for(
        database,
        at,
        number,
        EventKind.COMMITMENT_ARCHIVE_ANSWERED,
        Severity.WARNING if refused else Severity.INFO,
        through=commitment.through,
        committed=len(report.committed),
        failed=len(report.failed),
        reasons=sorted({f"{reason:04X}" for reason in report.failed.values()}),
    )
    if not commitments.decide_if_settled(database, at, number) and refused:
        again = at + pause(commitment.tried_for(at))
        commitments.wait(database, at, number, again, f"{commitment.through} lacks {len(refused)} of the instances")
    return [item.sop_instance_uid for item in refused]


def _settle_items(database: Database, number: int, report: ArchiveReport) -> list[CommitmentItem]:
    """What the archive said of each item that is open; those that it failed."""
    waiting = [item for item in commitments.items(database, number) if item.failure is None]
    kept = report.committed - report.failed.keys()
    database.conn.executemany(
        "UPDATE commitment_items SET failure=0 WHERE commitment=? AND position=?",
        [(number, item.position) for item in waiting if item.sop_instance_uid in kept],
    )
    refused = [item for item in waiting if item.sop_instance_uid in report.failed]
    database.conn.executemany(
        "UPDATE commitment_items SET archive_said=? WHERE commitment=? AND position=?",
        [(report.failed[item.sop_instance_uid], number, item.position) for item in refused],
    )
    return refused


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
        EventKind.COMMITMENT_ARCHIVE_LATE,
        through=commitment.through,
        instances=len(missing),
        after=after,
        error=commitment.error,
    )
    alerts.met(
        database,
        at,
        AlertKind.COMMITMENT_ARCHIVE_LATE,
        commitment.through or "",
        through=commitment.through,
        instances=len(missing),
        after=after,
        error=commitment.error,
    )
    commitments.decide_if_settled(database, at, number)
