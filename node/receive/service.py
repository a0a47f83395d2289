"""Between the protocol engine and the disk: who may associate, and where each data set goes."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from dataclasses import replace

import structlog

from node.clock import Clock, SystemClock
from node.config.destinations import dicom_destinations
from node.config.models import Configuration
from node.dimse.association import (
    AssociationRejection,
    AssociationRequest,
    AssociationUser,
    DataSetSink,
    DueReport,
    StoreRequest,
)
from node.dimse.commitment import CommitmentRequest, CommitmentResult
from node.dimse.hosts import Hosts
from node.dimse.status import ActionStatus, StoreStatus
from node.dimse.wire import printable
from node.observe.receiver_meters import ReceiverMeters
from node.receive.commitment import Commitments, Permissions
from node.receive.policy import CONGESTED, LOCAL_LIMIT_EXCEEDED, Policy
from node.receive.pool import FilePool
from node.receive.reception import Reception, Tally
from node.receive.refused import RefusedCallers
from node.serve import self_test
from node.store.arrival import Arrival
from node.store.callers import Caller
from node.store.health import Gauge, Trouble, forget_trouble, note_trouble, refusing_associations, refusing_objects
from node.store.journal import Journal
from node.store.layout import DataFolder
from node.store.part import PartFile
from node.store.resolved import ResolvedHosts

log = structlog.get_logger(__name__)


class Service:
    """The Storage SCP of one receiver process."""

    def __init__(
        self,
        configuration: Configuration,
        data_folder: DataFolder,
        wake_descriptor: int | None,
        clock: Clock | None = None,
        meters: ReceiverMeters | None = None,
    ) -> None:
        """`meters`: what counts for /metrics, where the node has a console to read it."""
        self.data_folder = data_folder
        self.durable = configuration.node.durability == "fsync"
        self.clock = clock or SystemClock()
        self.journal = Journal(data_folder.data)
        self.permissions = Permissions.of(configuration)
        destinations = dicom_destinations(configuration.destinations).values()
        named = [*(each.host for each in destinations), *(each.host for each in configuration.boxes.values())]
        hosts = Hosts(named, ResolvedHosts(data_folder.data), self.clock)
        self._policy = Policy.of(configuration, hosts.addresses)
        self._self_test = self_test.title_in_force()
        self._refused = RefusedCallers(self.journal, data_folder, self.clock)
        self.meters = meters
        self._wake = wake_descriptor
        self._limits = configuration.node.limits
        self._gauge = Gauge(data_folder.data)
        self.pool = FilePool(data_folder, self._limits.free_space, durable=self.durable)

    def accept(self, request: AssociationRequest) -> AssociationUser | AssociationRejection:
        """Decide on a request for an association; an accepted one shows in `associations/` from here on."""
        about = {
            "calling": printable(request.calling_ae_title),
            "called": printable(request.called_ae_title),
            "peer": request.peer_address,
        }
        if request.tls_fingerprint:
            about |= {"tls_subject": request.tls_subject, "tls_fingerprint": request.tls_fingerprint}
        answer = self._decide(request)
        if self.is_self_test(request.calling_ae_title):
            return answer  # some thousands a day, of which nothing is to be learnt
        if isinstance(answer, AssociationRejection):
            permanent = answer.code[0] == 1  # somebody who is not known here, not one who comes at a bad moment
            log.warning(
                "receive.association-refused", security=permanent, code=answer.code, reason=answer.reason, **about
            )
            if permanent:
                self._refused.count(about["calling"], about["called"], request.peer_address, answer.reason)
            if self.meters is not None:
                self.meters.refused(request.calling_ae_title, answer.code)
        else:
            if self.meters is not None:
                self.meters.accepted(request.calling_ae_title)
            log.info("receive.association-accepted", association=answer.name, tls=bool(request.tls_subject), **about)
        return answer

    def is_self_test(self, calling_ae_title: str) -> bool:
        """Whether it is the supervisor who calls, under the title that it has made for this run of the node."""
        return bool(self._self_test) and calling_ae_title == self._self_test

    def handshake_failed(self, peer_address: str, why: str) -> None:
        """Who was refused before it could say who it is."""
        self._refused.count("", "", peer_address, why)
        if self.meters is not None:
            self.meters.handshake_failed()

    def turned(self) -> None:
        """Connections are accepted."""
        if self.meters is not None:
            self.meters.turned()

    def _decide(self, request: AssociationRequest) -> Session | AssociationRejection:
        try:
            callers = self.data_folder.callers()
            of_caller = callers[request.calling_ae_title, request.peer_address]
            rejection = self._policy.refuse(request, callers.total(), of_caller)
            if rejection is not None and rejection.code[0] == 1 and self.is_self_test(request.calling_ae_title):
                rejection = None
            if rejection is not None and not self._has_made_room(request, rejection, callers):
                return rejection
            too_much = refusing_associations(self._gauge.read(), self._limits)
            return AssociationRejection(LOCAL_LIMIT_EXCEEDED, too_much) if too_much else Session(self, request)
        except OSError as error:
            self.cannot_write(error.strerror or str(error))
            return AssociationRejection(CONGESTED, f"the data folder cannot be used: {error}")

    def _has_made_room(
        self, request: AssociationRequest, rejection: AssociationRejection, callers: Counter[Caller]
    ) -> bool:
        """Whether an idle association gives way: of this caller, where it has its share, else of whom has most."""
        if rejection.code != LOCAL_LIMIT_EXCEEDED:
            return False
        caller: Caller = (request.calling_ae_title, request.peer_address)
        if callers[caller] < self._policy.share:
            most = max(callers, key=lambda each: callers[each])
            caller = most if callers[most] > callers[caller] else caller
        return request.give_way(*caller)

    def refuses_objects(self) -> str | None:
        """Why an object on an open association cannot be taken now; None where it can."""
        try:
            return refusing_objects(self._gauge.read(), self._limits)
        except OSError as error:
            return f"the data folder cannot be used: {error.strerror}"

    def speaks_for_destination(self, request: AssociationRequest) -> bool:
        """Whether a caller with the AE title of a destination is that destination."""
        return self._policy.speaks_for_destination(request)

    def stored(self) -> None:
        """An object was kept and answered for."""
        forget_trouble(self.data_folder.data)
        self.wake_node()

    def cannot_write(self, reason: str) -> None:
        """What was received could not be written: `status` is red until something can be again (case 53)."""
        note_trouble(self.data_folder.data, Trouble(self.clock.now(), reason))

    def wake_node(self) -> None:
        """There is something to index. Only a hint: a full pipe means that the node knows, a closed one that it is
        being started again and will look by itself."""
        if self._wake is not None:
            with contextlib.suppress(OSError):
                os.write(self._wake, b"\x01")


class Refusal:
    """An object that is not taken: read past, and answered with A700."""

    def __init__(self, reason: str, tally: Tally) -> None:
        self.comment = reason
        self._tally = tally

    def write(self, fragment: memoryview) -> None:
        """Nothing is kept."""

    def finish(self) -> StoreStatus:
        """Out of resources: sending again later may succeed (PS3.4 Table B.2-1)."""
        self._tally.refused += 1
        return StoreStatus.OUT_OF_RESOURCES

    def abandon(self) -> None:
        """Nothing is there."""


class Session:
    """One accepted association."""

    def __init__(self, service: Service, request: AssociationRequest) -> None:
        self.name = service.data_folder.new_receipt()
        self._service = service
        self._tally = Tally()
        self._began = time.monotonic()
        self._blank: PartFile | None = None
        self._last: Reception | None = None
        self._uncounted: Reception | None = None
        self._store_began = 0.0
        self._commitments = Commitments(service, self.name, request)
        self.commitment = self._commitments.roles
        self._shown = contextlib.ExitStack()
        self._shown.enter_context(
            service.data_folder.association(self.name, (request.calling_ae_title, request.peer_address))
        )
        self._arrival = Arrival(
            sop_class_uid="",
            sop_instance_uid="",
            transfer_syntax_uid="",
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            peer_address=request.peer_address,
            association=self.name,
            received_at=service.clock.now(),
            tls_subject=request.tls_subject,
        )

    def store(self, request: StoreRequest) -> DataSetSink:
        """A C-STORE request has begun."""
        service, self._store_began = self._service, time.monotonic()
        refused = service.refuses_objects()
        if refused:
            log.error("receive.object-refused", association=self.name, status="A700", reason=refused)
            if service.meters is not None:
                service.meters.not_kept(self._arrival.calling_ae_title, StoreStatus.OUT_OF_RESOURCES)
            return Refusal(refused, self._tally)
        arrival = replace(
            self._arrival,
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            lossy_accepted=request.lossy_accepted,
            received_at=service.clock.now(),
        )
        self._last = self._uncounted = Reception(
            service.data_folder,
            arrival,
            self._tally,
            service.durable,
            service.stored,
            cannot_write=service.cannot_write,
            blank=self._file_for_it(),
        )
        return self._last

    def _file_for_it(self) -> PartFile | None:
        """A prepared file, the best there is."""
        ready = self._service.pool.take(self._last.length if self._last is not None else None)
        if ready is not None:
            return ready
        blank, self._blank = self._blank, None
        return blank

    def answered(self) -> None:
        """Have a file ready for the next object: making one takes the disk longer than writing it, at times."""
        self._count()
        self._settle()
        pool, length = self._service.pool, self._last.length if self._last is not None else None
        if length is not None:
            pool.brought(length)
        if self._blank is not None or pool.has_one(length):
            return
        with contextlib.suppress(OSError):  # where there is none, the next object says why
            self._blank = PartFile(self._service.data_folder.blank(self.name))

    def _count(self) -> None:
        """The response is out: nobody waits for a count."""
        done, self._uncounted, meters = self._uncounted, None, self._service.meters
        if done is None or meters is None:
            return
        if done.status is StoreStatus.SUCCESS:
            seconds = time.monotonic() - self._store_began
            meters.kept(self._arrival.calling_ae_title, done.length or 0, seconds)
        else:
            meters.not_kept(self._arrival.calling_ae_title, done.status)

    def _settle(self) -> None:
        if self._last is not None:
            self._last.settle()

    def commit(self, request: CommitmentRequest) -> ActionStatus:
        """An N-ACTION asks for storage commitment."""
        return self._commitments.commit(request)

    def committed(self, result: CommitmentResult) -> ActionStatus:
        """An N-EVENT-REPORT tells what came of a request of ours."""
        return self._commitments.committed(result)

    def due_report(self) -> DueReport | None:
        """What is to be reported on this association now."""
        return self._commitments.due_report()

    def ended(self, how: str) -> None:
        """The association is over; its study may be complete."""
        self._settle()
        if self._blank is not None:
            self._blank.discard()
        self._shown.close()
        if self._service.is_self_test(self._arrival.calling_ae_title):
            return
        self._service.wake_node()
        log.info(
            "receive.association-ended",
            association=self.name,
            how=how,
            stored=self._tally.stored,
            refused=self._tally.refused,
            octets=self._tally.octets,
            seconds=round(time.monotonic() - self._began, 3),
        )
