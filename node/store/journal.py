"""Messages that the receiver writes down before it answers them, and reports that it is to send: files in `journal/`.

Receivers know nothing of the ledger. What an N-ACTION or N-EVENT-REPORT said is a file, durable before 0x0000 is
answered; the node process takes it into the ledger and removes it. The way back is a file too: a report for an
association that is still open is offered beside them, and its receiver says by the file's name what became of it.

    <receipt>.json                          a message; the node takes it
    <receipt>.refused                       callers that were refused, counted; not durable, because nothing is promised
    <association>.<number>.report           offered by the node
    <association>.<number>.sending          claimed by the receiver: the rename lets only one have it
    <association>.<number>.<status>         the peer's answer, in hexadecimal, or `unanswered`

This module stands below the stages, as `node.store.layout` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from node.clock import from_text, to_text
from node.dimse.commitment import CommitmentReference, CommitmentRequest, CommitmentResult
from node.store import upgrade_record
from node.store.callers import RefusedCaller
from node.store.durable import write_durably

_REFUSED = ".refused"
_MOST_REFUSED = 1000
"""Files of refused callers that wait for the node; what comes then is in the log alone."""
_OFFERED, _CLAIMED, _UNANSWERED = ".report", ".sending", ".unanswered"
_FORGOTTEN = 3600.0
"""Seconds after which a message that was never finished is removed: who sent it was not answered."""


class MessageKind(StrEnum):
    """What a message is."""

    REQUEST = "request"
    """N-ACTION: somebody asks us for storage commitment."""
    RESULT = "result"
    """N-EVENT-REPORT: somebody tells what came of a request of ours."""


@dataclass(frozen=True, slots=True)
class JournalMessage:
    """What came, from whom, and on which association."""

    content: CommitmentRequest | CommitmentResult
    calling_ae_title: str
    called_ae_title: str
    association: str
    received_at: datetime

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        kind = MessageKind.REQUEST if isinstance(self.content, CommitmentRequest) else MessageKind.RESULT
        return {
            "kind": kind,
            "content": plain(self.content),
            "calling_ae_title": self.calling_ae_title,
            "called_ae_title": self.called_ae_title,
            "association": self.association,
            "received_at": to_text(self.received_at),
        }

    @staticmethod
    def from_json(said: dict[str, Any]) -> JournalMessage:
        """The inverse of `to_json`."""
        content: CommitmentRequest | CommitmentResult
        if said["kind"] == MessageKind.REQUEST:
            references = tuple(CommitmentReference(*each) for each in said["content"]["references"])
            content = CommitmentRequest(said["content"]["transaction_uid"], references)
        else:
            content = _result(said["content"])
        return JournalMessage(
            content=content,
            calling_ae_title=said["calling_ae_title"],
            called_ae_title=said["called_ae_title"],
            association=said["association"],
            received_at=from_text(said["received_at"]),
        )


def plain(content: CommitmentRequest | CommitmentResult) -> dict[str, Any]:
    """As JSON: references are pairs of UIDs."""
    if isinstance(content, CommitmentRequest):
        return {"transaction_uid": content.transaction_uid, "references": [_pair(each) for each in content.references]}
    return {
        "transaction_uid": content.transaction_uid,
        "committed": [_pair(each) for each in content.committed],
        "failed": [[*_pair(each), reason] for each, reason in content.failed],
    }


def _pair(reference: CommitmentReference) -> list[str]:
    return [reference.sop_class_uid, reference.sop_instance_uid]


def _result(said: dict[str, Any]) -> CommitmentResult:
    return CommitmentResult(
        said["transaction_uid"],
        tuple(CommitmentReference(*each) for each in said["committed"]),
        tuple((CommitmentReference(*each[:2]), int(each[2])) for each in said["failed"]),
    )


@dataclass(frozen=True, slots=True)
class JournalOutcome:
    """What became of a report that was offered."""

    answered: bool
    """Its way on this association is over: there is an answer, or there will be none."""
    status: int | None = None
    """The peer's answer; None where it gave none."""


class Journal:
    """The folder of one data folder; making it makes it."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "journal"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    # --- messages: receiver → node ----------------------------------------------------------------

    def keep(self, name: str, message: JournalMessage) -> None:
        """Write a message down, durably. Raises OSError."""
        write_durably(self.folder / f"{name}.json", json.dumps(message.to_json(), separators=(",", ":")).encode())

    def waiting(self) -> list[str]:
        """Names of the messages that were not taken, in order of arrival."""
        return sorted(entry.name[:-5] for entry in os.scandir(self.folder) if entry.name.endswith(".json"))

    def read(self, name: str) -> JournalMessage:
        """A message. Raises OSError, or ValueError, KeyError, TypeError, IndexError where it is not one of ours."""
        return JournalMessage.from_json(json.loads((self.folder / f"{name}.json").read_text()))

    def set_aside(self, name: str) -> None:
        """One that cannot be read: out of the way, and kept."""
        (self.folder / f"{name}.json").rename(self.folder / f"{name}.unreadable")

    def taken(self, name: str) -> None:
        """The ledger has it. During an upgrade, which may go back to an earlier ledger, a copy is kept."""
        message = self.folder / f"{name}.json"
        if upgrade_record.is_open(self.folder.parent):
            with contextlib.suppress(FileNotFoundError):
                message.rename(upgrade_record.make_folder(self.folder.parent) / upgrade_record.JOURNAL / message.name)
        message.unlink(missing_ok=True)

    def sweep(self, offered: Collection[tuple[str, int]]) -> None:
        """At the start: remove what a receiver that was killed had begun to write, and offers other than `offered`."""
        kept = {f"{association}.{number}" for association, number in offered}
        for path in self.folder.iterdir():
            begun = path.suffix == ".part" and time.time() - path.stat().st_mtime > _FORGOTTEN
            over = path.suffix not in (".part", ".json", ".unreadable", _REFUSED) and path.stem not in kept
            if begun or over:
                path.unlink(missing_ok=True)

    # --- refused callers: receiver → node ---------------------------------------------------------

    def note_refused(self, name: str, callers: Sequence[RefusedCaller]) -> None:
        """Write down who was refused, without waiting for the disk; nothing where nobody takes it. Raises OSError."""
        if len(self.refused()) >= _MOST_REFUSED:
            return
        part = self.folder / f"{name}.noting"
        part.write_text(json.dumps([{**asdict(each), "last_at": to_text(each.last_at)} for each in callers]))
        part.rename(self.folder / f"{name}{_REFUSED}")

    def refused(self) -> list[Path]:
        """Files of refused callers, in order of arrival."""
        return sorted(self.folder.glob(f"*{_REFUSED}"))

    @staticmethod
    def read_refused(path: Path) -> list[RefusedCaller]:
        """What one of them says. Raises OSError, or ValueError, KeyError, TypeError where it is not one of ours."""
        said = json.loads(path.read_text())
        return [
            RefusedCaller(
                calling_ae_title=str(each["calling_ae_title"]),
                called_ae_title=str(each["called_ae_title"]),
                address=str(each["address"]),
                reason=str(each["reason"]),
                times=int(each["times"]),
                last_at=from_text(each["last_at"]),
            )
            for each in said
        ]

    # --- reports: node → receiver → node ----------------------------------------------------------

    def offer(self, association: str, number: int, result: CommitmentResult) -> None:
        """Let the receiver that holds this association send the report. Raises OSError."""
        path = self.folder / f"{association}.{number}{_OFFERED}"
        part = path.with_suffix(".offer")
        part.write_text(json.dumps(plain(result), separators=(",", ":")))
        part.rename(path)

    def claim(self, association: str) -> tuple[Path, CommitmentResult] | None:
        """The next report that is offered to this association, now claimed; `settle` says what became of it."""
        for path in sorted(self.folder.glob(f"{association}.*{_OFFERED}")):
            claimed = path.with_suffix(_CLAIMED)
            try:
                path.rename(claimed)
            except FileNotFoundError:  # withdrawn meanwhile
                continue
            return claimed, _result(json.loads(claimed.read_text()))
        return None

    def settle(self, claimed: Path, status: int | None) -> None:
        """The peer's answer to a claimed report; None where none came."""
        claimed.rename(claimed.with_suffix(_UNANSWERED if status is None else f".{status:04X}"))

    def outcome(self, association: str, number: int, still_open: bool) -> JournalOutcome:
        """What became of a report that was offered.

        One that the receiver did not claim is withdrawn where the association is not `still_open`; one that it claimed
        and will not settle any more counts as unanswered.
        """
        path = self.folder / f"{association}.{number}{_OFFERED}"
        if path.exists() or path.with_suffix(_CLAIMED).exists():
            if still_open:
                return JournalOutcome(answered=False)
            path.unlink(missing_ok=True)
        found = next(self.folder.glob(f"{association}.{number}.[0-9A-F][0-9A-F][0-9A-F][0-9A-F]"), None)
        return JournalOutcome(answered=True, status=int(found.suffix[1:], 16) if found else None)

    def forget(self, association: str, number: int) -> None:
        """The ledger has what became of an offer: remove what is left of it."""
        for path in self.folder.glob(f"{association}.{number}.*"):
            path.unlink(missing_ok=True)
