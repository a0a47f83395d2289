"""What follows from an answer of the destination."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from node.config.retrying import Retry
from node.deliver.policy import Answer, GiveUp, TryAgain, after
from node.outcome import AnswerReading

START = datetime(2026, 3, 1, tzinfo=UTC)
RETRY = Retry.model_validate({"first": "10s", "longest": "15m", "give_up_after": "7d"})


def test_back_off_doubles_between_first_and_longest() -> None:
    """Tries of a destination that is down come at 10, 20, 40, 80 … seconds and then every quarter of an hour."""
    now, tries = START, []
    for _ in range(10):
        now += RETRY.pause(now - START)
        tries.append((now - START).total_seconds())
    assert tries == [10, 20, 40, 80, 160, 320, 640, 1280, 2180, 3080]


def test_an_outage_of_a_day_kills_nothing() -> None:
    """case 61: after 24 hours without the destination the delivery still waits."""
    step = after(0, timedelta(hours=24), Answer(AnswerReading.RETRY, "connection refused"), RETRY, START)
    assert step == TryAgain(START + timedelta(minutes=15))


def test_it_gives_up_after_the_limit_and_says_how_long_it_tried() -> None:
    """The dead letter names the last answer and the days."""
    step = after(0, timedelta(days=7), Answer(AnswerReading.RETRY, "A700 out of resources"), RETRY, START)
    assert step == GiveUp("A700 out of resources; tried for 7 days")


def test_a_limit_below_a_day_is_said_as_it_was() -> None:
    """Not 0 days: a site that gives up after forty minutes reads forty minutes."""
    retry = RETRY.model_copy(update={"give_up_after": timedelta(minutes=40)})
    step = after(0, timedelta(minutes=40), Answer(AnswerReading.RETRY, "no connection"), retry, START)
    assert step == GiveUp("no connection; tried for 40 minutes")


def test_refusals_get_five_tries_over_24_hours() -> None:
    """case 66: C000 and its like are tried five times within about a day, then dead."""
    now, refusals = START, 0
    while isinstance(
        step := after(refusals, now - START, Answer(AnswerReading.RETRY_FEW, "C000"), RETRY, now), TryAgain
    ):
        now, refusals = step.at, refusals + 1
    assert refusals == 4, "four waits between five tries"
    assert timedelta(hours=24) <= now - START <= timedelta(hours=25)
    assert step == GiveUp("C000; 5 tries")


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=3)])
def test_forbidden_is_slow(age: timedelta) -> None:
    """case 67: where a person at the PACS has to act, half an hour between tries is enough."""
    step = after(0, age, Answer(AnswerReading.RETRY_SLOWLY, "calling AE title not recognised"), RETRY, START)
    assert step == TryAgain(START + timedelta(minutes=30))


def test_never_means_never() -> None:
    """case 63: an object the destination does not take is dead at once."""
    assert after(0, timedelta(), Answer(AnswerReading.DEAD_LETTER, "A900"), RETRY, START) == GiveUp("A900")
