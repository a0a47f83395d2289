"""Which attempt an object of a box answers: a pure function of what it says and of what the box was sent.

Of others' AI results, 73 % refer to an image that they were made from, and all have the study of their images. So an
object answers the attempt whose images it refers to, and one without such a reference the only open attempt of its
study. Of attempts under several AE titles those count that called themselves as the box calls us now, whether they are
open or not: what one licence answers late is no answer of another. Study and patient have to agree in any case.
Whatever is not certain is left to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from node.run.boxes.reading import DicomHeader


class MatchKind(StrEnum):
    """What is known of an object."""

    ANSWER = "answer"
    """It answers an open attempt."""
    LATE = "late"
    """It answers an attempt that has ended."""
    UNWANTED = "unwanted"
    """It answers an attempt that was cancelled."""
    ECHO = "echo"
    """It is an image that the box was sent."""
    UNKNOWN = "unknown"
    """It answers nothing for certain."""


@dataclass(frozen=True, slots=True)
class SentAttempt:
    """An attempt that has sent something to the box."""

    attempt: str
    is_open: bool
    is_cancelled: bool
    sent_study_uid: str
    sent_patient_id: str
    calling_ae_title: str
    referenced: int = 0
    """How many of its images the object refers to."""


@dataclass(frozen=True, slots=True)
class AnswerMatch:
    """What an object is."""

    kind: MatchKind
    attempt: str | None = None
    why: str = ""
    """Why a person has to decide."""


def match(
    header: DicomHeader, called: str, referenced: Sequence[SentAttempt], of_study: Sequence[SentAttempt]
) -> AnswerMatch:
    """See the module.

    `called`: the AE title under which the box called us. `referenced`: attempts whose images the object refers to,
    `of_study`: those that sent images of its study; both with the newest first.
    """
    if not referenced and not of_study:
        return AnswerMatch(
            MatchKind.UNKNOWN, why="the box was sent nothing of this study, and none of the images it names"
        )
    candidates = [each for each in referenced or of_study if each.sent_study_uid == header.study_instance_uid]
    if not candidates:
        return AnswerMatch(
            MatchKind.UNKNOWN,
            referenced[0].attempt,
            "it refers to images that the box was sent, and states another study",
        )
    agreeing = [each for each in candidates if _same_patient(header.patient_id, each.sent_patient_id)]
    if not agreeing:
        return AnswerMatch(
            MatchKind.UNKNOWN, candidates[0].attempt, "it states another patient than the images that the box was sent"
        )
    asked = [each for each in agreeing if each.calling_ae_title == called.strip()] or agreeing
    still_open = [each for each in asked if each.is_open]
    if not still_open:
        return _too_late(asked[0])
    most = max(each.referenced for each in still_open)
    best = [each for each in still_open if each.referenced == most]
    if len(best) > 1:
        why = f"{len(best)} open jobs at this box fit it, and nothing tells them apart"
        return AnswerMatch(MatchKind.UNKNOWN, None, why)
    return AnswerMatch(MatchKind.ANSWER, best[0].attempt)


def _too_late(newest: SentAttempt) -> AnswerMatch:
    if newest.is_cancelled:
        return AnswerMatch(MatchKind.UNWANTED, newest.attempt)
    return AnswerMatch(MatchKind.LATE, newest.attempt, "it came too late: its job had ended")


def _same_patient(stated: str, sent: str) -> bool:
    """What is not stated is no reason against: a dumb box keeps the study alone."""
    return not stated.strip() or not sent.strip() or stated.strip() == sent.strip()
