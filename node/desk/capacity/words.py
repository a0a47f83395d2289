"""A plan in words: lines for people, and the same as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from node.desk.capacity.arithmetic import SPACE, CapacityPlan, Figure, JobQueue, MachineFigures, Workload


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One figure of a plan."""

    what: str
    figure: str
    source: str


def given(work: Workload, machine: MachineFigures) -> Iterator[PlanLine]:
    """What the plan is computed from."""
    yield PlanLine("Studies a day", f"{work.studies.value:g}", work.studies.source)
    yield PlanLine("Images a study", f"{work.images.value:.0f}", work.images.source)
    yield PlanLine("Size of an image", f"{work.image_bytes.value / 1e6:.2g} MB", work.image_bytes.source)
    yield PlanLine("Studies in the peak hour", f"{work.peak_share.value:.0%}", work.peak_share.source)
    for each in work.plugins:
        sources = " / ".join(dict.fromkeys((each.share.source, each.seconds.source)))
        yield PlanLine(f"Plugin {each.name}", f"{each.share.value:.0%} of studies, {each.seconds.value:.3g} s", sources)
    yield PlanLine("A C-STORE takes", f"{machine.store_seconds.value * 1000:.3g} ms", machine.store_seconds.source)
    yield PlanLine("The disk writes", f"{machine.write_bytes.value / 1e6:.3g} MB/s", machine.write_bytes.source)
    yield PlanLine("Space", size(machine.space.value), machine.space.source)
    yield PlanLine("Images are to stay", f"{machine.wanted_days.value:g} days", machine.wanted_days.source)


def needed(plan: CapacityPlan, work: Workload, machine: MachineFigures) -> Iterator[PlanLine]:
    """What follows."""
    yield PlanLine("Images a day", size(plan.image_bytes_a_day), "studies × images × size")
    yield PlanLine("Results a day", size(plan.result_bytes_a_day), f"jobs × {size(work.result_bytes.value)}, assumed")
    yield PlanLine("Ledger a day", size(plan.ledger_bytes_a_day), "2.8 kB an image that is here")
    yield PlanLine("Days that fit", f"{plan.days:.0f}", "the most for retention.images and retention.results")
    about = f"{plan.images_a_second:.2g} images a second in the peak hour, half busy at most"
    yield PlanLine("Receivers", f"{plan.receivers} (now {machine.receivers})", about)
    for each in plan.plugins:
        about = f"{each.jobs_a_day:.0f} jobs a day; at_once: {each.at_once}"
        yield PlanLine(f"Hours a day, {each.name}", f"{each.hours_a_day:.1f} h", about)
    if plan.plugins:
        about = "jobs at the same time in the peak hour, 70 % busy at most"
        yield PlanLine("Slots for plugins", f"{plan.slots} (now {machine.slots})", about)
        about = "in the peak hour, on average; jobs come at random"
        yield PlanLine("Wait of a job", _wait(plan.queue), about)
    for name, share in sorted(plan.busy.items(), key=lambda each: -each[1]):
        about = "full, with the days that images are to stay" if name == SPACE else "busy in the peak hour"
        yield PlanLine(name, f"{share:.0%}", about)


def conclusion(plan: CapacityPlan) -> str:
    """What comes to its limit first, in a sentence."""
    name, share = plan.bottleneck, plan.busy[plan.bottleneck]
    how = "full in the end" if name == SPACE else "busy in the peak hour"
    if share > 1:
        return f"Too little: {name}. {share:.1f} times of it would be needed."
    return f"What comes to its limit first: {name}, {share:.0%} {how}."


def plain(plan: CapacityPlan, work: Workload, machine: MachineFigures) -> dict[str, Any]:
    """For scripts: seconds, bytes, shares of one."""
    figures: dict[str, Figure] = {
        "studies_a_day": work.studies,
        "images_a_study": work.images,
        "bytes_an_image": work.image_bytes,
        "peak_share": work.peak_share,
        "hours": work.hours,
        "bytes_a_result": work.result_bytes,
        "store_seconds": machine.store_seconds,
        "disk_bytes_a_second": machine.write_bytes,
        "space_bytes": machine.space,
        "wanted_days": machine.wanted_days,
    }
    given_plugins = {each.name: (each.share, each.seconds) for each in work.plugins}
    return {
        "given": {name: _figure(each) for name, each in figures.items()}
        | {"plugins": {n: {"share": _figure(a), "seconds": _figure(b)} for n, (a, b) in given_plugins.items()}},
        "image_bytes_a_day": plan.image_bytes_a_day,
        "result_bytes_a_day": plan.result_bytes_a_day,
        "ledger_bytes_a_day": plan.ledger_bytes_a_day,
        "days": plan.days,
        "images_a_second": plan.images_a_second,
        "receivers": {"needed": plan.receivers, "now": machine.receivers},
        "slots": {"needed": plan.slots, "now": machine.slots},
        "plugins": {
            each.name: {"jobs_a_day": each.jobs_a_day, "hours_a_day": each.hours_a_day, "at_once": each.at_once}
            for each in plan.plugins
        },
        "queue": {
            "wait_seconds": plan.queue.wait_seconds,
            "left_over": plan.queue.left_over,
            "hours_to_clear": plan.queue.hours_to_clear,
        },
        "busy": dict(plan.busy),
        "bottleneck": plan.bottleneck,
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "from": figure.source}


def _wait(queue: JobQueue) -> str:
    if queue.wait_seconds is not None:
        return f"{queue.wait_seconds:.0f} s" if queue.wait_seconds < 600 else f"{queue.wait_seconds / 60:.0f} min"
    if queue.hours_to_clear is None:
        return f"grows: {queue.left_over:.0f} jobs left after it, more every day"
    return f"grows: {queue.left_over:.0f} jobs left after it, {queue.hours_to_clear:.1f} h"


def size(octets: float) -> str:
    """Bytes, in the unit that fits."""
    for unit, bound in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if octets >= bound:
            return f"{octets / bound:.3g} {unit}"
    return f"{octets / 1e3:.3g} kB"
