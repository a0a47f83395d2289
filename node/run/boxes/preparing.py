"""The images of an attempt, made ready for its box: what it has already is known by its number."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from node.ledger import attempts, boxes
from node.ledger.attempts import Attempt
from node.ledger.boxes import BoxAttempt
from node.ledger.job import Job
from node.processes.pool import ChildPool
from node.run.boxes import reading
from node.run.boxes.abroad import Abroad
from node.run.boxes.reading import AnswerUnreadableError
from node.run.catalogue import SitePlugin
from node.run.elsewhere.inputs import InputsElsewhere
from node.run.settle import Settler
from node.stage import Node
from plugins import exchange

_FOLDER = "boxes"
"""In the data folder."""


class BoxInputs(InputsElsewhere):
    """For the stage of one box."""

    unusable: ClassVar[tuple[type[Exception], ...]] = (*InputsElsewhere.unusable, AnswerUnreadableError)

    def __init__(self, node: Node, settler: Settler, reader: ChildPool, box: str, abroad: Abroad) -> None:
        super().__init__(node, settler, reader, node.store.data / _FOLDER / box)
        self._box, self._abroad = box, abroad
        self._ready: set[str] = set()
        """Jobs whose images are laid out."""

    def remove(self, job: Job) -> None:
        """See `InputsElsewhere.remove`."""
        self._ready.discard(job.id)
        super().remove(job)

    def files(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt | None, calling_ae_title: str
    ) -> dict[int, Path] | None:
        """The files of an attempt by their numbers; None where it is settled, since its images are not usable,
        or are not for it.
        """
        work = partial(self._files, attempt, job, plugin, known, calling_ae_title)
        return self.settled_unless(job, plugin, work)

    def _files(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt | None, calling_ae_title: str
    ) -> dict[int, Path] | None:
        if job.id not in self._ready:
            asked, key = self.asked(attempt, job, plugin)
            if known is None and self._settler.outside(job, plugin, asked) is None:
                return None
            self.lay_out(job, asked, key)
            self._ready.add(job.id)
        paths = sorted((self.folder(job) / exchange.IN).rglob("*.dcm"))
        if known is None:
            self._record(attempt, job, plugin, paths, calling_ae_title)
        return dict(enumerate(paths, start=1))

    def _record(self, attempt: Attempt, job: Job, plugin: SitePlugin, paths: list[Path], calling_ae_title: str) -> None:
        """Put down what the box will get, before any of it leaves."""
        before = self._abroad.before(job) if self._abroad.is_used else None
        headers = reading.read(self._reader, paths)
        start = self.start_of(attempt, job, plugin, headers[0].study_instance_uid)
        new = BoxAttempt(attempt.id, self._box, calling_ae_title, headers[0].patient_id, before, None, 0, None)
        with self._node.ledger.transaction() as database:
            attempts.identified(database, self._node.clock.now(), attempt, start)
            boxes.laid_out(database, new, [each.sop_instance_uid for each in headers])
