"""What follows from an answer: a pure function of the delivery's age and refusals, the answer and the time.

Back-off needs no counter: the next try comes after as long again as the delivery is old (times
`factor - 1`), between `first` and `longest`. That is exponential, starts over for nobody at a restart,
and an outage of the destination does not use up the tries of a delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from node.config.retrying import Retry
from node.config.values import span_text
from node.outcome import AnswerReading

REFUSAL_DELAYS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=5), timedelta(hours=18))
"""Between the five tries, over 24 hours, after "cannot understand" or "processing failure"."""
SLOW = timedelta(minutes=30)
"""Between tries where a person at the destination has to change something first."""


MOST_UNANSWERED = 2
"""Tries of one object without an answer, while others were stored: then it is a dead letter."""
TROUBLES = (AnswerReading.RETRY, AnswerReading.RETRY_SLOWLY, AnswerReading.UNKNOWN)
"""Answers that may be about this object or about all: only the next objects tell."""
_STORED = (AnswerReading.STORED, AnswerReading.STORED_WITH_WARNING)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one object that was handed over."""

    reading: AnswerReading
    text: str
    """For the site admin: status in hexadecimal and in words, or what went wrong with the connection."""
    code: str | None = None
    """What the destination said, behind the name of the protocol: `PROTOCOL:CODE`; None where there was no answer."""
    again_after: timedelta | None = None
    """The least pause that the destination asks for."""


@dataclass(slots=True)
class Patience:
    """How often in a row a destination did not answer, or refused for now: when to try no more of it for now.

    One such object says nothing about the next one. After two the rest of the study waits, and where the first
    object of the next study fares no better, the destination is taken to be down as a whole.
    """

    in_a_row: int = 0

    def note(self, answer: Answer) -> None:
        """What became of one object."""
        if answer.reading in TROUBLES:
            self.in_a_row += 1
        elif answer.reading in _STORED:
            self.in_a_row = 0

    @property
    def ends_study(self) -> bool:
        """After a trouble: whether the study's other objects are to wait."""
        return self.in_a_row >= 2

    @property
    def ends_destination(self) -> bool:
        """After a trouble: whether all that goes there is to wait."""
        return self.in_a_row >= 3


@dataclass(frozen=True, slots=True)
class TryAgain:
    """At this time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A dead letter, because of this."""

    reason: str


def after(refusals: int, age: timedelta, answer: Answer, retry: Retry, now: datetime) -> TryAgain | GiveUp:
    """What to do with a delivery that was not stored (cases 61, 63, 65-68).

    `refusals`: how often the destination has said that it could not process it; `age`: for how long it has been tried,
    by its pauses and not by the clock, which may have been set.
    """
    if answer.reading in (AnswerReading.DEAD_LETTER, AnswerReading.KIND_REFUSED, AnswerReading.CLASS_REFUSED):
        return GiveUp(answer.text)
    if answer.reading is AnswerReading.RETRY_FEW:
        if refusals >= len(REFUSAL_DELAYS):
            return GiveUp(f"{answer.text}; {refusals + 1} tries")
        return TryAgain(now + REFUSAL_DELAYS[refusals])
    if age >= retry.give_up_after:
        return GiveUp(f"{answer.text}; tried for {span_text(age)}")
    delay = max(retry.pause(age), answer.again_after or timedelta())
    return TryAgain(now + (max(delay, SLOW) if answer.reading is AnswerReading.RETRY_SLOWLY else delay))
