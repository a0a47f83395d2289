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
from node.desk.rights import Right, require
from node.errors import NotFoundError
from node.ledger import box_doubts, earlier_results
from node.ledger.box_doubts import BoxDoubt, BoxDoubtAnswer
from node.ledger.database import Database, Ledger
from node.ledger.earlier_results import EarlierResults

EarlierQuestion = EarlierResults | BoxDoubt
Questions = Sequence[EarlierQuestion]


class EarlierResultsAnswer(StrEnum):
    """What a person can answer."""

    AS_SENT = "as-sent"
    """The destination has them: what waits is not sent."""
    SEND = "send"
    """What waits is sent, as the successor of what is there."""


def questions(ledger: Ledger) -> Questions:
    """All that wait for an answer, the oldest first."""
    with ledger.snapshot() as database:
        return [*earlier_results.questions(database), *box_doubts.questions(database)]


def _where(found: EarlierQuestion) -> str:
    """The destination or box that it is about."""
    return found.box if isinstance(found, BoxDoubt) else found.destination


def commands(found: EarlierQuestion) -> Mapping[EarlierResultsAnswer, str]:
    """The command that gives each answer."""
    name, to = found.study_instance_uid, _where(found)
    return {each: f"pacsnode restored {name} --{each} --destination {to}" for each in EarlierResultsAnswer}


def plain(found: EarlierQuestion) -> dict[str, Any]:
    """A question for scripts."""
    if isinstance(found, BoxDoubt):
        return {
            "study_instance_uid": found.study_instance_uid,
            "box": found.box,
            "job": found.job,
            "question": found.question,
            "asked_at": to_text(found.asked_at),
            "answers": {str(answer): command for answer, command in commands(found).items()},
        }
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
    """Answer what is asked about the study that `name` names; at one destination or box, or at all where that is empty.

    Raises NotFoundError where nothing is asked, PermanentError where it was answered meanwhile.
    """
    require(by, Right.ACT)
    with ledger.transaction() as database:
        study = find.study(database, name).study_instance_uid
        asked = [each for each in earlier_results.questions(database, study) if destination in ("", each.destination)]
        doubts = [each for each in box_doubts.questions(database, study) if destination in ("", each.box)]
        if not asked and not doubts:
            raise NotFoundError(f"nothing is asked about study {study}{f' at {destination}' if destination else ''}")
        lines = [_answer_doubt(database, at, each, said, by) for each in doubts]
        for each in asked:
            if said is EarlierResultsAnswer.AS_SENT:
                number = earlier_results.take_as_sent(database, at, study, each.destination, str(by))
                lines.append(f"{each.destination}: taken as sent; {number} objects that waited are not sent")
            else:
                again = earlier_results.send_instead(database, at, study, each.destination, str(by))
                how = "as the successor of what is there" if again else "as they are"
                lines.append(f"{each.destination}: what waits is sent, {how}")
    where = [*(each.box for each in doubts), *(each.destination for each in asked)]
    value = {"study_instance_uid": study, "answer": said, "destinations": where}
    return ActionOutcome("\n".join(lines), value)


def _answer_doubt(database: Database, at: datetime, doubt: BoxDoubt, said: EarlierResultsAnswer, by: Actor) -> str:
    if said is EarlierResultsAnswer.AS_SENT:
        box_doubts.answered(database, at, doubt, BoxDoubtAnswer.TAKEN_AS_SENT, str(by))
        return f"{doubt.box}: taken as sent; its answer is waited for"
    box_doubts.answered(database, at, doubt, BoxDoubtAnswer.SENT_INSTEAD, str(by))
    return f"{doubt.box}: the images are sent"
