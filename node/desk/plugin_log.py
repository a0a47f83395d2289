"""What a plugin printed in its attempts at a job, with the line of its code that failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from node.desk import find
from node.errors import NotFoundError, UsageError
from node.ledger import attempts, jobs
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.job import Job

_MOST = 2**20
"""Bytes of a log that are shown: the end of it."""


def lines(ledger: Ledger, data: Path, what: str) -> Iterator[str]:
    """Job by job: each attempt, how it ended, and the log of them all; NotFoundError, UsageError."""
    with ledger.snapshot() as database:
        work = [(job, attempts.of_job(database, job.id)) for job in _jobs(database, what)]
    for job, tried in work:
        yield f"job {job.id} of {job.plugin}: {job.status}{f', {job.outcome}' if job.outcome else ''}"
        if job.error:
            yield f"  {job.error}"
        for attempt in tried:
            yield f"  attempt {attempt.number}: {attempt.state}{f', {attempt.detail}' if attempt.detail else ''}"
        for name in dict.fromkeys(each.log for each in tried if each.log):
            yield f"  log: {data.absolute() / name}"
            yield from _text(data / name)


def end_of(data: Path, name: str, most: int) -> str:
    """The last `most` bytes of an attempt's log (`Attempt.log`), from the beginning of a line; why not, where it cannot
    be read.
    """
    try:
        with (data / name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            content = file.read(most)
    except OSError as error:
        return f"(it cannot be read: {error.strerror})"
    text = content.decode("utf-8", errors="replace")
    return text if size <= most else f"(the last {most} of {size} bytes)\n{text.partition(chr(10))[2]}"


def _jobs(database: Database, what: str) -> list[Job]:
    """The job of this name, else those of the study of this name."""
    try:
        found = find.item(database, what)
    except (NotFoundError, UsageError) as unknown:
        try:
            study = find.study(database, what)
        except NotFoundError:
            raise unknown from None
        return _of_study(database, study.study_instance_uid)
    if isinstance(found, Job):
        return [found]
    return _of_study(database, find.study(database, what).study_instance_uid)


def _of_study(database: Database, study: str) -> list[Job]:
    found = jobs.of_study(database, study)
    if not found:
        raise NotFoundError(f"no plugin ran on study {study}")
    return found


def _text(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _MOST))
            content = file.read(_MOST)
    except OSError as error:
        yield f"  (it cannot be read: {error.strerror})"
        return
    if size > _MOST:
        yield f"  (the last {_MOST} of {size} bytes)"
    yield from (f"  | {line}" for line in content.decode("utf-8", errors="replace").splitlines())
