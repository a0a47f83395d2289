"""A destination has a study under another patient or order: may its identity be adopted, or does a person decide?

By itself only where it is certainly the same study and person, and the archive means it: Study Instance UID, birth date
and sex agree, the answer is one and complete, and it is the same a minute later. Never while the images themselves are
in question: a correction or a conflict of the study is open, or it is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.config.destinations import Destination
from node.deliver import identity
from node.deliver.identity import IdentityVerdict
from node.ledger import adoptions, deliveries, identities
from node.ledger.database import Database, Ledger
from node.ledger.delivery import Delivery
from node.ledger.event_kinds import Severity
from node.ledger.events import NODE
from node.ledger.identities import Identity, IdentityComparison, IdentityStatus

KEYWORDS = (*identity.KEYWORDS, "PatientName", "PatientBirthDate", "PatientSex")
"""What a destination is asked: what is compared, and what a person needs beside it to decide."""
_SAME_PERSON = ("PatientBirthDate", "PatientSex")
TWICE = timedelta(minutes=1)
"""Between the two answers that have to be the same."""


@dataclass(frozen=True, slots=True)
class IdentityStep:
    """What an answer about a study's patient leads to."""

    known: Identity
    """As the ledger has it now."""
    until: datetime | None = None
    """Nothing is sent until then: the destination is asked again, or the results are re-encoded. None: `why` holds."""
    why: str = ""
    adopted: bool = False


def answered(
    database: Database,
    now: datetime,
    study: str,
    name: str,
    destination: Destination,
    verdict: IdentityVerdict,
    longest: timedelta = timedelta.max,
) -> IdentityStep:
    """Record what the destination said, and adopt it where that is certain; `longest` as `identities.answered`."""
    before = identities.get(database, study, name)
    differs = verdict.status is IdentityStatus.DIFFERS
    compared = IdentityComparison(verdict.ours, verdict.theirs) if differs else None
    may_adopt = destination.on_identity_change == "adopt"
    known = identities.answered(
        database, now, study, name, verdict.status, verdict.detail, compared, longest=longest, alert=not may_adopt
    )
    if not differs:
        return IdentityStep(known)
    reason = verdict.reason(name)
    if not may_adopt:
        return IdentityStep(known, why=reason)
    if doubt := _doubt(database, study, before, known):
        identities.needs_person(database, now, study, name, verdict.detail)
        return IdentityStep(known, why=f"{reason}; it is not adopted, because {doubt}")
    since = known.said_at or now
    if now - since < TWICE:
        return IdentityStep(known, since + TWICE, f"{reason}: asked again after a minute, then adopted")
    adoptions.adopt(database, now, study, name, adoptions.adoptable(known.theirs[0]), NODE)
    return IdentityStep(known, now + TWICE, f"{reason}: re-encoded under that", adopted=True)


def _doubt(database: Database, study: str, before: Identity | None, known: Identity) -> str:
    """Why a person has to decide; empty where it is certain."""
    if in_question := identities.in_question(database, study):
        return in_question
    if before is not None and before.theirs and before.theirs != known.theirs:
        return "it said something else before"
    return _doubt_about(known.ours, known.theirs)


def _doubt_about(ours: Mapping[str, str], theirs: Sequence[Mapping[str, str]]) -> str:
    if len(theirs) != 1:
        return "it gave several answers"
    answer = {keyword: theirs[0].get(keyword, "").strip() for keyword in KEYWORDS}
    unstated = [keyword for keyword in ("PatientID", "PatientName", "AccessionNumber") if not answer[keyword]]
    unstated += [keyword for keyword in _SAME_PERSON if not answer[keyword] or not ours.get(keyword, "").strip()]
    if unstated:
        return f"{', '.join(unstated)} is not stated on both sides"
    if several := [keyword for keyword in KEYWORDS if "\\" in answer[keyword]]:
        return f"it states several values of {', '.join(several)}"
    other = [keyword for keyword in _SAME_PERSON if ours[keyword].strip() != answer[keyword]]
    return f"{' and '.join(other)} differ" if other else ""


def set_aside(ledger: Ledger, now: datetime, due: Sequence[Delivery]) -> list[Delivery]:
    """Those of them that may be sent; what was made under an identity that is not current any more waits.

    The stage `results` replaces it; its caller wakes that where any is missing.
    """
    database = ledger.database
    if not due or adoptions.newest(database, due[0].study_instance_uid, due[0].destination) is None:
        return list(due)
    outdated = [each for each in due if adoptions.is_outdated(database, each)]

    def wait(database: Database, delivery: Delivery) -> None:
        if deliveries.is_waiting(database, delivery.id):
            why = f"re-encoded under the patient and order that {delivery.destination} has"
            deliveries.wait(database, now, delivery.id, now + TWICE, why, severity=Severity.INFO)
            adoptions.reopen(database, delivery.study_instance_uid, delivery.destination)

    ledger.settle_each(outdated, wait)
    return [each for each in due if each not in outdated]
