"""The stage that writes the audit trail: events after its position, as messages, into the chained files.

First the entries are durable, then the position moves. Between the two the node can die: each entry says which event it
is of, so what is written beyond the ledger's mark is not written again. No other stage knows of this one. Where it
cannot write, events wait in the ledger, and retention lets none of them go (`node.ledger.positions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from node.audit import checking
from node.audit.trail import EntryDigest, EntryKind, TrailWriter, entries_after, files_in, first_number, folder_of
from node.clock import to_text
from node.config.models import Configuration
from node.errors import LedgerError, TransientError, is_of_the_machine
from node.items import place_of
from node.ledger import audit_marks, audit_subjects, backups, events, positions
from node.ledger.audit_marks import AuditMark
from node.ledger.audit_subjects import AuditSubject
from node.ledger.connection import Database
from node.ledger.event_kinds import EventKind
from node.ledger.events import Event
from node.stage import Node, NodeStage
from node.wake import Stage

if TYPE_CHECKING:
    from node.audit.messages import Messages

log = structlog.get_logger(__name__)

_AT_A_TIME = 200
"""Events that are read, written and passed together."""
_LOOK = 2.0
"""Seconds between two looks: an entry is younger than that when the node dies, or in the ledger only."""
_OLD_FILES = 600.0
"""Seconds between two looks for files that are old enough to go."""
_CHECK, _CHECK_AT = "audit-check", time(4, 10)


class DailyCalendar(Protocol):
    """Starts work at a time of day (`node.app.schedule.Schedule`)."""

    def daily(self, name: str, at: time, work: Any, *, make_up_since: datetime | None = None) -> None:
        """Do this each day; one of this name that is there already is replaced."""


class AuditStage(NodeStage):
    """One thread calls `run_once`."""

    def __init__(self, node: Node, configuration: Configuration, calendar: DailyCalendar | None = None) -> None:
        self._node = node
        self._folder = folder_of(node.store.data)
        self._writer: TrailWriter | None = None
        self._position = 0
        self._written: frozenset[tuple[int, str]] = frozenset()
        """Number and time of events that are in the files, though the ledger does not know it."""
        self._looked_at = float("-inf")
        if calendar is not None:
            calendar.daily(_CHECK, _CHECK_AT, partial(check, node))
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Later messages name the peers of this configuration."""
        self._configuration, self._settings = configuration, configuration.audit
        self._messages: Messages | None = None

    def run_once(self) -> float:
        """Write what is new; 0 while there is more."""
        try:
            writer = self._writer or self._open()
            found = events.after(self._node.ledger.database, self._position, _AT_A_TIME)
            if found:
                self._write(writer, found)
            else:
                self._let_go(writer)
        except BaseException:
            self._writer = None  # what the files have by now is read from them again
            raise
        return 0.0 if len(found) == _AT_A_TIME else _LOOK

    def _open(self) -> TrailWriter:
        """Find out what the files have, and whether it is what the ledger knows."""
        ledger, now = self._node.ledger, self._node.clock.now()
        with ledger.transaction() as database:
            positions.moved(database, audit_marks.READER, 0)  # from now on retention waits for it
            known = audit_marks.get(database, AuditMark.WRITTEN)
            self._position = positions.of(database, audit_marks.READER)
            self._follow_syslog(database, known.number)
        writer = TrailWriter(self._folder, now)
        if writer.last.number < known.number:
            self._go_back(writer, EntryDigest(known.number, known.digest), now)
        after = entries_after(self._folder, known.number)
        self._written = frozenset((each["event"], each["happened"]) for each in _messages_of(after))
        self._writer = writer
        return writer

    def _go_back(self, writer: TrailWriter, known: EntryDigest, now: datetime) -> None:
        """Entries are missing: say so in the trail, and write those again whose events are still in the ledger."""
        first = writer.last.number + 1
        lost = f"entries {first} to {known.number} are missing: the end of the trail was cut off"
        *_, last = (0, *(each["event"] for each in _messages_of(entries_after(self._folder, 0))))
        writer.missing(now, known)
        with self._node.ledger.transaction() as database:
            audit_marks.put(database, AuditMark.WRITTEN, writer.last.number, writer.last.digest)
            audit_marks.broken(database, now, lost)
        log.error("audit.end-missing", first=first, last=known.number)
        self._position = min(self._position, last)

    def _write(self, writer: TrailWriter, found: list[Event]) -> None:
        ledger, now = self._node.ledger, self._node.clock.now()
        entries = [made for event in found if (made := self._entry(ledger.database, event)) is not None]
        before = writer.last.number
        place = writer.append(now, entries) if entries else writer.last
        with ledger.transaction() as database:
            positions.moved(database, audit_marks.READER, found[-1].id)
            audit_marks.put(database, AuditMark.WRITTEN, place.number, place.digest)
            self._follow_syslog(database, before)
        self._position = found[-1].id
        if entries:
            self._node.wakes.wake(Stage.AUDIT)

    def _entry(self, database: Database, event: Event) -> dict[str, Any] | None:
        """None of an event without an audit code, or that is written already."""
        if (event.id, to_text(event.at)) in self._written:
            return None
        subject, message = self._made(database, event)
        if message is None:
            return None
        return {
            "kind": EntryKind.MESSAGE,
            "event": event.id,
            "happened": to_text(event.at),
            "what": event.kind,
            "actor": event.actor,
            "study": event.study_instance_uid or "",
            "accession": subject.accession_number if subject else "",
            "patient": subject.patient_id if subject else "",
            "message": message,
        }

    def _made(self, database: Database, event: Event) -> tuple[AuditSubject | None, str | None]:
        """Its subject and its message; a bare one where a mistake of the program prevents more: none is left out."""
        try:
            subject = audit_subjects.of_event(database, event)
            return subject, self._maker().of(event, subject)
        except Exception as error:
            named = self._node.ledger.named(error)
            if isinstance(named, TransientError | LedgerError) or is_of_the_machine(named):
                raise  # it passes, and then the message can be made
            log.error("audit.message-is-bare", number=event.id, why=place_of(error))
            return None, self._maker().bare(event)

    def _maker(self) -> Messages:
        """What makes messages, from the first one on: the Standard's codes take a while to be imported."""
        from node.audit.messages import Messages

        if self._messages is None:
            self._messages = Messages(self._configuration)
        return self._messages

    def _follow_syslog(self, database: Database, number: int) -> None:
        """A server that the configuration names from now on gets what is written from now on; one that is gone none."""
        if self._settings.syslog is None:
            if audit_marks.is_set(database, AuditMark.SENT):
                audit_marks.drop(database, AuditMark.SENT)
        elif not audit_marks.is_set(database, AuditMark.SENT):
            audit_marks.put(database, AuditMark.SENT, number)

    def _let_go(self, writer: TrailWriter) -> None:
        """Remove files that are older than `audit.keep`, and that the syslog server has."""
        monotonic, now = self._node.clock.monotonic(), self._node.clock.now()
        if self._settings.keep is None or monotonic - self._looked_at < _OLD_FILES:
            return
        self._looked_at = monotonic
        database = self._node.ledger.database
        if backups.under_way(database, now):
            return
        is_sent = audit_marks.is_set(database, AuditMark.SENT)
        sent = audit_marks.get(database, AuditMark.SENT).number if is_sent else None
        if old := _old_files(self._folder, now - self._settings.keep, sent):
            writer.remove(now, old)
            with self._node.ledger.transaction() as writing:
                audit_marks.put(writing, AuditMark.WRITTEN, writer.last.number, writer.last.digest)
            log.info("audit.files-removed", files=len(old))


def _messages_of(entries: Iterator[Any]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        fields = entry.fields
        if fields.get("kind") == EntryKind.MESSAGE:
            yield fields


def _old_files(folder: Path, before: datetime, sent: int | None) -> list[Path]:
    """Files whose last entry is older than that: the next file was begun before."""
    files = files_in(folder)
    found = []
    for file, following in pairwise(files):
        begun = following.name.partition("-")[2].removesuffix(".jsonl")
        if begun >= f"{before:%Y-%m-%d}" or (sent is not None and first_number(following) > sent + 1):
            break
        found.append(file)
    return found


def check(node: Node) -> None:
    """Check the whole trail, and record how far it is right; where it is not, an alert."""
    with node.ledger.snapshot() as database:
        marks = [audit_marks.get(database, mark) for mark in (AuditMark.WRITTEN, AuditMark.CHECKED)]
    found = checking.check(folder_of(node.store.data), [EntryDigest(each.number, each.digest) for each in marks])
    now = node.clock.now()
    with node.ledger.transaction() as database:
        if found.breaks:
            audit_marks.broken(database, now, found.summary)
        elif found.last.number:
            number, digest = found.last.number, found.last.digest
            audit_marks.put(database, AuditMark.CHECKED, number, digest)
            kind = EventKind.AUDIT_CHECKPOINT
            events.record(database, now, kind, entries=found.entries, number=number, digest=digest)
    if found.breaks:
        log.error("audit.broken", breaks=len(found.breaks), first=str(found.breaks[0]))
    else:
        log.info("audit.checked", entry=found.last.number, digest=found.last.digest)
