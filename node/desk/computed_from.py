"""Which results of earlier steps the jobs of a study were computed from, and whether they ran again for a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from node.desk.words import short
from node.ledger.job import Job


class EarlierResultUse(NamedTuple):
    """One earlier result that a job works on."""

    job: str
    name: str
    """Under which its plugin gets it."""
    source: str
    """The job that it is the result of."""
    step: str
    plugin: str
    """Of that job."""
    has_changed: bool
    """The job before it, of the same step, worked on another result under this name."""

    def in_words(self) -> str:
        """One line for people."""
        again = "; it ran again because that result had changed" if self.has_changed else ""
        return (
            f"Job {short(self.job)} was computed from the result of step {self.step} ({self.plugin}, job "
            f"{short(self.source)}), as {self.name}{again}."
        )

    def plain(self) -> dict[str, Any]:
        """For scripts."""
        return {key: value for key, value in self._asdict().items() if key != "job"}


def computed_from(work: Sequence[Job]) -> list[EarlierResultUse]:
    """Of all jobs of a study, in the order in which they were made."""
    return [found for number, job in enumerate(work) for found in _of(job, work[:number], work)]


def _of(job: Job, before: Sequence[Job], every: Sequence[Job]) -> Iterator[EarlierResultUse]:
    known = {each.id: each for each in every}
    last = next((each for each in reversed(before) if _place(each) == _place(job)), None)
    earlier = {use.name: use.digest for use in last.uses} if last else {}
    for use in job.uses:
        source = known.get(use.job)
        step, plugin = (source.step, source.plugin) if source else ("(unknown)", "unknown")
        has_changed = earlier.get(use.name, use.digest) != use.digest
        yield EarlierResultUse(job.id, use.name, use.job, step, plugin, has_changed)


def _place(job: Job) -> tuple[str, str, str]:
    return job.rule, job.step, job.subject
