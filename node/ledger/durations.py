"""How long the steps of the pipeline took, without reading what took them: triggers keep histograms (schema 0050)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from node.ledger.connection import Database
from node.ledger.schema.m0050_measures import BOUNDS

__all__ = ["BOUNDS", "DurationHistogram", "TimedStep", "of"]


class TimedStep(StrEnum):
    """What is timed, from when to when."""

    INDEX = "index"
    """From an object's arrival to its row."""
    COMPLETE = "complete"
    """From the last object of a study to its completion."""
    WAIT = "wait"
    """From a job to its first attempt, by plugin."""
    RUN = "run"
    """An attempt, by plugin."""
    JOB = "job"
    """From a job to its outcome, by plugin and outcome."""
    ENCODE = "encode"
    """From a job's outcome to its objects, by plugin."""
    DELIVER = "deliver"
    """From a result's object in the outbox to its acceptance, by destination."""
    FORWARD = "forward"
    """The same of an image."""
    TURNAROUND = "turnaround"
    """From the last image of a job to the acceptance of an object of its result, by destination."""


@dataclass(frozen=True, slots=True)
class DurationHistogram:
    """How long one step took in one place."""

    place: str
    """Plugin or destination; empty where a step has no place."""
    outcome: str
    """Of a job; empty for any other step."""
    counts: Sequence[int]
    """How many took no longer than each bound, and longer than the one before; last, those beyond all bounds."""
    seconds: float
    """All together."""

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


def of(database: Database, step: TimedStep) -> list[DurationHistogram]:
    """The histograms of a step, one for each place and outcome."""
    found: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    sql = "SELECT place, outcome, bucket, n, seconds FROM durations WHERE step=?"
    for place, outcome, bucket, n, seconds in database.execute(sql, [step]).fetchall():
        counts, sums = found.setdefault((place, outcome), ([0] * (len(BOUNDS) + 1), []))
        counts[bucket] = n
        sums.append(seconds)
    return [DurationHistogram(*key, counts, sum(sums)) for key, (counts, sums) in found.items()]
