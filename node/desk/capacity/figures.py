"""Where the figures of a plan come from: what was said, the site's own ledger, what was measured, or an assumption."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from node.config.models import Configuration
from node.desk.capacity import measuring
from node.desk.capacity.arithmetic import Figure, MachineFigures, PluginWork, Workload
from node.desk.capacity.measuring import MeasuredMachine
from node.errors import NodeError, UsageError
from node.ledger import durations, workload
from node.ledger.database import FILE, Ledger
from node.ledger.durations import TimedStep
from node.ledger.workload import SiteWorkload

_PLUGIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)=(?P<seconds>\d+(\.\d+)?)(@(?P<percent>\d+(\.\d+)?)%?)?")
_IMAGES, _IMAGE_BYTES = 200.0, 0.5e6
_HOURS = 10.0
_PEAK = 2.0
"""How many times its even share the busiest hour of a day has."""
_RESULT_BYTES = 2e6
_STORE_SECONDS, _WRITE_BYTES = 0.02, 30e6
_DAYS = 30.0
_RECEIVERS, _SLOTS = 1, 2
"""Defaults of `node.receivers` and `node.jobs_at_once`."""


@dataclass(frozen=True, slots=True)
class PlanQuestion:
    """What a person says; None where the node is to find out."""

    studies: float
    images: float | None = None
    megabytes: float | None = None
    hours: float | None = None
    plugins: Sequence[str] = ()
    """`NAME=SECONDS`, `NAME=SECONDS@PERCENT` of the studies."""
    disk: int | None = None
    """Bytes."""


def gather(
    question: PlanQuestion, configuration: Configuration | None, *, measure: bool = False
) -> tuple[Workload, MachineFigures]:
    """Figures for the arithmetic; UsageError, OSError.

    Without a configuration the current folder is where images would be.
    """
    site, timed = _of_ledger(configuration) if configuration is not None else (None, {})
    about = f"ledger, last {site.studies} studies" if site is not None else ""
    images = _first(question.images, site.images if site else None, about, _IMAGES)
    megabytes = question.megabytes
    size = _first(megabytes * 1e6 if megabytes else None, site.image_bytes if site else None, about, _IMAGE_BYTES)
    hours = _first(question.hours, None, "", _HOURS)
    even = Figure(min(1.0, _PEAK / hours.value), f"assumed: twice the even share of {hours.value:g} h")
    peak = Figure(site.peak_share, about) if site is not None and site.peak_share is not None else even
    plugins = _plugins(question.plugins, configuration) or _sites_plugins(site, timed, about, configuration)
    data = configuration.node.data if configuration is not None else Path()
    measured = measuring.measure(data, size.value) if measure else measuring.known(data)
    work = Workload(
        studies=Figure(question.studies, "said"),
        images=images,
        image_bytes=size,
        peak_share=peak,
        hours=hours,
        result_bytes=Figure(_RESULT_BYTES, "assumed"),
        plugins=plugins,
    )
    return work, _machine(question, configuration, measured, size.value, data)


def _first(said: float | None, of_site: float | None, about: str, assumed: float) -> Figure:
    if said is not None:
        return Figure(said, "said")
    return Figure(of_site, about) if of_site else Figure(assumed, "assumed")


def _of_ledger(configuration: Configuration) -> tuple[SiteWorkload | None, dict[str, float]]:
    """What the ledger says of studies, and the seconds of an attempt of each plugin; nothing where there is none."""
    try:
        ledger = Ledger.existing(configuration.node.data / FILE)
    except NodeError:  # before the first start, or of another release
        return None, {}
    try:
        with ledger.snapshot() as database:
            timed = {each.place: each.seconds / each.count for each in durations.of(database, TimedStep.RUN)}
        return workload.look(ledger.database, configuration.node.zone), timed
    finally:
        ledger.close()


def _plugins(said: Sequence[str], configuration: Configuration | None) -> list[PluginWork]:
    found = []
    for text in said:
        written = _PLUGIN.fullmatch(text)
        if written is None:
            raise UsageError(f"{text!r} is not NAME=SECONDS or NAME=SECONDS@PERCENT, as in lung-density=40@25")
        share = float(written["percent"] or 100) / 100
        figures = Figure(float(written["seconds"]), "said"), Figure(share, "said")
        found.append(PluginWork(written["name"], *figures, _at_once(written["name"], configuration)))
    return found


def _sites_plugins(
    site: SiteWorkload | None, timed: dict[str, float], about: str, configuration: Configuration | None
) -> list[PluginWork]:
    """What the ledger has seen run."""
    return [
        PluginWork(
            name,
            Figure(timed[name], "ledger, all attempts"),
            Figure(share, about),
            _at_once(name, configuration),
        )
        for name, share in (site.jobs.items() if site is not None else ())
        if name in timed
    ]


def _at_once(plugin: str, configuration: Configuration | None) -> int:
    used = configuration.plugins.get(plugin) if configuration is not None else None
    return used.at_once if used is not None else 1


def _machine(
    question: PlanQuestion,
    configuration: Configuration | None,
    measured: MeasuredMachine | None,
    image_bytes: float,
    data: Path,
) -> MachineFigures:
    if measured is not None:
        about = f"measured on {measured.on.isoformat()}, with images of {measured.image_bytes / 1e6:.2g} MB"
        more = max(1.0, image_bytes / measured.image_bytes)  # larger ones take longer, at least as their bytes do
        speed = Figure(measured.store_seconds * more, about), Figure(measured.write_bytes, about)
    else:
        about = "assumed; --measure finds out"
        speed = Figure(_STORE_SECONDS, about), Figure(_WRITE_BYTES, about)
    node = configuration.node if configuration is not None else None
    if question.disk is not None:
        space = Figure(question.disk, "said")
    else:
        usage = shutil.disk_usage(next(each for each in (data, *data.resolve().parents) if each.exists()))
        reserve = node.limits.free_space if node is not None else 0
        space = Figure(max(0, usage.free - reserve), "free now, without node.limits.free_space")
    age = configuration.retention.images if configuration is not None else None
    days = Figure(age / timedelta(days=1), "retention.images") if age is not None else Figure(_DAYS, "assumed")
    receivers, slots = (node.receivers, node.jobs_at_once) if node is not None else (_RECEIVERS, _SLOTS)
    return MachineFigures(*speed, space, days, receivers, slots)
