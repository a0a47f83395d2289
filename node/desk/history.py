"""Who did what, and what happened: events by time, kind, actor and study, the newest first."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from node.clock import to_text
from node.desk import find, names, periods
from node.desk.actor import Actor
from node.desk.names import StudyName
from node.desk.rights import Right, require
from node.errors import NotFoundError
from node.ledger import event_search
from node.ledger.database import Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.event_search import EventSearch
from node.ledger.events import Event

KINDS = tuple(kind.value for kind in EventKind)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would calculate (OWASP: CSV injection)."""
COLUMNS = ("number", "at", "severity", "kind", "actor", "study", "job", "delivery", "detail")


@dataclass(frozen=True, slots=True)
class EventQuestion:
    """What somebody asks for, as typed; whatever is empty does not count."""

    since: str = ""
    """`2d`, `2026-03-02`, `2026-03-02 14:00`."""
    until: str = ""
    kind: str = ""
    """`user.logged-in`, or a beginning: `user.`"""
    actor: str = ""
    """`user:kim`, or a beginning: `os:`."""
    study: str = ""
    """A UID, the beginning or end of one, or an accession number."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A part of the history."""

    events: list[Event]
    studies: Mapping[str, StudyName]
    """What people call the studies of these events."""
    before: int | None
    """Where the next page begins; None on the last one."""
    looked_back_to: datetime | None
    """How far back this page looked, where there is another one."""


def look(
    ledger: Ledger, question: EventQuestion, by: Actor, now: datetime, zone: tzinfo, limit: int, before: int | None
) -> EventPage:
    """The newest events of those with a number below `before`; UsageError, NotFoundError, NotAllowedError."""
    require(by, Right.SEE_AUDIT)
    with ledger.reading() as database:
        asked = EventSearch(
            periods.moment(question.since, now, zone) if question.since else None,
            periods.moment(question.until, now, zone) if question.until else None,
            question.kind,
            question.actor,
            find.study(database, question.study).study_instance_uid if question.study else "",
        )
        found = event_search.find(database, asked, limit, before)
        known = {each.study_instance_uid for each in found.events if each.study_instance_uid}
        try:
            called = names.of(database, known)
        except NotFoundError:  # retention removed one of them
            called = {}
    return EventPage(found.events, called, found.before, found.looked_back_to)


def as_csv(events: Iterable[Event], *, heading: bool) -> str:
    """Lines of a CSV file (RFC 4180), moments in UTC; `heading`: with the names of the columns first."""
    out = io.StringIO()
    writer = csv.writer(out)
    if heading:
        writer.writerow(COLUMNS)
    for each in events:
        row = (
            each.id,
            to_text(each.at),
            each.severity.value,
            each.kind,
            each.actor,
            each.study_instance_uid or "",
            each.job or "",
            each.delivery or "",
            json.dumps(each.detail, ensure_ascii=False, sort_keys=True) if each.detail else "",
        )
        writer.writerow([_harmless(str(value)) for value in row])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
