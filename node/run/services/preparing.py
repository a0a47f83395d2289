"""The images of an attempt, made ready for its web service: files as a program would find them, and one body."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from node.ledger import attempts, services
from node.ledger.attempts import Attempt
from node.ledger.job import Job
from node.ledger.services import ServiceAttempt
from node.processes.pool import ChildPool
from node.run.answer import AnswerToCheck
from node.run.catalogue import SitePlugin
from node.run.elsewhere.inputs import InputsElsewhere, notes_of
from node.run.nifti import handing_over
from node.run.nifti.reading import NiftiAnswer
from node.run.services import submission
from node.run.services.submission import SubmissionBody
from node.run.settle import Settler
from node.stage import Node
from node.store import keys
from plugins import exchange
from plugins.exchange import Request
from plugins.manifest import Output
from plugins.services import ServiceUse

_FOLDER = "services"
"""In the data folder."""


@dataclass(frozen=True, slots=True)
class PreparedAttempt:
    """Of one attempt: how its answer is judged, and what is submitted."""

    order: AnswerToCheck
    body: SubmissionBody


class ServiceInputs(InputsElsewhere):
    """For the stage of one service."""

    def __init__(self, node: Node, settler: Settler, reader: ChildPool, service: str) -> None:
        super().__init__(node, settler, reader, node.store.data / _FOLDER / service)
        self._service = service

    def made(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> PreparedAttempt | None:
        """What is submitted; None where the job is settled, since its images are not usable,
        or are not for it.

        NotApplicableError where they are not what the plugin is for; OSError.
        """
        return self.settled_unless(job, plugin, partial(self._made, attempt, job, plugin))

    def record(self, attempt: Attempt, job: Job, plugin: SitePlugin, made: PreparedAttempt) -> ServiceAttempt:
        """Put down under which key it is submitted, before anything leaves."""
        start = self.start_of(attempt, job, plugin, made.order.request.study.study_instance_uid)
        with self._node.ledger.transaction() as database:
            attempts.identified(database, self._node.clock.now(), attempt, start)
            services.laid_out(database, attempt.id, self._service, self._key(job))
        known = services.get(self._node.ledger.database, attempt.id)
        assert known is not None, attempt.id
        return known

    def keep_order_only(self, job: Job) -> None:
        """The service has them: while it works they need no room here."""
        self.remove(job)
        self.folder(job).mkdir(parents=True, mode=0o700)

    def _key(self, job: Job) -> str:
        return services.key_of(job.id, keys.secret(self._node.store.data))

    def _made(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> PreparedAttempt | None:
        asked, names = self.asked(attempt, job, plugin)
        is_new = services.get(self._node.ledger.database, attempt.id) is None
        if is_new and self._settler.outside(job, plugin, asked) is None:
            return None
        given = self.lay_out(job, asked, names)
        folder, mapping, results = self.folder(job), plugin.manifest.nifti, self._node.store.results / job.id
        key = self._key(job)
        request = _without_places(given.request, key)
        exchange.write_request(folder, request)
        order = AnswerToCheck(folder, request, asked.request, given.translation, plugin.manifest, results)
        order = replace(order, notes=notes_of(plugin, asked))
        if mapping is not None:
            images = handing_over.lay_out(self._reader, mapping, request, folder, lambda: False)
            wants_masks = Output.SEGMENTATION in plugin.manifest.outputs
            order = replace(order, nifti=NiftiAnswer(folder, mapping, images.of(mapping), wants_masks))
        return PreparedAttempt(order, submission.made(folder, use_of(plugin).send, key))


def _without_places(request: Request, key: str) -> Request:
    """What is of no concern to another machine: where the plugin's folder is, and what the job is called here."""
    return replace(request, job=key, plugin=replace(request.plugin, folder="", entry=""))


def use_of(plugin: SitePlugin) -> ServiceUse:
    """How a plugin of kind http uses its service."""
    use = plugin.manifest.runtime.service
    assert use is not None, "kind http names one"
    return use
