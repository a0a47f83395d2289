"""Storage commitment as `status` and `study` show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from node.cli.output import cell
from node.dimse.status import status_text
from node.ledger.commitments import Commitment, CommitmentStatus, Item

NAME = "commitment:"
"""Stands before the number of a request, where a command names one."""
Rows = tuple[str, Sequence[str], Sequence[Sequence[Text]]]


def queue(counts: Mapping[CommitmentStatus, int]) -> list[str]:
    """What waits where, in words; nothing where nobody ever asked."""
    words = {
        CommitmentStatus.WAITING: "being decided",
        CommitmentStatus.AT_ARCHIVE: "waiting for the archive's own",
        CommitmentStatus.OFFERED: "being reported",
        CommitmentStatus.DECIDED: "to be reported",
        CommitmentStatus.REPORTED: "reported",
        CommitmentStatus.DEAD: "that could not be reported",
    }
    return [f"{counts[status]} {what}" for status, what in words.items() if counts.get(status)]


def attention(found: Sequence[Commitment]) -> Rows:
    """Requests that could not be reported, or that wait for somebody."""
    rows = [
        (
            cell(each.id),
            cell(each.requester),
            cell(_status(each), "red" if each.status is CommitmentStatus.DEAD else ""),
            cell(each.error),
        )
        for each in found
    ]
    return f"Storage commitment (again: pacsnode retry {NAME}NUMBER)", [">Number", "=Asked by", "=Status", "Why"], rows


def of_study(found: Sequence[tuple[Commitment, Sequence[Item]]]) -> Rows:
    """Every request that names instances of a study."""
    rows = []
    for each, items in found:
        failed = [item for item in items if item.failure]
        reasons = ", ".join(sorted({status_text(item.failure) for item in failed}))
        settled = sum(item.failure == 0 for item in items)
        rows.append(
            (
                cell(each.id),
                cell(each.requester),
                cell(_status(each), "red" if each.status is CommitmentStatus.DEAD else ""),
                cell(len(items)),
                cell(settled),
                cell(len(failed), "red" if failed else ""),
                cell(each.error or reasons),
            )
        )
    columns = [">No.", "=Asked by", "=Status", ">Images", ">Committed", ">Failed", "About"]
    return "Storage commitment", columns, rows


def _status(commitment: Commitment) -> str:
    return f"at {commitment.through}" if commitment.status is CommitmentStatus.AT_ARCHIVE else str(commitment.status)


def plain(row: Commitment, items: Sequence[Item] | None = None) -> dict[str, Any]:
    """A request for scripts; with its items where they are given."""
    said: dict[str, Any] = {
        "id": row.id,
        "transaction_uid": row.transaction_uid,
        "requester": row.requester,
        "status": row.status,
        "commit_through": row.through,
        "attempts": row.attempts,
        "not_before": row.not_before,
        "error": row.error,
        "requested_at": row.requested_at,
        "decided_at": row.decided_at,
        "reported_at": row.reported_at,
    }
    if items is not None:
        said["instances"] = [
            {
                "sop_class_uid": item.sop_class_uid,
                "sop_instance_uid": item.sop_instance_uid,
                "committed": None if item.failure is None else item.failure == 0,
                "failure_reason": f"{item.failure:04X}" if item.failure else None,
            }
            for item in items
        ]
    return said
