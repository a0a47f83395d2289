"""The audit trail for people: whether it is what was written, and what it says.

Reading is recorded, as PS3.15 wants it: who looks into the trail is in the trail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from node.audit.checking import TrailCheck, check
from node.audit.trail import EntryDigest, EntryKind, files_in, folder_of, lines_of, parse
from node.clock import from_text, to_text
from node.desk.actor import Actor
from node.errors import UsageError
from node.ledger import audit_marks, events
from node.ledger.audit_marks import AuditMark
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind

__all__ = ["AuditLine", "AuditQuestion", "TrailCheck", "checkpoint", "for_scripts", "note_reading", "read", "verify"]

_CHECKPOINT = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class AuditQuestion:
    """What somebody asks for; whatever is empty does not count."""

    since: datetime | None = None
    until: datetime | None = None
    study: str = ""
    """Its UID, the end of it, or the accession number."""
    person: str = ""
    """Part of the actor: `hong`, `os:`, `ae:CT1`."""
    kind: str = ""
    """Of the event, or what it is about: `study.viewed`, `delivery`."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One message of the trail."""

    number: int
    at: datetime
    kind: str
    actor: str
    study: str
    accession: str
    patient: str
    message: str
    """As XML."""
    text: str
    """The entry, as JSON."""

    def plain(self, *, identify: bool) -> dict[str, Any]:
        """For scripts; the patient only with `identify`."""
        found: dict[str, Any] = {"number": self.number, "at": self.at, "kind": self.kind, "actor": self.actor}
        found |= {"study": self.study or None, "accession": self.accession or None}
        return found | ({"patient_id": self.patient or None} if identify else {})


def checkpoint(text: str) -> EntryDigest:
    """`124:64 digits`, as a checkpoint has been noted elsewhere; UsageError."""
    found = _CHECKPOINT.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(f'"{text}" is no checkpoint: write NUMBER:DIGEST, the digest with 64 hexadecimal digits')
    return EntryDigest(int(found[1]), found[2])


def verify(data: Path, ledger: Ledger, known: Sequence[EntryDigest] = ()) -> TrailCheck:
    """Check the whole trail, by what the ledger knows and by `known`; raises OSError."""
    with ledger.snapshot() as database:  # before the files: they may be longer by then, never shorter
        marks = [audit_marks.get(database, mark) for mark in (AuditMark.WRITTEN, AuditMark.CHECKED)]
    return check(folder_of(data), [*(EntryDigest(each.number, each.digest) for each in marks if each.digest), *known])


def note_reading(ledger: Ledger, at: datetime, by: Actor, question: AuditQuestion, how: str) -> None:
    """Record who reads the trail, and what of it; TransientError, LedgerError."""
    with ledger.transaction() as database:
        events.record(
            database,
            at,
            EventKind.AUDIT_USED,
            actor=str(by),
            how=how,
            since=to_text(question.since) if question.since else None,
            until=to_text(question.until) if question.until else None,
            about=question.study or None,
            person=question.person or None,
            what=question.kind or None,
        )


def read(data: Path, question: AuditQuestion) -> Iterator[AuditLine]:
    """The messages that are asked for, in the order in which they were written; raises OSError."""
    files = files_in(folder_of(data))
    for position, file in enumerate(files):
        following = files[position + 1] if position + 1 < len(files) else None
        if question.since is None or following is None or _begun(following) >= f"{question.since:%Y-%m-%d}":
            yield from (line for line in _lines(file) if _is_asked_for(line, question))


def for_scripts(found: Sequence[AuditLine], *, more: bool, identify: bool) -> dict[str, Any]:
    """As one object."""
    return {"entries": [each.plain(identify=identify) for each in found], "more": more}


def _begun(file: Path) -> str:
    return file.name.partition("-")[2].removesuffix(".jsonl")


def _lines(file: Path) -> Iterator[AuditLine]:
    for _, line in lines_of(file):
        entry = parse(line)
        if entry is None:
            continue
        fields = json.loads(entry.text)
        if fields.get("kind") == EntryKind.MESSAGE:
            yield AuditLine(
                number=entry.number,
                at=from_text(fields["happened"]),
                kind=fields["what"],
                actor=fields["actor"],
                study=fields["study"],
                accession=fields["accession"],
                patient=fields["patient"],
                message=fields["message"],
                text=entry.text.decode(),
            )


def _is_asked_for(line: AuditLine, question: AuditQuestion) -> bool:
    return (
        (question.since is None or line.at >= question.since)
        and (question.until is None or line.at < question.until)
        and (not question.study or _names(question.study.removeprefix("…"), line))
        and question.person in line.actor
        and (not question.kind or line.kind == question.kind or line.kind.startswith(f"{question.kind}."))
    )


def _names(text: str, line: AuditLine) -> bool:
    return text == line.accession or line.study.endswith(text)
