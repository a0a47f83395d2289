"""What a plugin's process left behind, distrusted: its result is read, checked and only then kept.

That happens in a child process: no file that a plugin wrote is read by the node itself, but for the end of a log.
`plugins.exchange` refuses a result that is malformed, too large for the images, leaves its folder or names what the
plugin was not given (case 73). Here it is checked against what the exchange does not know: the manifest.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import structlog

from node.processes.pool import ChildDiedError, ChildError, ChildPool
from node.run import found, process
from node.run.nifti import reading
from node.run.nifti.reading import NiftiAnswer
from node.run.pseudonyms import Translation
from node.run.returned import taking
from node.run.returned.checking import ObjectOfPlugin
from node.run.returned.taking import TakingTask
from node.store.durable import sync_folder, write_durably
from plugins import exchange, limits
from plugins.allowed_parts import AllowedParts
from plugins.contract import PdfDocument, Result, ResultStatus
from plugins.exchange import OutputReading, Request
from plugins.manifest import Manifest, Output
from plugins.untrusted import ExchangeError

KEPT = "plugin"
"""In `results/<job>/`: request.json and out/, as `plugins.exchange` lays them out, without the images."""
LOG = "log.txt"
"""In `results/<job>/`: what the plugin printed, attempt by attempt."""
MEMORY = 2**30
"""Bytes for reading one result: its JSON and one plane of its arrays, which are mapped."""
_LOG_BYTES = 4 * 2**20
_LOG_TOTAL = 16 * 2**20
_SECONDS = 60.0
_BYTES_A_SECOND = 20 * 2**20
"""Read, checked, written and synchronised, on a slow disk."""
_ELEMENTS_A_SECOND = 2**20
"""Bytes of DICOM, which may be elements and nothing else, on a machine that is busy."""
_BYTES_A_WEIGHT = 100 * 2**20
_VOXELS_A_SECOND = 10 * 2**20
"""Unpacked, judged and brought to the grid of the images, on a machine that is busy."""
_FILE_SECONDS = 1.0
_ATTEMPTS = 2
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AnswerToCheck:
    """A result to be read, and where it is kept."""

    folder: Path
    """The job's, as its plugin left it."""
    request: Request
    """As the plugin got it."""
    kept: Request
    """As it is kept with the result: with the UIDs that the images really have."""
    translation: Translation
    """From what the plugin knows to what is true."""
    manifest: Manifest
    results: Path
    """`results/<job>`."""
    nifti: NiftiAnswer | None = None
    """What is in `out/`, where that is NIfTI files and tables."""
    notes: tuple[str, ...] = ()
    """What the node adds to the limits of the analysis."""


@dataclass(frozen=True, slots=True)
class CheckedResult:
    """A result that holds, written but not yet in its place (`put_in_place`)."""

    status: ResultStatus
    found: Mapping[str, Any]
    """See `node.run.found`."""
    ignored: tuple[str, ...] = ()
    """Of what else lay in `out/`: see `plugins.exchange.OutputReading`."""
    error: str = ""
    """Where it failed, as its process says, for the admin."""
    replaced: tuple[str, ...] = ()
    """The fields that named the patient in their text."""
    objects: tuple[ObjectOfPlugin, ...] = ()
    """The DICOM objects that were returned and are kept."""
    marked: bool = True
    """Whether they are sent as objects of this node."""
    told: tuple[str, ...] = ()
    """What a person should know of those objects: which are not sent, and why."""


def accept(pool: ChildPool, order: AnswerToCheck, cancelled: Callable[[], bool]) -> CheckedResult:
    """Have the result read, judged and written to the disk, in a child process.

    Raises ExchangeError, which says what is wrong with the result; OSError where it cannot be written;
    CallCancelledError.
    """
    size = _size(order.folder / exchange.OUT)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return pool.call(
                take,
                order,
                deadline=_SECONDS + size / _bytes_a_second(order) + _unpacking_seconds(order),
                memory=MEMORY,
                cancelled=cancelled,
                weight=size / _BYTES_A_WEIGHT + _unpacking_seconds(order) / 2,
            )
        except ChildError as error:
            log.warning("run.reader-died", job=order.request.job, attempt=attempt, error=str(error))
            if attempt == _ATTEMPTS or not isinstance(error, ChildDiedError):
                raise ExchangeError(f"{exchange.OUT}/", "", f"the result cannot be read: {error}") from error
    raise AssertionError("the last attempt returns or raises")


def take(order: AnswerToCheck) -> CheckedResult:
    """In the child: what `accept` does."""
    return checked(order, reading.read(order.nifti) if order.nifti else exchange.read(order.folder, order.request))


def checked(order: AnswerToCheck, read: OutputReading) -> CheckedResult:
    """A result that was read, judged by the manifest and written; ExchangeError, OSError."""
    result = read.result
    problem = next(iter(order.manifest.undeclared(result)), None)
    if problem:
        raise ExchangeError(f"{exchange.OUT}/{exchange.RESULT}", "", problem)
    if result.documents:
        _refuse_active(result.documents)
    if order.notes:
        result = replace(result, quality=(*order.notes, *result.quality)[: limits.NOTES])
    part = _empty_part(order.results)
    taken = taking.take(result, _objects_of(order, part / exchange.OUT))
    result, replaced = order.translation.result(taken.result)  # after that: reports bring texts of their own
    _write(result, order.kept, part)
    error = order.translation.identifiers.without(read.error)
    return CheckedResult(
        result.status,
        found.of(result),
        read.ignored,
        error,
        replaced,
        taken.objects,
        order.manifest.returned.mark,
        taken.told,
    )


def _refuse_active(those: Sequence[PdfDocument]) -> None:
    """ExchangeError where a document could do more than be looked at."""
    from node.run import documents  # with the library that reads PDF, which the node's own process never does

    for index, document in enumerate(those):
        if refusal := documents.problem_of(document.pdf):
            place = f"$.documents[{index}].pdf"
            raise ExchangeError(f"{exchange.OUT}/{exchange.RESULT}", place, refusal)


def _objects_of(order: AnswerToCheck, out: Path) -> TakingTask:
    return TakingTask(
        order.folder / exchange.OUT,
        out,
        order.translation.given,
        frozenset(file.sop_instance_uid for series in order.kept.series for file in series.files),
        announced=Output.DICOM in order.manifest.outputs,
        marked=order.manifest.returned.mark,
        allowed=AllowedParts(exchange.given_images(order.kept)),
        scores=order.manifest.returned.scores,
    )


def _bytes_a_second(order: AnswerToCheck) -> int:
    return _ELEMENTS_A_SECOND if Output.DICOM in order.manifest.outputs else _BYTES_A_SECOND


def _unpacking_seconds(order: AnswerToCheck) -> float:
    """For files that say what they hold only once they are unpacked."""
    if order.nifti is None:
        return 0.0
    files = len(order.nifti.mapping.output_files())
    return files * (_FILE_SECONDS + order.nifti.grid.voxels / _VOXELS_A_SECOND)


def _size(out: Path) -> int:
    """Bytes of what lies in a folder and below it, as far as a result may have them."""
    most = limits.ARRAY_BYTES + limits.JSON_BYTES + limits.OBJECTS_BYTES
    paths = (Path(folder) / name for folder, _, names in os.walk(out) for name in names)
    try:
        sizes = (path.lstat().st_size for path in islice(paths, limits.FILES + limits.OBJECTS))
        return min(sum(sizes), most)
    except OSError:
        return 0  # reading it will say what is wrong


def keep(result: Result, request: Request, results: Path, job: str) -> Path:
    """Make the node's own result durable in `results/<job>/plugin` and return that folder."""
    _write(result, request, _empty_part(results / job))
    return put_in_place(results, job)


def _empty_part(results: Path) -> Path:
    """The folder of a result that is being written, empty."""
    part = results / f"{KEPT}.part"
    if part.exists():  # of an attempt that was cut short
        shutil.rmtree(part)
    (part / exchange.OUT).mkdir(parents=True, mode=0o700)
    return part


def _write(result: Result, request: Request, part: Path) -> None:
    """What is written is what was checked, not the plugin's own files: nothing else of `out/` gets in."""
    exchange.write_result(part, result)
    write_durably(part / exchange.REQUEST, exchange.request_bytes(request))


def put_in_place(results: Path, job: str) -> Path:
    """Give a result that was written its name, durably; returns its folder, `results/<job>/plugin`."""
    target = results / job / KEPT
    if target.exists():  # of an attempt that ended between here and the ledger
        shutil.rmtree(target)
    target.with_name(f"{KEPT}.part").rename(target)
    sync_folder(target.parent)
    sync_folder(results)
    return target


def keep_log(folder: Path, results: Path, job: str, heading: str) -> bool:
    """Append what an attempt printed, under a heading, to `results/<job>/log.txt`; false where that is full."""
    target = results / job / LOG
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with target.open("ab") as file:
        if file.tell() > _LOG_TOTAL:
            return False
        file.write(f"--- {heading}\n".encode())
        for part in (folder / process.LOG, folder / exchange.OUT / exchange.LOG):
            file.write(_end_of(part))
    return True


def add_to_log(results: Path, job: str, line: str) -> None:
    """Append a line of the node's own to `results/<job>/log.txt`."""
    with (results / job / LOG).open("a", encoding="utf-8") as file:
        file.write(f"--- {line}\n")


def _end_of(path: Path) -> bytes:
    """What a file holds, of a long one the end; nothing where it is not a file of the plugin's own (a link, a pipe)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            return b""
        file.seek(max(0, status.st_size - _LOG_BYTES))
        content = file.read(_LOG_BYTES)
    return content if content.endswith(b"\n") or not content else content + b"\n"
