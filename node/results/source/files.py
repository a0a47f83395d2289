"""The files that the images of a job are read from, each verified before an object is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.errors import PermanentError
from node.ledger import instances, job_images, job_studies
from node.ledger.instances import Instance
from node.ledger.job import Job
from node.results.errors import NotEncodableError
from node.stage import Node
from node.store import intact
from node.store.intact import Damage, DamagedError


@dataclass(frozen=True, slots=True)
class VerifiedImages:
    """What was found of the images of one job: for all the sets of objects that are made of it then."""

    sound: tuple[Path, ...]
    """In the order of the job's inputs."""
    problem: str
    """Why one is missing from `sound`; empty where none is."""
    calling_ae_title: str = ""
    """Who sent the first of them, which patient and study are copied from."""

    def usable(self, job: Job, *, only_says_why: bool) -> tuple[Path, ...]:
        """The images that an object may be made from.

        `only_says_why`: a report that there is no result is made from the images that are sound. Any other needs all
        of them: raises `NotEncodableError` where one is damaged or gone, PermanentError where none is left.
        """
        if self.problem and not only_says_why:
            raise NotEncodableError("SOPInstanceUID", self.problem)
        if not self.sound:
            why = job.error or self.problem or "it was given none"
            raise PermanentError(f"job {job.id} has no images: nothing can be written for it ({why})")
        return self.sound


class SourceFiles:
    """Verifies the images of jobs. It keeps nothing between two calls: several threads ask it at the same time."""

    def __init__(self, node: Node) -> None:
        self._ledger = node.ledger
        self._data_folder = node.store
        self._clock = node.clock

    def of(self, job: Job) -> VerifiedImages:
        """The images of the job's own study, each read completely; those damaged or missing are one alert."""
        sound: list[Path] = []
        problem = calling_ae_title = ""
        damages: list[Damage] = []
        earlier = job_studies.earlier(self._ledger.database, job.id)
        for receipt in [receipt for chosen in job.inputs for receipt in chosen.receipts]:
            row = instances.by_receipt(self._ledger.database, receipt)
            if row is not None and row.study_instance_uid in earlier:
                continue  # it was given to compare with: it is nothing that the result is about
            if row is None:
                problem = self._why_unknown(job, receipt)
                continue
            try:
                path = self._data_folder.find(receipt)
                _read(path, row)
                calling_ae_title = calling_ae_title or row.calling_ae_title.strip()
                sound.append(path)
            except FileNotFoundError as error:
                problem = f"a source image is gone: {error}"
                damages.append(intact.missing(row, self._data_folder))
            except DamagedError as error:
                problem = f"a source image is damaged: {error}"
                damages.append(Damage(row, error))
        if damages:
            with self._ledger.transaction() as database:
                intact.alert(database, self._clock.now(), damages, job.study_instance_uid, job.id)
        return VerifiedImages(tuple(sound), problem, calling_ae_title)

    def _why_unknown(self, job: Job, receipt: str) -> str:
        if job_images.concerned(self._ledger.database, job.id):
            return "its source images were deleted by retention"
        return f"a source image is not known: receipt {receipt}"


def _read(path: Path, row: Instance) -> None:
    """Raise `DamagedError` where the file is not what was received, or the disk does not give it."""
    try:
        intact.verify(path, row.digest, row.transfer_syntax_uid)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedError(path, f"it cannot be read: {error.strerror or error}") from error
