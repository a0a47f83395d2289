"""What a destination reports on a batch of deliveries that it was asked for (`node.ledger.commit_batches`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from node.clock import to_text
from node.ledger import commit_batches, events, resends
from node.ledger.archive_requests import ArchiveReport
from node.ledger.commit_batches import CommitBatch
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryCommitment, DeliveryKind
from node.ledger.event_kinds import EventKind, Severity
from node.ledger.resends import ResendOutcome
from node.ledger.rows import query


@dataclass(frozen=True, slots=True)
class _ReportParts:
    """What is left in the batch, by what the report says of it: ids of deliveries."""

    committed: Sequence[Mapping[str, Any]]
    failed: Sequence[Mapping[str, Any]]
    absent: Sequence[Mapping[str, Any]]
    """Those of `failed` that the destination does not have."""
    unnamed: Sequence[Mapping[str, Any]]


def answered(
    database: Database, at: datetime, number: int, report: ArchiveReport, pause: Callable[[timedelta, bool], timedelta]
) -> int:
    """What the destination has committed itself to is settled; how many deliveries wait to be sent again.

    What it does not have is sent again, a few times; what failed for another reason, or is not named, is asked for
    again after a `pause`, from how long it was asked for, and whether a person has to act first. UIDs that are not in
    the batch change nothing.
    """
    batch = commit_batches.get(database, number)
    if batch.ended_at is not None:
        return 0
    found = _sorted(database, number, report)
    _commit(database, at, batch, found.committed)
    not_kept = resends.not_kept(database, at, batch.destination, [row["item"] for row in found.absent])
    _fail(database, batch, found, not_kept, report)
    _record(database, at, batch, found, not_kept, report)
    left = len(found.failed) - len(not_kept.sent_again) - len(not_kept.not_meant) + len(found.unnamed)
    if not commit_batches.end_if_settled(database, at, number):
        error = f"{batch.destination} has not committed itself to {left} instances that it has taken"
        in_vain = batch.late_at is not None or commit_batches.is_refused(database, number)
        commit_batches.wait(database, at, number, at + pause(batch.tried_for(at), in_vain), error)
        commit_batches.raise_alerts(database, at, commit_batches.get(database, number))
    return len(not_kept.sent_again)


def _sorted(database: Database, number: int, report: ArchiveReport) -> _ReportParts:
    sql = "SELECT id, item, kind, job FROM deliveries WHERE commit_batch=? ORDER BY id"
    rows = query(database, sql, [number])
    failed = [row for row in rows if row["item"] in report.failed]
    return _ReportParts(
        [row for row in rows if row["item"] in report.committed - report.failed.keys()],
        failed,
        [row for row in failed if row["item"] in report.absent],
        [row for row in rows if row["item"] not in report.committed | report.failed.keys()],
    )


def _commit(database: Database, at: datetime, batch: CommitBatch, those: Sequence[Mapping[str, Any]]) -> None:
    """The destination keeps these. Each result has an event; the images of a study are many, and counted."""
    database.conn.executemany(
        "UPDATE deliveries SET commitment=?, committed_at=?, commit_batch=NULL, commit_failure=NULL WHERE id=?",
        [(DeliveryCommitment.COMMITTED, to_text(at), row["id"]) for row in those],
    )
    for row in (row for row in those if row["kind"] != DeliveryKind.IMAGE):
        about = {"study": batch.study_instance_uid, "job": row["job"], "delivery": row["id"]}
        events.record(database, at, EventKind.DELIVERY_COMMITTED, destination=batch.destination, **about)


def _fail(
    database: Database, batch: CommitBatch, found: _ReportParts, not_kept: ResendOutcome, report: ArchiveReport
) -> None:
    """What stays in the batch, with the reason; what is not to be at the destination leaves it."""
    database.conn.executemany(
        "UPDATE deliveries SET commitment='none', commit_by=NULL, commit_batch=NULL WHERE id=?",
        [(number,) for number in not_kept.not_meant],
    )
    gone = {*not_kept.sent_again, *not_kept.not_meant}
    late = batch.late_at is not None
    for row in (row for row in found.failed if row["id"] not in gone):
        refused = late or row["id"] in not_kept.exhausted or row["item"] in report.unchanging
        to = DeliveryCommitment.REFUSED if refused else DeliveryCommitment.WANTED
        database.execute(
            "UPDATE deliveries SET commit_failure=?, commitment=? WHERE id=?",
            [report.failed[row["item"]], to, row["id"]],
        )
    database.conn.executemany(
        "UPDATE deliveries SET commitment=? WHERE id=? AND commitment=?",
        [(DeliveryCommitment.WANTED, row["id"], DeliveryCommitment.ASKED) for row in found.unnamed],
    )


def _record(
    database: Database,
    at: datetime,
    batch: CommitBatch,
    found: _ReportParts,
    not_kept: ResendOutcome,
    report: ArchiveReport,
) -> None:
    reasons = sorted({f"{report.failed[row['item']]:04X}" for row in found.failed})
    events.record(
        database,
        at,
        EventKind.COMMITMENT_ARCHIVE_ANSWERED,
        study=batch.study_instance_uid,
        severity=Severity.WARNING if found.failed or found.unnamed else Severity.INFO,
        actor=events.ae(report.calling_ae_title),
        destination=batch.destination,
        batch=batch.id,
        transaction_uid=report.transaction_uid,
        committed=len(found.committed),
        failed=len(found.failed) or None,
        reasons=reasons or None,
        unnamed=len(found.unnamed) or None,
        sent_again=len(not_kept.sent_again) or None,
        to_withdraw=len(not_kept.not_meant) or None,
    )
