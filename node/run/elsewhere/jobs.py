"""Jobs of plugins that are boxes or web services: claimed as all others, handed over to the stage of that system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from node.config.models import Configuration
from node.ledger import attempts, box_doubts, boxes, earlier_results, jobs, restorations, services
from node.ledger.attempts import Attempt, AttemptElsewhere
from node.ledger.job import Job
from node.run.catalogue import SiteBox, SitePlugin
from node.stage import Node
from node.wake import Stage

log = structlog.get_logger(__name__)

Begin = Callable[[Job, Mapping[str, Any], str | None, str | None, AttemptElsewhere | None], tuple[Job, Attempt] | None]
"""Claims a job: its algorithm, kind, identity and place; None where it was cancelled meanwhile."""
Handle = Callable[[Job, Callable[[], bool], bool], bool]
"""Does something for a job; an unexpected exception costs this job alone."""


@dataclass(frozen=True, slots=True)
class JobsElsewhere:
    """For the run stage."""

    node: Node
    begin: Begin

    def hand_over(self, ready: dict[str, tuple[Job, SitePlugin]], handle: Handle) -> dict[str, str]:
        """Begin the attempts elsewhere, which need no room of this machine, and take these jobs out of `ready`.

        Returns why the next job of a plugin waits.
        """
        waits: dict[str, str] = {}
        those = [(job, plugin) for job, plugin in ready.values() if plugin.elsewhere]
        under_way = self._under_way() if those else Counter[str]()
        for job, plugin in those:
            del ready[job.id]
            where, place = plugin.elsewhere, _place_of(plugin)
            most_there = plugin.service.settings.at_once if plugin.service else None
            if under_way[job.plugin] >= plugin.at_once:
                waits.setdefault(job.plugin, _waits(plugin.at_once, where))
            elif most_there is not None and under_way[place] >= most_there:
                waits.setdefault(job.plugin, _waits(most_there, where))
            elif plugin.box and handle(job, partial(self._is_in_doubt, job, plugin.box), True):
                waits.setdefault(job.plugin, "waits for a person: pacsnode restored")
            elif handle(job, partial(self._begin, job, plugin), False):
                under_way.update((job.plugin, place))
        return waits

    def left_alone(self, configuration: Configuration) -> Iterator[tuple[Job, str]]:
        """Jobs at systems that the configuration does not have any more: nobody looks after them."""
        database = self.node.ledger.database
        for row in attempts.open_elsewhere(database):
            box, service = boxes.box_at(row.place), services.service_at(row.place)
            if box is not None and box not in configuration.boxes:
                yield jobs.get(database, row.job), f"there is no box {box} in the configuration any more"
            if service is not None and service not in configuration.services:
                yield jobs.get(database, row.job), f"there is no service {service} in the configuration any more"

    def _under_way(self) -> Counter[str]:
        """Open attempts by plugin, and by place."""
        database = self.node.ledger.database
        found = Counter[str]()
        for row in attempts.open_elsewhere(database):
            found.update((jobs.get(database, row.job).plugin, row.place))
        return found

    def _is_in_doubt(self, job: Job, box: SiteBox) -> bool:
        """Whether the box may have its images from before a restore, and nobody has said yet whether it does."""
        database = self.node.ledger.database
        known = box_doubts.get(database, job.id)
        if known is not None:
            return known.answer is None
        if not self._may_have(job, box):
            return False
        with self.node.ledger.transaction() as writing:
            box_doubts.ask(writing, self.node.clock.now(), job.id, box.name, job.study_instance_uid)
        return True

    def _may_have(self, job: Job, box: SiteBox) -> bool:
        """Whatever waited at the backup; at a box that charges, each study that is not of a later day."""
        database = self.node.ledger.database
        restored = restorations.last(database)
        if restored is None:
            return False
        if job.created_at <= restored.at:
            return True
        return box.settings.charged and earlier_results.may_have(database, job.study_instance_uid)

    def _begin(self, job: Job, plugin: SitePlugin) -> bool:
        """Claim a job for its system, whose stage does the rest; whether it still waited."""
        runtime = plugin.manifest.runtime
        deadline = self.node.clock.now() + timedelta(seconds=plugin.limits.deadline_seconds)
        place = AttemptElsewhere(_place_of(plugin), deadline)
        algorithm = asdict(plugin.manifest.identity)
        begun = self.begin(job, algorithm, runtime.kind, job.identity or runtime.identity, place)
        if begun:
            log.info("run.handed-over", job=job.id, plugin=plugin.name, to=plugin.elsewhere)
            self.node.wakes.wake(Stage.BOX if plugin.box else Stage.SERVICE)
        return begun is not None


def _waits(most: int, where: str) -> str:
    return f"waits for its turn: at most {most} at once at {where}"


def _place_of(plugin: SitePlugin) -> str:
    if plugin.service is not None:
        return services.place_of(plugin.service.name)
    return boxes.place_of(plugin.elsewhere)
