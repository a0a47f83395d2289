"""Vendors' boxes as people see them: whether they answer, how long they take, and whose an answer is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from node.clock import to_text
from node.config.boxes import VendorBox
from node.desk import find
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.desk.rights import Right, require
from node.desk.words import ago, clock_text, short, tail
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import attempts, box_answers, boxes, contacts, events, jobs
from node.ledger.attempts import Attempt, AttemptElsewhere, AttemptStart
from node.ledger.box_answers import BoxAnswer
from node.ledger.boxes import Turnaround
from node.ledger.contacts import ContactKind, WorkerContact
from node.ledger.database import Database, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobStatus
from plugins.boxes import kind_of

_GIVEN_FOR = timedelta(hours=1)
"""For taking an answer that is here already."""


@dataclass(frozen=True, slots=True)
class BoxCondition:
    """How things stand with one box."""

    name: str
    place: str
    contact: WorkerContact | None
    turnaround: Turnaround | None
    open_jobs: int
    unmatched: int
    """Objects of it that wait for a person."""


@dataclass(frozen=True, slots=True)
class UnmatchedAnswer:
    """Objects of one box and one study that wait for a person."""

    name: str
    """Names them for a command."""
    box: str
    study_instance_uid: str
    """As the objects have it."""
    kinds: Sequence[str]
    since: datetime
    why: str
    job: str | None
    """The job that they seem to be about."""


def standing(database: Database, configured: Mapping[str, VendorBox]) -> list[BoxCondition]:
    """Of every box of the configuration, in its order."""
    waiting = [each.box for each in box_answers.unmatched(database)]
    return [
        BoxCondition(
            name,
            box.place,
            contacts.get(database, ContactKind.BOX, name),
            boxes.turnaround(database, name),
            len(attempts.open_at(database, boxes.place_of(name))),
            waiting.count(name),
        )
        for name, box in configured.items()
    ]


def sentence(found: BoxCondition, zone: tzinfo, now: datetime) -> str:
    """As in `cad (CADBOX at 10.0.0.20:104) answers; 2 jobs there; takes 4 min (median of 37), the last one 3 min`."""
    parts = condition_words(found.name, found.place, found.contact, found.turnaround, found.open_jobs, zone, now)
    if found.unmatched:
        parts.append(f"{found.unmatched} of its objects wait for a person: pacsnode answers")
    return "; ".join(parts)


def condition_words(
    name: str,
    place: str,
    contact: WorkerContact | None,
    took: Turnaround | None,
    open_jobs: int,
    zone: tzinfo,
    now: datetime,
) -> list[str]:
    """How things stand with a system that works on jobs elsewhere."""
    if contact is None:
        state = "was not asked yet"
    elif contact.down_since is not None:
        state = f"has not been reached since {clock_text(contact.down_since, zone, now)} ({contact.error})"
    else:
        state = "answers"
    parts = [f"{name} ({place}) {state}", f"{open_jobs} job{'' if open_jobs == 1 else 's'} there"]
    if took is not None:
        median, last = ago(timedelta(seconds=took.median)), ago(timedelta(seconds=took.last))
        parts.append(f"takes {median} (median of {took.answered}), the last one {last}")
    return parts


def plain_standing(found: BoxCondition) -> dict[str, Any]:
    """The same for scripts."""
    plain = plain_condition(found.name, found.place, found.contact, found.turnaround, found.open_jobs)
    return {**plain, "unmatched": found.unmatched}


def plain_condition(
    name: str, place: str, contact: WorkerContact | None, took: Turnaround | None, open_jobs: int
) -> dict[str, Any]:
    """How things stand with a system that works on jobs elsewhere, for scripts."""
    return {
        "name": name,
        "place": place,
        "answered_at": contact.answered_at if contact else None,
        "down_since": contact.down_since if contact else None,
        "error": contact.error if contact else None,
        "median_seconds": took.median if took else None,
        "last_seconds": took.last if took else None,
        "jobs": open_jobs,
    }


# --- answers that nobody knows the job of ---------------------------------------------------------


def unmatched(ledger: Ledger) -> list[UnmatchedAnswer]:
    """What waits for a person, by box and study, what came first at the top."""
    with ledger.snapshot() as database:
        grouped: dict[tuple[str, str], list[BoxAnswer]] = {}
        for each in box_answers.unmatched(database):
            grouped.setdefault((each.box, each.study_instance_uid), []).append(each)
        return [_group(database, those) for those in grouped.values()]


def _group(database: Database, those: Sequence[BoxAnswer]) -> UnmatchedAnswer:
    first = those[0]
    rows = (attempts.get(database, each.attempt) for each in those if each.attempt)
    about = next((row.job for row in rows if row), None)
    why = "; ".join(dict.fromkeys(each.why for each in those if each.why))
    kinds = [kind_of(each.sop_class_uid).value for each in those]
    return UnmatchedAnswer(_name(first), first.box, first.study_instance_uid, kinds, first.received_at, why, about)


def _name(answer: BoxAnswer) -> str:
    return answer.receipt[-8:]


def plain(found: UnmatchedAnswer) -> dict[str, Any]:
    """One entry of the list for scripts."""
    return {
        "name": found.name,
        "box": found.box,
        "study_instance_uid": found.study_instance_uid,
        "kinds": list(found.kinds),
        "since": to_text(found.since),
        "why": found.why,
        "job": found.job,
        "commands": commands(found),
    }


def line(found: UnmatchedAnswer, zone: tzinfo, now: datetime) -> str:
    """One entry of the list for people; no patient is named."""
    kinds = ", ".join(f"{found.kinds.count(kind)} {kind.upper()}" for kind in dict.fromkeys(found.kinds))
    since = clock_text(found.since, zone, now)
    return f"{found.name}  {kinds} from {found.box}, {since}, study {tail(found.study_instance_uid)}: {found.why}"


def commands(found: UnmatchedAnswer) -> list[str]:
    """What a person can do about it."""
    give = [f"pacsnode answers {found.name} --give {short(found.job)}"] if found.job else []
    return [*give, f"pacsnode answers {found.name} --dismiss"]


def give(ledger: Ledger, name: str, job_name: str, at: datetime, by: Actor) -> ActionOutcome:
    """A person says which job the objects of `name` answer: it takes them; one that has ended is done again with them.

    Raises NotFoundError, UsageError, PermanentError where the job was never sent to the box.
    """
    require(by, Right.ACT)
    with ledger.transaction() as database:
        those, job = _those(database, name), find.item(database, job_name)
        if not isinstance(job, Job):
            raise UsageError(f'"{job_name}" is not the name of a job')
        last = _attempt_at(database, job, those[0].box)
        attempt = last if job.status is JobStatus.RUNNING else _again(database, at, job, last, by)
        box_answers.given(database, those, attempt.id, str(by))
        attempts.look_again(database, attempt.id, at)
        study = job.study_instance_uid
        events.record(
            database, at, EventKind.BOX_ANSWER_GIVEN, study=study, job=attempt.job, actor=str(by), objects=len(those)
        )
    told = f"{_counted(those)} from {those[0].box} belong to job {short(attempt.job)}"
    if attempt.job != job.id:
        told += f", which does job {short(job.id)} again with them; nothing is sent to the box"
    return ActionOutcome(told, {"objects": len(those), "job": attempt.job})


def dismiss(ledger: Ledger, name: str, at: datetime, by: Actor) -> ActionOutcome:
    """A person says that the objects of `name` answer nothing; NotFoundError."""
    require(by, Right.ACT)
    with ledger.transaction() as database:
        those = _those(database, name)
        box_answers.dismissed(database, at, those, str(by))
    return ActionOutcome(f"{_counted(those)} from {those[0].box} answer nothing", {"objects": len(those)})


def _counted(those: Sequence[BoxAnswer]) -> str:
    return f"{len(those)} object{'' if len(those) == 1 else 's'}"


def _those(database: Database, name: str) -> list[BoxAnswer]:
    """All objects that wait with the one that is named: of the same box and study."""
    waiting = box_answers.unmatched(database)
    named = [each for each in waiting if name and each.receipt.endswith(name.lower())]
    if not named:
        raise NotFoundError(f'no object of a box that waits is called "{name}": pacsnode answers lists them')
    first = named[0]
    return [each for each in waiting if (each.box, each.study_instance_uid) == (first.box, first.study_instance_uid)]


def _attempt_at(database: Database, job: Job, box: str) -> Attempt:
    """The newest attempt of a job at this box."""
    for attempt in reversed(attempts.of_job(database, job.id)):
        known = boxes.get(database, attempt.id)
        if known is not None and known.box == box:
            return attempt
    raise PermanentError(f"job {short(job.id)} was never sent to {box}")


def _again(database: Database, at: datetime, job: Job, last: Attempt, by: Actor) -> Attempt:
    """Another round of a job that has ended, whose attempt sends nothing and has what the last one had."""
    new = jobs.again(database, at, job.id, str(by))
    place = AttemptElsewhere(last.place, at + _GIVEN_FOR)
    jobs.started(database, at, new.id, last.algorithm or {}, last.kind, last.identity, place)
    attempt = attempts.open_of(database, new.id)
    start = AttemptStart(last.algorithm or {}, last.code_digest or "", {}, last.sent_study_uid or "", None)
    attempts.identified(database, at, attempt, start)
    boxes.given(database, at, attempt.id, last.id)
    attempts.running(database, at, attempt, new.study_instance_uid, boxes.box_at(last.place) or "")
    box_answers.given(database, box_answers.of_attempt(database, last.id), attempt.id, str(by))
    return attempt
