"""Results that a destination may have from before a restore: what a person is asked, and what each answer does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from node.clock import to_text
from node.desk import find
from node.desk.actor import Actor
from node.desk.outcomes import ActionOutcome
from node.errors import NotFoundError
from node.ledger import earlier_results
from node.ledger.database import Ledger
from node.ledger.earlier_results import EarlierResults

Questions = Sequence[EarlierResults]


class EarlierResultsAnswer(StrEnum):
    """What a person can answer."""

    AS_SENT = "as-sent"
    """The destination has them: what waits is not sent."""
    SEND = "send"
    """What waits is sent, as the successor of what is there."""


def questions(ledger: Ledger) -> Questions:
    """All that wait for an answer, the oldest first."""
    with ledger.snapshot() as database:
        return earlier_results.questions(database)


def commands(found: EarlierResults) -> Mapping[EarlierResultsAnswer, str]:
    """The command that gives each answer."""
    name, to = found.study_instance_uid, found.destination
    return {each: f"pacsnode restored {name} --{each} --destination {to}" for each in EarlierResultsAnswer}


def plain(found: EarlierResults) -> dict[str, Any]:
    """A question for scripts."""
    return {
        "study_instance_uid": found.study_instance_uid,
        "destination": found.destination,
        "status": found.status,
        "question": found.question,
        "asked_at": to_text(found.asked_at),
        "series": [
            {
                "series_instance_uid": each.series_instance_uid,
                "modality": each.modality,
                "description": each.description,
                "made_at": each.made_at,
            }
            for each in found.series
        ],
        "answers": {str(answer): command for answer, command in commands(found).items()},
    }


def answer(
    ledger: Ledger, name: str, destination: str, said: EarlierResultsAnswer, at: datetime, by: Actor
) -> ActionOutcome:
    """Answer what is asked about the study that `name` names; at one destination, or at all where that is empty.

    Raises NotFoundError where nothing is asked, PermanentError where it was answered meanwhile.
    """
    with ledger.transaction() as database:
        study = find.study(database, name).study_instance_uid
        asked = [each for each in earlier_results.questions(database, study) if destination in ("", each.destination)]
        if not asked:
            raise NotFoundError(f"nothing is asked about study {study}{f' at {destination}' if destination else ''}")
        lines = []
        for each in asked:
            if said is EarlierResultsAnswer.AS_SENT:
                number = earlier_results.take_as_sent(database, at, study, each.destination, str(by))
                lines.append(f"{each.destination}: taken as sent; {number} objects that waited are not sent")
            else:
                again = earlier_results.send_instead(database, at, study, each.destination, str(by))
                how = "as the successor of what is there" if again else "as they are"
                lines.append(f"{each.destination}: what waits is sent, {how}")
    value = {"study_instance_uid": study, "answer": said, "destinations": [each.destination for each in asked]}
    return ActionOutcome("\n".join(lines), value)
