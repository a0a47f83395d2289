"""Storage commitment as `status` and `study` show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from node.cli.output import cell
from node.desk import find
from node.desk.rows import Commitment, CommitmentItem, CommitmentStatus
from node.dimse.status import status_text

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
    return (
        f"Storage commitment (again: pacsnode retry {find.COMMITMENT}NUMBER)",
        [">Number", "=Asked by", "=Status", "Why"],
        rows,
    )


def of_study(found: Sequence[tuple[Commitment, Sequence[CommitmentItem]]]) -> Rows:
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
