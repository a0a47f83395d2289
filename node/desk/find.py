"""What people call things: studies by their UID, jobs by the beginning of an id, deliveries by a number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from node.errors import NotFoundError, UsageError
from node.ledger import deliveries, jobs, notifications, studies, study_search
from node.ledger.database import Database
from node.ledger.delivery import Delivery
from node.ledger.job import Job
from node.ledger.notifications import Notification
from node.ledger.studies import Study
from node.ledger.study_search import StudySearch
from node.ledger.study_words import folded

DELIVERY = "delivery:"
"""Optional prefix of the number of a delivery, for the rare case that a job's id begins with the same digits."""
NOTIFICATION = "notification:"
"""Prefix of the number of a notification."""
COMMITMENT = "commitment:"
"""Stands before the number of a request for storage commitment."""
DEFECT = "defect:"
"""Prefix of the number of a defect: an item that a stage could not handle."""
RECALL = "recall:"
"""Prefix of the number of a withdrawal of a version of a plugin."""
WITHDRAWAL = "withdrawal:"
"""Prefix of the name of a study of which something delivered is listed for withdrawal."""
_SHORTEST_PREFIX = 6
"""Characters of a job's id that name it: fewer are taken for the number of a delivery, or a slip."""
_LONGEST_NUMBER = 18
"""Digits of the largest number that SQLite can look up."""


def study(database: Database, text: str) -> Study:
    """The study that `text` names: its UID, a unique beginning or end of it, or its accession number.

    Raises NotFoundError, and UsageError where it could be several.
    """
    wanted = text.strip().removeprefix("…")
    found = studies.matching(database, wanted) if wanted else []
    if not found:
        raise NotFoundError(f'there is no study "{text}": neither as (part of) a UID nor as an accession number')
    if len(found) > 1:
        names = "\n".join(f"  {study.study_instance_uid}  accession {study.accession_number}" for study in found)
        raise UsageError(f'"{text}" names {len(found)} studies:\n{names}')
    return found[0]


SHOWN = 20
"""Studies that a search shows."""


def studies_with(database: Database, texts: Sequence[str]) -> list[Study]:
    """The studies that have all words of these texts, the one that last received something first; one more than shown.

    Words are those of the patient's name, Patient ID, accession number and description; neither case nor accents count.
    Raises NotFoundError.
    """
    words = folded(" ".join(texts))
    found = study_search.find(database, StudySearch(words=words), SHOWN + 1) if words else []
    if not found:
        raise NotFoundError(f"there is no study that has all of these words: {' '.join(words) or '(none)'}")
    return found


def is_study(what: str) -> bool:
    """Jobs and deliveries have no dot in their name; every UID has."""
    return "." in what or what.startswith("…")


def is_number(text: str) -> bool:
    """Whether it can be the number of a row."""
    return text.isdecimal() and len(text) <= _LONGEST_NUMBER


def item(database: Database, what: str) -> Job | Delivery | Notification:
    """The job, delivery or notification that `what` names; NotFoundError, UsageError where it could be several."""
    if what.startswith(NOTIFICATION) and is_number(what.removeprefix(NOTIFICATION)):
        return notifications.get(database, int(what.removeprefix(NOTIFICATION)))
    found: list[Job | Delivery] = []
    number = what.removeprefix(DELIVERY)
    if is_number(number):
        with suppress(NotFoundError):
            found.append(deliveries.get(database, int(number)))
    if len(what) >= _SHORTEST_PREFIX and re.fullmatch(r"[0-9a-fA-F-]+", what):
        found += jobs.matching(database, what.lower())
    if not found and re.fullmatch(r"\w+", what) and (meant := studies.matching(database, what)):
        uids = " or ".join(each.study_instance_uid for each in meant)
        raise UsageError(f'"{what}" is a study, and a study is named by its UID here: {uids}')
    if not found:
        hint = f" (a job is named by at least {_SHORTEST_PREFIX} characters)" if len(what) < _SHORTEST_PREFIX else ""
        raise NotFoundError(f'there is no job and no delivery "{what}"{hint}')
    if len(found) > 1:
        names = ", ".join(f"job {each.id}" if isinstance(each, Job) else f"{DELIVERY}{each.id}" for each in found)
        raise UsageError(f'"{what}" could be {names}: write one of these in full')
    return found[0]
