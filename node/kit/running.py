"""`plugin run`: what becomes of some images, from the copies that the plugin gets to the objects that would be sent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import Dataset

from node.kit.chosen import PluginChoice
from node.kit.receiving import GivenImages, kept_result, log_of, receive
from node.kit.result_lines import lines
from node.kit.small_node import PluginTask, SmallNode, small_node
from node.ledger import alerts, attempts, deliveries, events, objects
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobOutcome
from node.reading import reader

_TEXT = "report.txt"
_LOG = "log.txt"
_OURS = ("sr", "sc", "seg", "pm", "ko", "pr", "rtstruct", "pdf", "dicom")
_OF_RETURNED = (EventKind.JOB_OBJECTS_TOLD, EventKind.JOB_OBJECTS_ODD)


@dataclass(frozen=True)
class PluginAnswer:
    """What a site would have of one run."""

    outcome: JobOutcome | None
    """None: the attempt failed, and would be made again."""
    error: str
    """Why it failed, for the admin: with the line of the author's code where there is one."""
    log: str
    """What it printed, with the tracebacks."""
    seconds: float | None
    peak_memory: int | None
    """Bytes."""
    says: tuple[str, ...] = ()
    """What the result says, line by line."""
    report: tuple[str, ...] = ()
    """The text of the structured report, as it is read back."""
    warnings: tuple[str, ...] = ()
    """What the node says of images and objects."""
    files: tuple[Path, ...] = ()
    """What was written."""

    @property
    def worked(self) -> bool:
        """A result came that is not a failure, and all of it could be encoded."""
        return self.outcome not in (None, JobOutcome.FAILED) and not self.error


def run(
    choice: PluginChoice, images: GivenImages, parameters: Mapping[str, object], out: Path | None = None
) -> PluginAnswer:
    """Run it once and encode what it says; files go to `out`. UsageError, ParameterError."""
    with small_node(choice.configuration) as node:
        plugin = choice.to_run(node.node.store.data)
        plugin.parameters_for(parameters)
        task = PluginTask(plugin, *receive(node, images), parameters)
        job = node.run(task)
        if job.outcome is not None:
            job = node.encode(job)
        return _answer(node, job, task, out)


def _answer(node: SmallNode, job: Job, task: PluginTask, out: Path | None) -> PluginAnswer:
    database = node.node.ledger.database
    (attempt,) = attempts.of_job(database, job.id)
    result = kept_result(node, job)
    warnings = [*task.images.problems, *(text for each in task.roles.values() for text in each.problems)]
    for alert in alerts.of_study(database, task.images.study):
        told = ", ".join(f"{key}: {value}" for key, value in alert.detail.items())
        warnings.append(f"{alert.kind.sentence} ({told})")
    for each in events.of_study(database, task.images.study):
        if each.kind in _OF_RETURNED:
            warnings += [str(text) for text in each.detail.get("told", each.detail.get("problems", ()))]
    sets = _sets(node, job)
    reports = [_report(path) for each in sets.values() for path in each if path.name.startswith("sr")]
    log, text = log_of(node, job), reports[0] if reports else ()
    return PluginAnswer(
        outcome=job.outcome,
        error=job.error or "",
        log=log,
        seconds=attempt.seconds,
        peak_memory=attempt.peak_memory,
        says=tuple(lines(result)) if result else (),
        report=text,
        warnings=tuple(warnings),
        files=tuple(_export(sets, log, text, out)) if out else (),
    )


def _sets(node: SmallNode, job: Job) -> dict[str, list[Path]]:
    """The files of the objects that were made, by one of the destinations that they are for."""
    database, data = node.node.ledger.database, node.node.store.data
    first: dict[str, str] = {}
    for delivery in deliveries.of_job(database, job.id):
        first.setdefault(delivery.item, delivery.destination)
    sets: dict[str, list[Path]] = {}
    for made in objects.of_job(database, job.id):
        sets.setdefault(first.get(made.sop_instance_uid, made.encoding), []).append(data / made.file)
    return sets


def _report(path: Path) -> tuple[str, ...]:
    return tuple(reader.read_sr(path).lines())


def _export(sets: Mapping[str, Sequence[Path]], log: str, report: Sequence[str], out: Path) -> Iterator[Path]:
    """Objects, pages as PNG, report and log; what an earlier run wrote there goes first."""
    out.mkdir(parents=True, exist_ok=True)
    for name, files in sets.items():
        folder = out if len(sets) == 1 else out / name
        _clear(folder)
        for path in files:
            yield Path(shutil.copyfile(path, folder / path.name))
            if _is_page(path):
                yield reader.sc_png(path, folder / f"{path.stem}.png")
    for name, text in ((_TEXT, "".join(f"{line}\n" for line in report)), (_LOG, log)):
        if text:
            (out / name).write_text(text, encoding="utf-8")
            yield out / name
        else:
            (out / name).unlink(missing_ok=True)


def _is_page(path: Path) -> bool:
    found: Dataset = pydicom.dcmread(path, stop_before_pixels=True)
    return path.name.startswith("sc") and int(found.get("NumberOfFrames") or 1) == 1


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in _OURS:
        for path in [*folder.glob(f"{kind}-[0-9][0-9][0-9].dcm"), *folder.glob(f"{kind}-[0-9][0-9][0-9].png")]:
            path.unlink()
