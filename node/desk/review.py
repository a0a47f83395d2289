"""What waits for a person: each question in one sentence, with what each answer does and the command that gives it.

An item is one or many open alerts that are one question (`node.ledger.questions`), so that what is not alerted is not
here, and what was answered is gone. No item names a patient; for a study that is named, both sides of an identity that
differs are there, because whoever decides has to compare them.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from node.config.models import Configuration
from node.desk import answering, names
from node.desk.answering import ReviewAnswer, ReviewScope
from node.errors import UsageError
from node.ledger import identities, questions
from node.ledger.alert_kinds import AlertKind, AlertSeverity
from node.ledger.database import Database, Ledger
from node.ledger.questions import Position, Question

SHOWN = 50
"""Items of a page where nobody says how many."""
MOST = 500


@dataclass(frozen=True, slots=True)
class BothSides:
    """Patient and order of a study, by keyword, as this node and as a destination have them."""

    destination: str
    ours: Mapping[str, str]
    theirs: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One question."""

    kind: AlertKind
    """Of the alerts that it is; its page of the handbook is `kind.page`."""
    urgent: bool
    """A person may be misled, or something does not arrive, until it is answered."""
    study_instance_uid: str | None
    name: str
    """What people call the study; empty where it is about none, or about many."""
    rule: str | None
    destination: str | None
    since: datetime
    count: int
    """Alike ones that are this question."""
    question: str
    answers: Sequence[ReviewAnswer]
    """None where nothing can be answered here: the handbook says what to do."""
    both: BothSides | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A page of what waits."""

    items: Sequence[ReviewItem]
    after: str | None
    """For the next page; None where this is the last."""


def look(
    ledger: Ledger,
    configuration: Configuration,
    *,
    limit: int = SHOWN,
    after: str | None = None,
    study: str | None = None,
) -> Review:
    """A page of what waits, of all studies or of the one of this UID; UsageError where `after` is none of ours."""
    if not 1 <= limit <= MOST:
        raise UsageError(f"--limit is 1 to {MOST}")
    position = _position(after) if after else None
    items: list[ReviewItem] = []
    unchecked = (name for name, each in configuration.destinations.items() if each.identity_check == "none")
    scope = ReviewScope(study, frozenset(unchecked))
    with ledger.reading() as database:  # no snapshot: what is counted for each may take longer than one may
        while True:
            found = questions.page(database, limit + 1, position, study)
            called = names.of(database, {each.study for each in found if each.study})
            for each in found:
                if len(items) == limit:
                    return Review(items, _text(position) if position else None)
                item = _item(database, each, str(called.get(each.study or "", "")), scope)
                items += [item] if item is not None else []
                position = each.position
            if len(found) <= limit:
                return Review(items, None)


def _item(database: Database, found: Question, name: str, scope: ReviewScope) -> ReviewItem | None:
    about = answering.of(database, found, scope)
    if about is None:
        return None
    study = scope.study
    of_one = found.group == found.place
    destination = found.detail.get("destination")
    return ReviewItem(
        kind=found.kind,
        urgent=found.kind.severity is AlertSeverity.CRITICAL,
        study_instance_uid=found.study if of_one or study else None,
        name=name if of_one or study else "",
        rule=about.rule,
        destination=destination if isinstance(destination, str) else None,
        since=found.since,
        count=about.count,
        question=about.question.replace("STUDY", name or "of no study", 1),
        answers=about.answers,
        both=_both(database, found) if study else None,
    )


def _both(database: Database, found: Question) -> BothSides | None:
    if found.kind is not AlertKind.IDENTITY_DIFFERS:
        return None
    destination, _, study = found.place.partition(" ")
    known = identities.get(database, study, destination)
    return BothSides(destination, known.ours, known.theirs) if known and known.theirs else None


def _text(position: Position) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def _position(text: str) -> Position:
    try:
        read = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        urgency, since, kind, group = read
    except ValueError:
        raise UsageError(f'"{text}" is not what `review` gave for the next page') from None
    return Position(int(urgency), str(since), str(kind), str(group))


def shown(answer: ReviewAnswer, more: Sequence[str] = ()) -> str:
    """The command of an answer, to be typed in a shell; `more`: options that the site needs."""
    return shlex.join(["pacsnode", *answer.command, *more])
