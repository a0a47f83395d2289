"""The images of an attempt, made ready for its box as for any plugin: verified copies, under pseudonyms or as received.

They are in a folder of the box's own while they are sent, and made again by a node that died: pseudonyms come out
equal, so what the box has already is known by its number.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from node.dicom.confidentiality.key import Key
from node.ledger import attempts, boxes
from node.ledger.attempts import Attempt, AttemptFailureKind, AttemptStart
from node.ledger.boxes import BoxAttempt
from node.ledger.job import Job
from node.processes.pool import ChildPool
from node.run import handing_on, inputs, laying_out
from node.run.boxes import reading
from node.run.boxes.abroad import Abroad
from node.run.boxes.reading import AnswerUnreadableError
from node.run.catalogue import SitePlugin
from node.run.digests import CodeDigests, TooManyFilesError
from node.run.inputs import InputChangedError, InputDamagedError, InputGoneError, Inputs
from node.run.laying_out import InputUnreadableError
from node.run.retry import AttemptFailure
from node.run.settle import Settler
from node.stage import Node
from node.store import keys
from plugins import exchange
from plugins.manifest import ParameterError
from plugins.runtime import PatientIdentity

_FOLDER = "boxes"
"""In the data folder."""


class BoxInputs:
    """For the stage of one box."""

    def __init__(self, node: Node, settler: Settler, reader: ChildPool, box: str, abroad: Abroad) -> None:
        self._node, self._settler, self._reader, self._box = node, settler, reader, box
        self._abroad = abroad
        self._digests = CodeDigests(node.store.data)
        self._root = node.store.data / _FOLDER / box
        self._ready: set[str] | None = None
        """Jobs whose images are laid out; None before the first look."""

    def begin(self) -> None:
        """Once: what an earlier life of the node has left is removed."""
        if self._ready is None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._ready = set()

    def folder(self, job: Job) -> Path:
        """The folder of a job at this box."""
        return self._root / job.id

    def remove(self, job: Job) -> None:
        """What was laid out of a job is not needed any more."""
        assert self._ready is not None, "begin comes first"
        self._ready.discard(job.id)
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def asked(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> tuple[Inputs, Key | None]:
        """What the job gives to its plugin, and the key for its pseudonyms; raises as `inputs.gather` does."""
        parameters = plugin.manifest.parameters_for(job.parameters)
        asked = inputs.gather(self._node.ledger.database, job, plugin, parameters)
        hides = attempt.identity != PatientIdentity.FULL
        return asked, inputs.key_of(asked, keys.secret(self._node.store.data)) if hides else None

    def files(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt | None, calling_ae_title: str
    ) -> dict[int, Path] | None:
        """The files of an attempt by their numbers; None where it is settled, since its images are not usable,
        or are not for it."""
        try:
            return self._files(attempt, job, plugin, known, calling_ae_title)
        except InputChangedError as error:
            self._settler.cancelled(job, str(error))
        except InputDamagedError as error:
            self._settler.damaged(job, error, plugin)
        except (
            InputGoneError,
            InputUnreadableError,
            AnswerUnreadableError,
            ParameterError,
            TooManyFilesError,
        ) as error:
            self._settler.failed(job, AttemptFailure(AttemptFailureKind.INPUT, str(error)), plugin)
        self.remove(job)
        return None

    def _files(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: BoxAttempt | None, calling_ae_title: str
    ) -> dict[int, Path] | None:
        assert self._ready is not None, "begin comes first"
        folder = self.folder(job)
        if job.id not in self._ready:
            shutil.rmtree(folder, ignore_errors=True)
            asked, key = self.asked(attempt, job, plugin)
            if known is None and self._settler.outside(job, plugin, asked) is None:
                return None
            layer = inputs.Layer(
                lambda images: laying_out.lay_out(self._reader, images, lambda: False),
                lambda results: handing_on.hand_on(self._reader, results, lambda: False),
            )
            inputs.lay_out(asked, folder, self._node.store, key, layer)
            self._ready.add(job.id)
        paths = sorted((folder / exchange.IN).rglob("*.dcm"))
        if known is None:
            self._record(attempt, job, plugin, paths, calling_ae_title)
        return dict(enumerate(paths, start=1))

    def _record(self, attempt: Attempt, job: Job, plugin: SitePlugin, paths: list[Path], calling_ae_title: str) -> None:
        """Put down what the box will get, before any of it leaves."""
        before = self._abroad.before(job) if self._abroad.is_used else None
        headers = reading.read(self._reader, paths)
        manifest, code = plugin.manifest, self._digests.of(plugin.manifest)
        stated = manifest.identity_with(manifest.parameters_for(job.parameters))
        start = AttemptStart(
            algorithm=asdict(stated.as_it_ran(code.weights, code.software)),
            code_digest=code.whole,
            resources={},
            sent_study_uid=headers[0].study_instance_uid,
            pseudonym_key=keys.name_of(keys.secret(self._node.store.data))
            if attempt.identity != PatientIdentity.FULL
            else None,
        )
        new = BoxAttempt(attempt.id, self._box, calling_ae_title, headers[0].patient_id, before, None, 0, None)
        with self._node.ledger.transaction() as database:
            attempts.identified(database, self._node.clock.now(), attempt, start)
            boxes.laid_out(database, new, [each.sop_instance_uid for each in headers])
