"""What follows a failed attempt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from node.ledger.attempts import AttemptFailureKind
from node.run.executor import AttemptLimits
from node.run.retry import POSTPONEMENTS, AttemptAgain, FailJob, after
from node.run.words import failed

OF_THE_RUN = [
    AttemptFailureKind.CRASH,
    AttemptFailureKind.RETRYABLE,
    AttemptFailureKind.DEADLINE,
    AttemptFailureKind.LOADING,
    AttemptFailureKind.MEMORY,
    AttemptFailureKind.RESOURCES,
]


@pytest.mark.parametrize("kind", OF_THE_RUN)
def test_a_failed_run_is_tried_again_with_growing_pauses(kind: AttemptFailureKind) -> None:
    """30 s, 2 min, 8 min, then at most 15 min, until the attempts are used up."""
    pauses = [after(kind, attempt, 6, 0) for attempt in range(1, 7)]
    assert pauses == [
        AttemptAgain(timedelta(seconds=30), True),
        AttemptAgain(timedelta(minutes=2), True),
        AttemptAgain(timedelta(minutes=8), True),
        AttemptAgain(timedelta(minutes=15), True),
        AttemptAgain(timedelta(minutes=15), True),
        FailJob(),
    ]


@pytest.mark.parametrize("kind", [AttemptFailureKind.CONTRACT, AttemptFailureKind.INPUT, AttemptFailureKind.ERROR])
def test_what_would_fail_the_same_way_is_not_tried_again(kind: AttemptFailureKind) -> None:
    """Whatever the number of attempts allowed."""
    assert after(kind, 1, 20, 0) == FailJob()


@pytest.mark.parametrize("kind", [AttemptFailureKind.NODE, AttemptFailureKind.CHANGED])
def test_what_no_plugin_is_to_blame_for_is_not_counted_and_ends_after_about_two_hours(kind: AttemptFailureKind) -> None:
    """However few attempts are allowed; the pauses add up to between one and three hours."""
    answers = [after(kind, 1, 1, postponements) for postponements in range(POSTPONEMENTS + 1)]
    pauses = [answer.delay for answer in answers if isinstance(answer, AttemptAgain) and not answer.counted]
    assert answers[-1] == FailJob()
    assert len(pauses) == POSTPONEMENTS
    assert pauses == sorted(pauses)
    assert timedelta(hours=1) < sum(pauses, timedelta()) < timedelta(hours=3)


def test_a_job_that_the_node_died_on_is_taken_up_at_once_as_often_as_allowed() -> None:
    """No pause, but each death counts: a plugin that brings the node down must not do so for ever."""
    assert after(AttemptFailureKind.NODE_DIED, 1, 2, 0) == AttemptAgain(timedelta(0), True)
    assert after(AttemptFailureKind.NODE_DIED, 2, 2, 0) == FailJob()


@pytest.mark.parametrize("kind", AttemptFailureKind)
@pytest.mark.parametrize("limits", [AttemptLimits(600, 6 * 2**30), None])
def test_every_failure_has_words_for_a_radiologist(kind: AttemptFailureKind, limits: AttemptLimits | None) -> None:
    """A full sentence, that nothing can be concluded, and no jargon."""
    text = failed(kind, 3, limits)
    assert text.endswith("It was tried 3 times. Nothing can be concluded from this about the images.")
    assert len(text) < 400
    for jargon in ("exit", "signal", "SIG", "Error", "JSON", "process", "node", "None"):
        assert jargon not in text


def test_the_words_name_the_limits() -> None:
    """Minutes from two minutes on, the memory in GiB; one attempt is not counted out."""
    limits = AttemptLimits(600, 6 * 2**30)
    assert failed(AttemptFailureKind.DEADLINE, 1, limits).startswith(
        "The analysis did not finish within 10 minutes and was"
    )
    assert "the 6 GiB it may use" in failed(AttemptFailureKind.MEMORY, 1, limits)
    assert "tried" not in failed(AttemptFailureKind.CRASH, 1, limits)
