"""Pictures and report texts of a study for pages: found by the ledger alone, read in child processes, kept in memory.

No name of a file comes from outside: an address names a job, an object, a series or a number, and the ledger says which
file that is. What was read is kept in memory only, and bounded: on the disk it would be one more copy of a patient's
images that retention had to find.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from node.desk import picture_making
from node.desk.picture_making import Box
from node.errors import NotFoundError, PermanentError, TransientError
from node.ledger import instances, job_files, jobs, objects
from node.ledger.connection import Database
from node.ledger.job import Job
from node.ledger.job_files import JobFiles
from node.ledger.objects import ResultObject
from node.processes.pool import CallCancelledError, ChildDiedError, ChildLimitError, ChildPool
from node.store.layout import DataFolder

if TYPE_CHECKING:  # with NumPy, which the child alone needs
    from node.desk.picture_making import SegmentationSummary

log = structlog.get_logger(__name__)
T = TypeVar("T")
_DEADLINE = 20.0
_MEMORY = 1536 * 2**20
_KEPT_BYTES = 48 * 2**20
_BATCH = 400
"""Receipts that are looked up together."""
_HAS_PICTURE = ("sc", "pm")


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """What there is to be seen of the result of one job."""

    job: Job
    reports: Sequence[ResultObject]
    pages: Sequence[ResultObject]
    others: Sequence[ResultObject]
    is_here: bool
    """False where retention has deleted the files."""


def of_job(database: Database, study: str, job: str) -> ResultFiles:
    """The objects of a job of this study; NotFoundError."""
    found = _job(database, study, job)
    made = objects.of_job(database, found.id)
    reports = [each for each in made if each.kind == "sr"]
    pages = [each for each in made if each.kind in _HAS_PICTURE]
    others = [each for each in made if each not in reports and each not in pages]
    return ResultFiles(found, reports, pages, others, job_files.state(database, found.id) is JobFiles.HERE)


def _job(database: Database, study: str, job: str) -> Job:
    found = next((each for each in jobs.of_study(database, study) if each.id == job), None)
    if found is None:
        raise NotFoundError("this study has no such job")
    return found


def object_file(database: Database, data: Path, study: str, job: str, sop_instance_uid: str) -> Path:
    """The file of an object that was made from this job of this study; NotFoundError."""
    found = _job(database, study, job)
    made = objects.get(database, sop_instance_uid)
    if made is None or made.job != found.id:
        raise NotFoundError("this job has made no such object")
    if job_files.state(database, found.id) is not JobFiles.HERE:
        raise NotFoundError("retention deleted the files of this job")
    return data / made.file


def series_file(database: Database, data: Path, study: str, series: str) -> Path:
    """An image from the middle of a series of this study, in order of arrival; NotFoundError where none is here."""
    found = instances.middle_of(database, study, series)
    if found is None:
        raise NotFoundError("no image of this series is here")
    return _stored(data, found)


def _stored(data: Path, receipt: str) -> Path:
    try:
        return DataFolder(data).find(receipt)
    except FileNotFoundError:
        raise NotFoundError("the image is not here any more") from None


@dataclass(frozen=True, slots=True)
class ResultImages:
    """A kept result, and the images that it was made from."""

    folder: Path
    images: Mapping[str, Path]
    """By SOP Instance UID."""


def result_images(database: Database, data: Path, study: str, job: str) -> ResultImages:
    """Of a job of this study; NotFoundError where its result is not here, or none of its images."""
    found = _job(database, study, job)
    if found.result is None or job_files.state(database, found.id) is not JobFiles.HERE:
        raise NotFoundError("the result of this job is not here")
    receipts = [receipt for chosen in found.inputs for receipt in chosen.receipts]
    batches = [receipts[start : start + _BATCH] for start in range(0, len(receipts), _BATCH)]
    rows = [row for batch in batches for row in instances.current_of(database, batch)]
    stored = DataFolder(data)
    return ResultImages(data / found.result, {row.sop_instance_uid: stored.stored(row.receipt) for row in rows})


class Pictures:
    """Reads files in a child of its own, and remembers the last answers; for any number of threads."""

    def __init__(self) -> None:
        self._pool = ChildPool(1)
        self._kept: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._lock = Lock()

    def of_file(self, path: Path, box: Box, frame_number: int = 1) -> bytes:
        """One frame as PNG. PermanentError where it cannot be shown, TransientError where it may be later."""
        key = (path, box, frame_number)
        return self._remembered(key, picture_making.picture, (path, frame_number, box))

    def outlined(self, shown: ResultImages, index: int, box: Box) -> bytes:
        """A slice of a segmentation as PNG; raises as `of_file`."""
        key = (shown.folder, box, index)
        return self._remembered(key, picture_making.outlined, (shown.folder, shown.images, index, box))

    def report(self, path: Path) -> list[str]:
        """A structured report line by line; raises as `of_file`."""
        return self._read(picture_making.report, path)

    def segmentation(self, shown: ResultImages) -> SegmentationSummary | None:
        """What can be looked at slice by slice; raises as `of_file`."""
        return self._read(picture_making.segmentation, shown.folder)

    def _remembered(self, key: tuple[object, ...], function: Callable[[Any], bytes], argument: object) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._read(function, argument)
        with self._lock:
            self._kept[key] = made
            while sum(map(len, self._kept.values())) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return made

    def _read(self, function: Callable[[Any], T], argument: object) -> T:
        try:
            return self._pool.call(function, argument, deadline=_DEADLINE, memory=_MEMORY)
        except ChildLimitError as error:
            raise PermanentError(f"it cannot be shown: {error}") from error
        except (ChildDiedError, CallCancelledError) as error:
            raise TransientError("it cannot be shown now: the process that reads it ended") from error
        except Exception as error:  # whatever a library raises of a file; its text may hold a patient's data
            log.warning("desk.picture-not-read", function=function.__name__, error=type(error).__name__)
            raise PermanentError("it cannot be shown: the file is not what it should be") from error
