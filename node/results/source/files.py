"""The files that the images of a job are read from, each verified before an object is made from it."""

from __future__ import annotations

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
from node.store.intact import Damage, DamagedError
from node.store.layout import Spool


@dataclass(frozen=True, slots=True)
class VerifiedImages:
    """What was found of the images of one job: for all the sets of objects that are made of it then."""

    sound: tuple[Path, ...]
    """In the order of the job's inputs."""
    problem: str
    """Why one is missing from `sound`; empty where none is."""

    def usable(self, job: Job, *, only_says_why: bool) -> tuple[Path, ...]:
        """The images that an object may be made from.

        `only_says_why`: a report that there is no result is made from the images that are sound. Any other needs all
        of them: raises `NotEncodableError` where one is damaged or gone, PermanentError where none is left.
        """
        if self.problem and not only_says_why:
            raise NotEncodableError("SOPInstanceUID", self.problem)
        if not self.sound:
            why = self.problem or "it was given none"
            raise PermanentError(f"job {job.id} has no images: nothing can be written for it ({why})")
        return self.sound


class SourceFiles:
    """Verifies the images of jobs. It keeps nothing between two calls: several threads ask it at the same time."""

    def __init__(self, ledger: Ledger, spool: Spool, clock: Clock) -> None:
        self._ledger = ledger
        self._spool = spool
        self._clock = clock

    def of(self, job: Job) -> VerifiedImages:
        """The images of the job's own study, each read completely; those damaged or missing are one alert."""
        sound: list[Path] = []
        problem = ""
        damages: list[Damage] = []
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
                damages.append(intact.missing(row, self._spool))
            except DamagedError as error:
                problem = f"a source image is damaged: {error}"
                damages.append(Damage(row, error))
        if damages:
            with self._ledger.transaction() as database:
                intact.alert(database, self._clock.now(), damages, job.study_instance_uid, job.id)
        return VerifiedImages(tuple(sound), problem)

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
