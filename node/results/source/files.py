"""The files that the images of a job are read from, each verified before an object is made from it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from node.clock import Clock
from node.errors import PermanentError
from node.ledger import instances
from node.ledger.database import Ledger
from node.ledger.instances import Instance
from node.ledger.job import Job, JobInput
from node.results.errors import NotEncodableError
from node.store import intact
from node.store.intact import DamagedError
from node.store.layout import Spool


@dataclass(frozen=True, slots=True)
class _Verified:
    """What was found of the images of a job."""

    job: str
    sound: tuple[Path, ...]
    problem: str
    """Why one of them is not among these; empty where all are."""


class SourceFiles:
    """Verifies the images of jobs; those of a job once, for all its sets of objects, which one thread makes.

    Safe to share between threads: each has what it verified last to itself. Images of one job must never be taken for
    those of another, which may be another patient's.
    """

    def __init__(self, ledger: Ledger, spool: Spool, clock: Clock) -> None:
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._last = threading.local()

    def of(self, job: Job, *, only_says_why: bool) -> tuple[Path, ...]:
        """The images of the job's own study, in the order of its inputs.

        `only_says_why`: a report that there is no result is made from the images that are sound. Any other needs all
        of them: raises `NotEncodableError` where one is damaged or gone, PermanentError where none is left.
        """
        last: _Verified | None = getattr(self._last, "verified", None)
        if last is None or last.job != job.id:
            last = self._last.verified = self._verify(job)
        if last.problem and not only_says_why:
            raise NotEncodableError("SOPInstanceUID", last.problem)
        if not last.sound:
            why = last.problem or "it was given none"
            raise PermanentError(f"job {job.id} has no images: nothing can be written for it ({why})")
        return last.sound

    def _verify(self, job: Job) -> _Verified:
        sound: list[Path] = []
        problem = ""
        for receipt in [receipt for chosen in job.inputs if self._is_own(job, chosen) for receipt in chosen.receipts]:
            row = instances.by_receipt(self._ledger.database, receipt)
            if row is None:
                problem = f"a source image is not known: receipt {receipt}"
                continue
            try:
                path = self._spool.find(receipt)
                _read(path, row)
                sound.append(path)
            except FileNotFoundError as error:
                problem = f"a source image is gone: {error}"
            except DamagedError as error:
                problem = f"a source image is damaged: {error}"
                with self._ledger.transaction() as database:
                    intact.alert(database, self._clock.now(), error, row, job.id)
        return _Verified(job.id, tuple(sound), problem)

    def _is_own(self, job: Job, chosen: JobInput) -> bool:
        """Whether a series is of the job's study: an earlier one that it was given is nothing that it reports on."""
        first = instances.by_receipt(self._ledger.database, chosen.receipts[0])
        return first is None or first.study_instance_uid == job.study_instance_uid


def _read(path: Path, row: Instance) -> None:
    """Raise `DamagedError` where the file is not what was received, or the disk does not give it."""
    try:
        intact.verify(path, row.digest, row.transfer_syntax_uid)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedError(path, f"it cannot be read: {error.strerror or error}") from error
