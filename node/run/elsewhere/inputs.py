"""The images of an attempt elsewhere, made ready as for any plugin: verified copies, under pseudonyms or as received.

They are in a folder of their own while they are sent, and made again by a node that died: pseudonyms come out equal.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, TypeVar

from node import envelope
from node.dicom.confidentiality.key import Key
from node.ledger.attempts import Attempt, AttemptFailureKind, AttemptStart
from node.ledger.job import Job
from node.processes.pool import ChildPool
from node.run import handing_on, inputs, laying_out
from node.run.catalogue import SitePlugin
from node.run.digests import CodeDigests, TooManyFilesError
from node.run.handing_on import ResultUnusableError
from node.run.inputs import InputChangedError, InputDamagedError, InputGoneError, Inputs, JobInputs
from node.run.laying_out import InputUnreadableError
from node.run.retry import AttemptFailure
from node.run.settle import Settler
from node.stage import Node
from node.store import keys
from plugins.manifest import ParameterError
from plugins.runtime import PatientIdentity

T = TypeVar("T")


class InputsElsewhere:
    """For the stage of one system."""

    unusable: ClassVar[tuple[type[Exception], ...]] = (
        InputGoneError,
        InputUnreadableError,
        ResultUnusableError,
        ParameterError,
        TooManyFilesError,
    )
    """What says that the images cannot be sent."""

    def __init__(self, node: Node, settler: Settler, reader: ChildPool, root: Path) -> None:
        """`root`: where the folders of its jobs are."""
        self._node, self._settler, self._reader, self._root = node, settler, reader, root
        self._digests = CodeDigests(node.store.data)
        self._has_begun = False

    def begin(self) -> None:
        """Once: what an earlier life of the node has left is removed."""
        if not self._has_begun:
            shutil.rmtree(self._root, ignore_errors=True)
            self._has_begun = True

    def folder(self, job: Job) -> Path:
        """The folder of a job."""
        return self._root / job.id

    def remove(self, job: Job) -> None:
        """What was laid out of a job is not needed any more."""
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def asked(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> tuple[Inputs, Key | None]:
        """What the job gives to its plugin, and the key for its pseudonyms; raises as `inputs.gather` does."""
        parameters = plugin.manifest.parameters_for(job.parameters)
        asked = inputs.gather(self._node.ledger.database, job, plugin, parameters)
        hides = attempt.identity != PatientIdentity.FULL
        return asked, inputs.key_of(asked, keys.secret(self._node.store.data)) if hides else None

    def lay_out(self, job: Job, asked: Inputs, key: Key | None) -> JobInputs:
        """Make the folder of a job with what is sent; raises as `inputs.lay_out` does."""
        folder = self.folder(job)
        shutil.rmtree(folder, ignore_errors=True)
        layer = inputs.Layer(
            lambda images: laying_out.lay_out(self._reader, images, lambda: False),
            lambda results: handing_on.hand_on(self._reader, results, lambda: False),
        )
        return inputs.lay_out(asked, folder, self._node.store, key, layer)

    def settled_unless(self, job: Job, plugin: SitePlugin, work: Callable[[], T]) -> T | None:
        """What `work` returns; None where the job is settled, since its images are not usable."""
        try:
            return work()
        except InputChangedError as error:
            self._settler.cancelled(job, str(error))
        except InputDamagedError as error:
            self._settler.damaged(job, error, plugin)
        except self.unusable as error:
            self._settler.failed(job, AttemptFailure(AttemptFailureKind.INPUT, str(error)), plugin)
        self.remove(job)
        return None

    def start_of(self, attempt: Attempt, job: Job, plugin: SitePlugin, sent_study: str) -> AttemptStart:
        """What is put down before anything leaves; `sent_study`: the Study Instance UID that leaves."""
        manifest, code = plugin.manifest, self._digests.of(plugin.manifest)
        stated = manifest.identity_with(manifest.parameters_for(job.parameters))
        hides = attempt.identity != PatientIdentity.FULL
        return AttemptStart(
            algorithm=asdict(stated.as_it_ran(code.weights, code.software)),
            code_digest=code.whole,
            resources={},
            sent_study_uid=sent_study,
            pseudonym_key=keys.name_of(keys.secret(self._node.store.data)) if hides else None,
        )


def notes_of(plugin: SitePlugin, asked: Inputs) -> tuple[str, ...]:
    """What the report has to say of images that the plugin was not validated on."""
    return envelope.of_headers(plugin.manifest.envelope, plugin.envelope, asked.headers, asked.roles).sentences
