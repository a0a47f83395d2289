"""What follows from an answer: a pure function of the delivery's age and refusals, the answer and the time.

Back-off needs no counter: the next try comes after as long again as the delivery is old (times
`factor - 1`), between `first` and `longest`. That is exponential, starts over for nobody at a restart,
and an outage of the destination does not use up the tries of a delivery.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from node.config.retrying import Retry
from node.dimse.status import Reading

REFUSAL_DELAYS = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=5), timedelta(hours=18))
"""Between the five tries, over 24 hours, after "cannot understand" or "processing failure"."""
SLOW = timedelta(minutes=30)
"""Between tries where a person at the destination has to change something first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one C-STORE."""

    reading: Reading
    text: str
    """For the site admin: status in hexadecimal and in words, or what went wrong with the association."""
    dimse_status: int | None = None


@dataclass(frozen=True, slots=True)
class TryAgain:
    """At this time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A dead letter, because of this."""

    reason: str


def after(refusals: int, since: datetime, answer: Answer, retry: Retry, now: datetime) -> TryAgain | GiveUp:
    """What to do with a delivery that was not stored (faults.md 61, 63, 65-68).

    `refusals`: how often the destination has said that it could not process it; `since`: when it was enqueued.
    """
    if answer.reading in (Reading.DEAD_LETTER, Reading.CONTEXT_REFUSED, Reading.CLASS_REFUSED):
        return GiveUp(answer.text)
    if answer.reading is Reading.RETRY_FEW:
        if refusals >= len(REFUSAL_DELAYS):
            return GiveUp(f"{answer.text}; {refusals + 1} tries")
        return TryAgain(now + REFUSAL_DELAYS[refusals])
    age = now - since
    if age >= retry.give_up_after:
        return GiveUp(f"{answer.text}; tried for {age.days} days")
    delay = retry.pause(age)
    return TryAgain(now + (max(delay, SLOW) if answer.reading is Reading.RETRY_SLOWLY else delay))
