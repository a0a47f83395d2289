"""From what comes in a day, and what this machine can do, to what is needed: pure arithmetic.

The wait of jobs is that of a queue in front of equal slots where jobs come at random and take times that vary a lot
(M/M/c, Erlang's C formula; Kleinrock, Queueing Systems I, 1975, 3.5). It errs to the long side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEDGER_BYTES_AN_IMAGE = 2_800
"""While the image is here (docs/retention.md)."""
_BUSY_RECEIVER, _BUSY_SLOT = 0.5, 0.7
"""Shares of the peak hour that one should be busy at most: senders come together, and people wait for results."""
SPACE = "space"
"""Among what is busy: the disk, by the days that images are to stay."""
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class PluginWork:
    """What one plugin has to do."""

    name: str
    seconds: Figure
    """Of an attempt."""
    share: Figure
    """Jobs a study."""
    at_once: int
    """Its jobs at the same time, at most."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What a site sends on a working day."""

    studies: Figure
    images: Figure
    """A study."""
    image_bytes: Figure
    peak_share: Figure
    """Of the studies of a day, how many come in its busiest hour."""
    hours: Figure
    """In which the studies of a day come."""
    result_bytes: Figure
    """A job's objects and files."""
    plugins: Sequence[PluginWork]


@dataclass(frozen=True, slots=True)
class MachineFigures:
    """What it can do."""

    store_seconds: Figure
    """From a C-STORE request to its answer, of one association."""
    write_bytes: Figure
    """Bytes a second that are on the disk for good."""
    space: Figure
    """Bytes for images, results and ledger."""
    wanted_days: Figure
    """For which images are to stay."""
    receivers: int
    slots: int


@dataclass(frozen=True, slots=True)
class PluginDemand:
    """What a plugin needs."""

    name: str
    jobs_a_day: float
    hours_a_day: float
    busy: float
    """Jobs at the same time in the peak hour, on average."""
    at_once: int
    """Jobs at the same time that it should be allowed."""


@dataclass(frozen=True, slots=True)
class JobQueue:
    """Jobs in the peak hour."""

    wait_seconds: float | None
    """Until a job starts, on average; None where more come than can be done, and the wait grows through the hour."""
    left_over: float
    """Jobs that wait at the end of the hour because of that."""
    hours_to_clear: float | None
    """Until these are done; None where a day brings more than can be done in its hours."""


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """What is needed, and what comes to its limit first."""

    image_bytes_a_day: float
    result_bytes_a_day: float
    ledger_bytes_a_day: float
    days: float
    """For which images and results fit on the disk."""
    images_a_second: float
    """In the peak hour."""
    receivers: int
    """Processes that are needed."""
    slots: int
    """Jobs at the same time that are needed, of all plugins."""
    plugins: Sequence[PluginDemand]
    queue: JobQueue
    busy: Mapping[str, float]
    """How busy each resource is in the peak hour, and how full the disk is in the end: above 1 it is too little."""

    @property
    def bottleneck(self) -> str:
        """What comes to its limit first."""
        return max(self.busy, key=lambda each: self.busy[each])


def plan(work: Workload, machine: MachineFigures) -> CapacityPlan:
    """The arithmetic."""
    images = work.studies.value * work.images.value
    jobs = sum(work.studies.value * each.share.value for each in work.plugins)
    image_bytes, result_bytes = images * work.image_bytes.value, jobs * work.result_bytes.value
    ledger_bytes = images * LEDGER_BYTES_AN_IMAGE
    rate = images * work.peak_share.value / _HOUR
    needs = [_need(each, work) for each in work.plugins]
    written = rate * work.image_bytes.value * (1 + sum(each.share.value for each in work.plugins))
    busy = {
        "receivers": rate * machine.store_seconds.value / machine.receivers,
        "disk": written / machine.write_bytes.value,
    }
    if needs:
        busy["plugin slots"] = sum(each.busy for each in needs) / machine.slots
    busy |= {f"{each.name} (at_once)": need.busy / each.at_once for each, need in zip(work.plugins, needs, strict=True)}
    days = machine.space.value / (image_bytes + result_bytes + ledger_bytes)
    busy[SPACE] = machine.wanted_days.value / days if days else math.inf
    return CapacityPlan(
        image_bytes_a_day=image_bytes,
        result_bytes_a_day=result_bytes,
        ledger_bytes_a_day=ledger_bytes,
        days=days,
        images_a_second=rate,
        receivers=max(1, math.ceil(rate * machine.store_seconds.value / _BUSY_RECEIVER)),
        slots=_enough(sum(each.busy for each in needs)) if needs else 0,
        plugins=needs,
        queue=_queue(work, machine),
        busy=busy,
    )


def waiting_time(arrivals: float, seconds: float, slots: int) -> float | None:
    """Seconds that a job waits on average; None where more come than the slots can do. `arrivals` in jobs a second."""
    load = arrivals * seconds
    if load >= slots:
        return None
    term = whole = 1.0
    for number in range(1, slots):
        term *= load / number
        whole += term
    last = term * load / slots * slots / (slots - load)
    return last / (whole + last) * seconds / (slots - load)


def _need(load: PluginWork, work: Workload) -> PluginDemand:
    jobs = work.studies.value * load.share.value
    busy = jobs * work.peak_share.value * load.seconds.value / _HOUR
    return PluginDemand(load.name, jobs, jobs * load.seconds.value / _HOUR, busy, _enough(busy))


def _enough(busy: float) -> int:
    return max(1, math.ceil(busy / _BUSY_SLOT))


def _queue(work: Workload, machine: MachineFigures) -> JobQueue:
    """The slots as a whole, and each plugin behind its own limit: the longest wait counts."""
    jobs = sum(work.studies.value * each.share.value for each in work.plugins)
    if not jobs:
        return JobQueue(0.0, 0.0, 0.0)
    mean = sum(work.studies.value * each.share.value * each.seconds.value for each in work.plugins) / jobs
    lines = [(jobs, mean, machine.slots)]
    lines += [
        (work.studies.value * each.share.value, each.seconds.value, min(each.at_once, machine.slots))
        for each in work.plugins
    ]
    return max((_line(*line, work) for line in lines), key=_how_bad)


def _line(jobs: float, seconds: float, slots: int, work: Workload) -> JobQueue:
    """One queue in front of these slots."""
    arrivals = jobs * work.peak_share.value / _HOUR
    done = slots / seconds if seconds else math.inf
    wait = waiting_time(arrivals, seconds, slots)
    if wait is not None:
        return JobQueue(wait, 0.0, 0.0)
    left = (arrivals - done) * _HOUR
    others = jobs * (1 - work.peak_share.value) / max(1.0, work.hours.value - 1) / _HOUR
    return JobQueue(None, left, left / (done - others) / _HOUR if done > others else None)


def _how_bad(queue: JobQueue) -> tuple[bool, bool, float]:
    return queue.wait_seconds is None, queue.hours_to_clear is None, (queue.wait_seconds or 0.0) + queue.left_over
