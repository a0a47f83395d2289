"""The stage of one web service: submits what jobs give it, asks what it found, ends attempts.

    starting ──laid out, submitted──► running ──asked──► answered
        └──────────────┴── deadline, refused, unusable ──► failed

How attempts are looked at, `node.run.elsewhere.stage` says. A submission has the same key in every try, after every
restart and in every attempt of its job: a service that has it already begins nothing again. An answer is fetched by GET
and is at the service until the result is in the ledger, so none is lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

import structlog

from node.config.models import Configuration
from node.errors import TransientError
from node.ledger import alerts, attempts, contacts, events, services
from node.ledger.alert_kinds import AlertKind
from node.ledger.attempts import Attempt, AttemptCourse, AttemptFailureKind
from node.ledger.contacts import ContactKind
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job
from node.ledger.services import ServiceAttempt
from node.run import answer
from node.run.catalogue import Catalogue, SitePlugin
from node.run.elsewhere.stage import StageElsewhere, pause_after
from node.run.retry import AttemptFailure
from node.run.services import unpacking
from node.run.services.asking import MOST, ReplyKind, ServiceCaller, ServiceReply
from node.run.services.preparing import PreparedAttempt, ServiceInputs
from node.run.services.unpacking import ANSWER
from node.stage import Node
from node.wake import Stage
from plugins.images import NotApplicableError
from plugins.result import SUMMARY_LIMIT, Result
from plugins.status import ResultStatus
from plugins.untrusted import ExchangeError

log = structlog.get_logger(__name__)


class ServiceStage(StageElsewhere):
    """The stage for one service; one thread calls `run_once`."""

    def __init__(
        self, name: str, node: Node, configuration: Configuration, plugins_of: Callable[[Configuration], Catalogue]
    ) -> None:
        """`name` of the service, as the configuration calls it."""
        super().__init__(name, node, Stage.SERVICE, services.place_of(name), plugins_of)
        self._preparing = ServiceInputs(node, self._settler, self._reader, name)
        self._prepared: dict[str, PreparedAttempt] = {}
        """By attempt; what is not there is made again."""
        self.use(configuration)

    def use(self, configuration: Configuration) -> None:
        """Ask the service as it says, from the next request on."""
        super().use(configuration)
        self._settings = configuration.services[self._name]
        self._keep_free = configuration.node.limits.free_space
        self._caller = ServiceCaller(self._name, self._settings, self._keep_free)

    def close(self) -> None:
        """Break off what is under way, which the next start takes up."""
        self._caller.end()
        super().close()

    def _take_in(self) -> None:
        self._preparing.begin()
        still_open = {each.id for each in attempts.open_at(self._node.ledger.database, self._place)}
        for gone in self._prepared.keys() - still_open:  # cancelled
            shutil.rmtree(self._prepared.pop(gone).order.folder, ignore_errors=True)

    def _look_at(self, attempt: Attempt, job: Job, plugin: SitePlugin) -> None:
        known = services.get(self._node.ledger.database, attempt.id)
        if self._is_over(attempt):
            self._end_silent(attempt, job, plugin, known)
            return
        try:
            prepared = self._prepared.get(attempt.id) or self._preparing.made(attempt, job, plugin)
            if prepared is None:
                return
            self._prepared[attempt.id] = prepared
            known = known or self._preparing.record(attempt, job, plugin, prepared)
            self._ask(attempt, job, plugin, known, prepared)
        except NotApplicableError as error:
            self._not_applicable(job, plugin, str(error))
        except OSError as error:
            self._preparing.remove(job)
            self._prepared.pop(attempt.id, None)
            self._settler.failed(job, AttemptFailure(AttemptFailureKind.NODE, str(error)), plugin)

    def _ask(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, known: ServiceAttempt, prepared: PreparedAttempt
    ) -> None:
        """Submit it, or ask what was found, and do what follows from the reply."""
        target, now = prepared.order.folder / ANSWER, self._node.clock.now()
        if known.location is None:
            reply = self._caller.submit(prepared.body, known.key, target, now)
        else:
            reply = self._caller.ask(known.location, known.key, target, now)
        if not self._is_wanted(job):
            return
        match reply.kind:
            case ReplyKind.TAKEN:
                self._taken(attempt, job, known, reply)
            case ReplyKind.ANSWERED:
                self._sent(attempt, job, known, known.location)
                self._take(attempt, job, plugin, prepared, reply)
            case ReplyKind.UNKNOWN:
                self._forgotten(attempt, job, reply)
            case ReplyKind.LATER:
                with self._node.ledger.transaction() as database:
                    services.broke_off(database, attempt.id, reply.why)
                self._look_again(attempt, reply.after or pause_after(known.tries + 1))
            case ReplyKind.REFUSED:
                self._end_failed(attempt, job, plugin, AttemptFailureKind.REFUSED, reply.why)
            case ReplyKind.BROKEN:
                self._end_failed(attempt, job, plugin, AttemptFailureKind.CONTRACT, reply.why)

    def _taken(self, attempt: Attempt, job: Job, known: ServiceAttempt, reply: ServiceReply) -> None:
        if known.location is None:
            self._sent(attempt, job, known, reply.location)
            self._preparing.keep_order_only(job)
        elif known.tries:
            with self._node.ledger.transaction() as database:
                services.answered(database, attempt.id)
        self._look_again(attempt, reply.after or self._settings.poll)

    def _sent(self, attempt: Attempt, job: Job, known: ServiceAttempt, location: str | None) -> None:
        """The service has it; said once."""
        if known.sent_at is not None and known.location == location:
            return
        with self._node.ledger.transaction() as database:
            now, study = self._node.clock.now(), job.study_instance_uid
            services.accepted(database, now, attempt.id, location)
            attempts.running(database, now, attempt, study, self._name)
            if known.sent_at is None:
                events.record(database, now, EventKind.SERVICE_SENT, study=study, job=job.id, service=self._name)

    def _forgotten(self, attempt: Attempt, job: Job, reply: ServiceReply) -> None:
        """It was restarted, perhaps: it gets the images again, under the same key."""
        with self._node.ledger.transaction() as database:
            services.forgotten(database, attempt.id, reply.why)
            now, study = self._node.clock.now(), job.study_instance_uid
            events.record(database, now, EventKind.SERVICE_FORGOT, study=study, job=job.id, service=self._name)
            known = services.get(database, attempt.id)
        assert known is not None, attempt.id
        self._forget(attempt, job)  # it is laid out again
        self._look_again(attempt, reply.after or pause_after(known.tries))

    # --- ends -------------------------------------------------------------------------------------

    def _take(
        self, attempt: Attempt, job: Job, plugin: SitePlugin, prepared: PreparedAttempt, reply: ServiceReply
    ) -> None:
        """Make a result of what came, and have it judged as that of any plugin."""
        course = AttemptCourse(None, (self._node.clock.now() - attempt.started_at).total_seconds())
        settled = self._preparing.settled_unless(job, plugin, partial(self._preparing.asked, attempt, job, plugin))
        if settled is None:  # its images are not what they were when they were submitted
            self._prepared.pop(attempt.id, None)
            return
        free = shutil.disk_usage(prepared.order.folder).free - self._keep_free
        try:
            order = unpacking.unpacked(self._reader, prepared.order, reply.content_type, min(MOST, max(free, 0)))
            self._settler.answered(job, answer.accept(self._reader, order, lambda: False), course)
        except ExchangeError as error:
            self._settler.failed(job, AttemptFailure(AttemptFailureKind.CONTRACT, str(error)), plugin, course)
        self._forget(attempt, job)

    def _not_applicable(self, job: Job, plugin: SitePlugin, reason: str) -> None:
        """Clear before anything left: the images are not what the plugin is for."""
        result = Result(ResultStatus.NOT_APPLICABLE, reason[:SUMMARY_LIMIT])
        self._settler.said(job, result, plugin, AttemptCourse())
        self._preparing.remove(job)

    def _end_failed(self, attempt: Attempt, job: Job, plugin: SitePlugin, kind: AttemptFailureKind, why: str) -> None:
        self._settler.failed(job, AttemptFailure(kind, why), plugin)
        self._forget(attempt, job)

    def _end_silent(self, attempt: Attempt, job: Job, plugin: SitePlugin, known: ServiceAttempt | None) -> None:
        """Its time is over: readers get to know that nothing came, and the admin why."""
        assert attempt.deadline_at is not None, attempt.id
        by = f"{attempt.deadline_at.astimezone(self._zone):%Y-%m-%d %H:%M}"
        with self._node.ledger.transaction() as database:
            now, study = self._node.clock.now(), job.study_instance_uid
            alerts.raised(database, now, AlertKind.SERVICE_SILENT, self._name, study=study, job=job.id, deadline=by)
        why = f": {known.error}" if known is not None and known.error else ""
        if known is not None and known.sent_at is not None:
            said, detail = f"No answer came from {self._name} by {by}.", f"nothing came from {self._name} by {by}{why}"
        else:
            said = f"The images could not be sent to {self._name} by {by}."
            detail = f"{self._name} did not take the images by {by}{why}"
        self._settler.unanswered(job, said, detail, plugin)
        self._forget(attempt, job)

    def _forget(self, attempt: Attempt, job: Job) -> None:
        self._prepared.pop(attempt.id, None)
        self._preparing.remove(job)

    # --- whether it is there ----------------------------------------------------------------------

    def _ask_whether_there(self) -> None:
        """By HEAD."""
        error = None
        try:
            self._caller.is_there()
        except TransientError as problem:
            error = str(problem)
        with self._node.ledger.transaction() as database:
            contacts.asked(database, self._node.clock.now(), ContactKind.SERVICE, self._name, error)
