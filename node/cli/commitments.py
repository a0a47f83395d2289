"""Storage commitment as `status` and `study` show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from rich.console import RenderableType
from rich.text import Text

from node.cli.output import cell, table
from node.desk import find
from node.desk.rows import (
    IN_TROUBLE,
    Commitment,
    CommitmentCounts,
    CommitmentItem,
    CommitmentStatus,
    DeliveryCommitment,
    StudyCommitment,
)
from node.desk.words import clock_text
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


def of_destinations(
    results: Mapping[str, CommitmentCounts], images: Mapping[str, CommitmentCounts]
) -> list[RenderableType]:
    """How far destinations have committed themselves to what they have stored; nothing where none is asked."""
    rows = [[cell(name), cell("results"), *_kept(counts)] for name, counts in results.items() if any(counts.values())]
    rows += [[cell(name), cell("images"), *_kept(counts)] for name, counts in images.items() if any(counts.values())]
    title = "Storage commitment of what was delivered"
    return [Text(), table(title, ["Destination", "of", ">committed", ">asked", ">not kept"], rows)] if rows else []


def _kept(counts: CommitmentCounts) -> list[Text]:
    """Committed; asked or to be asked; in trouble."""
    asked = sum(counts.get(each, 0) for each in (DeliveryCommitment.WANTED, DeliveryCommitment.ASKED))
    refused = counts.get(DeliveryCommitment.REFUSED, 0)
    troubled = refused + counts.get(DeliveryCommitment.OVERDUE, 0)
    style = "bold red" if refused else "yellow" if troubled else ""
    return [cell(counts.get(DeliveryCommitment.COMMITTED, 0)), cell(asked), cell(troubled, style)]


def by_destinations(found: Sequence[StudyCommitment], zone: tzinfo, now: datetime) -> Rows:
    """What of a study the destinations have committed themselves to, or not."""
    in_time = (DeliveryCommitment.WANTED, DeliveryCommitment.ASKED)
    rows = [
        (
            cell(each.destination),
            cell("images" if each.kind == "image" else "results"),
            cell(each.commitment, "red" if each.commitment in IN_TROUBLE else ""),
            cell(each.instances),
            cell(clock_text(each.commit_by, zone, now) if each.commitment in in_time else ""),
            cell(status_text(each.failure) if each.failure is not None else ""),
        )
        for each in found
    ]
    title = "Storage commitment of what was sent (again: pacsnode retry STUDY)"
    return title, ["Destination", "Kind", "=Commitment", ">Instances", "=Until", "=Reason"], rows


def _status(commitment: Commitment) -> str:
    return f"at {commitment.through}" if commitment.status is CommitmentStatus.AT_ARCHIVE else str(commitment.status)
