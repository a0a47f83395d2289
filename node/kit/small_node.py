"""A node of its own in a temporary folder: the stages index, run and results as they are, and nothing that sends.

What a plugin does here is what it does at a site: the same copies under pseudonyms, confinement, limits, reading of the
result, gate and encoding. So there is one way of running a plugin, and the kit says what a site would say.

    with small_node(kit_configuration()) as node:
        images = node.receive([Path("chest")])
        job = node.run(PluginTask(plugin, images))
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from node.clock import SystemClock
from node.config.models import Configuration
from node.errors import TransientError, UsageError
from node.index.children import HeaderReader
from node.index.header import as_if_arrived
from node.index.stage import IndexStage
from node.ledger import attempts, decisions, instances, jobs, studies, study_ends
from node.ledger.database import FILE, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.instances import Instance
from node.ledger.job import Job, JobInput, JobStatus, NewJob, digest_of
from node.ledger.studies import Study, StudyStatus
from node.results.stage import ResultsStage
from node.run.catalogue import Catalogue, SitePlugin, SiteService
from node.run.services.stage import ServiceStage
from node.run.stage import RunStage
from node.run.workers import WarmWorkers
from node.stage import Node, NodeStage
from node.store.arrival import file_header
from node.store.layout import DataFolder
from node.wake import Stage, Wakes

BY = "the kit"
"""Who decides here what a person or a rule decides at a site."""
_RULE_SET = "kit"
_LOOK_SECONDS = 0.2
"""The longest between two looks at a job that a stage works on."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images of one study that were received, series by series."""

    study: str
    inputs: tuple[JobInput, ...]
    problems: tuple[str, ...] = ()
    """What the node says of the images: marks, and why it would hold the study."""

    def under(self, role: str) -> tuple[JobInput, ...]:
        """The same series, handed over under a role."""
        return tuple(replace(each, role=role) for each in self.inputs)


@dataclass(frozen=True, slots=True)
class PluginTask:
    """One run of a plugin: on which images, with which parameters."""

    plugin: SitePlugin
    images: ImageSet
    roles: Mapping[str, ImageSet] = field(default_factory=dict)
    """Role → the images that are handed over under it, of the same study or of another."""
    parameters: Mapping[str, object] = field(default_factory=dict)


def kit_configuration() -> Configuration:
    """What a run uses where no site is named: one destination with the default profile."""
    destination = {"ae_title": "NOBODY", "host": "127.0.0.1", "port": 104}
    return Configuration.model_validate(
        {"node": {"time_zone": "UTC", "limits": {"free_space": 0}}, "destinations": {"default": destination}}
    )


@contextmanager
def small_node(
    configuration: Configuration, stop: threading.Event | None = None, within: Path | None = None
) -> Iterator[SmallNode]:
    """A node that works by this configuration, on a data folder that is gone afterwards.

    Once `stop` is set, what it does ends with TransientError. `within`: the folder for the data folder, by default that
    of the system for temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="pacsnode-", dir=within) as folder:
        data = Path(folder).resolve() / "data"
        settings = configuration.node.model_copy(update={"data": data})
        made = SmallNode(configuration.model_copy(update={"node": settings}), stop or threading.Event())
        try:
            yield made
        finally:
            made.close()


class SmallNode:
    """The stages over one data folder; for one thread."""

    def __init__(self, configuration: Configuration, stop: threading.Event) -> None:
        self.configuration = configuration
        self._stop = stop
        store = DataFolder(configuration.node.data)
        self.node = Node(Ledger(store.data / FILE), store, SystemClock(), Wakes())
        self._workers = WarmWorkers(store.work)
        self._stages: dict[Stage, NodeStage] = {}
        self._plugins: dict[str, SitePlugin] = {}
        self.known_images: dict[str, tuple[ImageSet, dict[str, ImageSet]]] = {}
        """What was received for whom, by a name of the caller's."""
        self._received: set[str] = set()
        """Receipts of the image sets that were made."""
        self._runs = 0

    def close(self) -> None:
        """End the processes of the stages."""
        for stage in self._stages.values():
            stage.close()
        self._workers.close("what it was tried for is over")
        self.node.ledger.close()

    # --- images -----------------------------------------------------------------------------------

    def receive(self, files: Sequence[Path]) -> ImageSet:
        """Images that arrive and are complete; UsageError where they are not of exactly one study.

        Files that are not DICOM are passed over, and so are objects that are not images.
        """
        for file in files:
            self._arrive(file)
        index = self._stage(Stage.INDEX, lambda: IndexStage(self.node, self.configuration, HeaderReader()))
        index.run_once()
        database = self.node.ledger.database
        arrived = [each.study_instance_uid for each in studies.receiving(database)]
        new = [each for study in arrived for each in instances.of_study(database, study) if self._is_new_image(each)]
        found = sorted({str(each.study_instance_uid) for each in new})
        if len(found) != 1:
            several = f"the files are of {len(found)} studies; a plugin gets one, and others by their role"
            raise UsageError(several if found else "no DICOM image was found that is not given already")
        self._complete(found[0], index)
        self._received |= {each.receipt for each in new}
        return self._image_set(found[0], new)

    def _is_new_image(self, instance: Instance) -> bool:
        return instance.frames > 0 and instance.receipt not in self._received

    def _arrive(self, file: Path) -> None:
        """As the receiver leaves an object that a modality sends."""
        try:
            arrival, offset = as_if_arrived(file, self.node.clock.now())
        except ValueError:
            return
        store = self.node.store
        receipt = store.new_receipt()
        with file.open("rb") as source:
            source.seek(offset)
            store.arrived(receipt).write_bytes(file_header(arrival) + source.read())

    def _complete(self, study: str, index: NodeStage) -> None:
        with self.node.ledger.transaction() as database:
            row = studies.get(database, study)
            if row is not None and row.status is not StudyStatus.COMPLETE:
                study_ends.ask(database, self.node.clock.now(), row, BY)
        index.run_once()

    def _image_set(self, study: str, images: Sequence[Instance]) -> ImageSet:
        series: dict[str, list[str]] = {}
        for each in sorted(images, key=lambda image: image.receipt):
            series.setdefault(each.series_instance_uid or "", []).append(each.receipt)
        problems = dict.fromkeys(f"{mark}: {why}" for each in images for mark, why in each.marks.items())
        with self.node.ledger.transaction() as database:
            row = studies.get(database, study)
            if row is not None and row.hold is not None:
                problems[f"a site would hold this study: {row.hold}"] = None
                studies.unhold(database, self.node.clock.now(), study, BY)
        inputs = tuple(JobInput("", uid, tuple(receipts)) for uid, receipts in series.items())
        return ImageSet(study, inputs, tuple(problems))

    # --- running ----------------------------------------------------------------------------------

    def run(self, task: PluginTask) -> Job:
        """One attempt, and the job as it is then; ParameterError, UsageError."""
        self._plugins[task.plugin.name] = replace(task.plugin, attempts=1)
        job = self._enqueue(task)
        stage = self._stage(Stage.RUN, self._run_stage)
        if task.plugin.service is not None:
            service = task.plugin.service
            stage.run_once()
            stage = self._stage(Stage.SERVICE, lambda: self._service_stage(service))
        self._drive(stage, Stage.RUN, lambda: self._is_run(job.id))
        return self.job(job.id)

    def _service_stage(self, service: SiteService) -> NodeStage:
        configuration = self.configuration.model_copy(update={"services": {service.name: service.settings}})
        return ServiceStage(service.name, self.node, configuration, lambda _: Catalogue(self._plugins))

    def _run_stage(self) -> NodeStage:
        return RunStage(self.node, self.configuration, lambda _: Catalogue(self._plugins), self._workers)

    def encode(self, job: Job) -> Job:
        """Make the objects of a job that was run; the job as it is then."""
        stage = self._stage(Stage.RESULTS, lambda: ResultsStage(self.node, self.configuration))
        self._drive(stage, Stage.DELIVER, lambda: self.job(job.id).status is not JobStatus.ENDED)
        return self.job(job.id)

    def job(self, job: str) -> Job:
        """The job as it stands."""
        return jobs.get(self.node.ledger.database, job)

    def _is_run(self, job: str) -> bool:
        """Whether its attempt is over: it ended, or would be tried again."""
        found = attempts.of_job(self.node.ledger.database, job)
        return bool(found) and found[-1].ended_at is not None and self._is_tidy(job)

    def _is_tidy(self, job: str) -> bool:
        return not (self.node.store.work / job).exists()

    def _enqueue(self, task: PluginTask) -> Job:
        """As if a rule of this run alone had asked for it: nothing is left out because it was run before."""
        self._runs += 1
        rule, at = f"kit-{self._runs}", self.node.clock.now()
        study = studies.get(self.node.ledger.database, task.images.study)
        assert study is not None, task.images.study
        new = self._new_job(task, study, rule, at)
        with self.node.ledger.transaction() as database:
            decisions.keep_rule_set(database, at, _RULE_SET, "[]")
            decision = decisions.record(
                database,
                at,
                study=study.study_instance_uid,
                revision=study.revision,
                rule=rule,
                rule_set=_RULE_SET,
                outcome=DecisionOutcome.MATCHED,
                trace={},
            )
            job = jobs.enqueue(database, at, decision, new)
        assert job is not None, "no other job has this rule"
        return job

    def _new_job(self, task: PluginTask, study: Study, rule: str, at: datetime) -> NewJob:
        inputs = (*task.images.inputs, *(each for role, images in task.roles.items() for each in images.under(role)))
        parameters = task.plugin.parameters_for(task.parameters)
        images = [(each.role, receipt, "") for each in inputs for receipt in each.receipts]
        return NewJob(
            study_instance_uid=study.study_instance_uid,
            revision=study.revision,
            rule=rule,
            step=task.plugin.name,
            subject="study",
            plugin=task.plugin.name,
            parameters=parameters,
            inputs=inputs,
            inputs_digest=digest_of(task.plugin.name, parameters, images),
            destinations=tuple(self.configuration.destinations),
            mode="shadow",
            priority=0,
            on_correction="hold",
            images_complete_at=at,
            asked=task.plugin.manifest.identity.intended_use,
        )

    def _cancel_all(self) -> None:
        """So that closing the stages does not wait for plugins."""
        with self.node.ledger.transaction() as database:
            for attempt in attempts.all_open(database):
                jobs.cancel(database, self.node.clock.now(), attempt.job, "it was stopped", BY)
        if Stage.RUN in self._stages:
            self._stages[Stage.RUN].run_once()

    def _stage(self, where: Stage, make: Callable[[], NodeStage]) -> NodeStage:
        """Made when it is needed: each has processes of its own."""
        if where not in self._stages:
            self._stages[where] = make()
        return self._stages[where]

    def _drive(self, stage: NodeStage, bell: Stage, over: Callable[[], bool]) -> None:
        """Call the stage until that is so."""
        woken = self.node.wakes.subscribe(bell)
        try:
            while not over():
                if self._stop.is_set():
                    self._cancel_all()
                    raise TransientError("it was stopped")
                stage.run_once()
                woken.wait(_LOOK_SECONDS)
                woken.clear()
        finally:
            self.node.wakes.unsubscribe(bell, woken)
