"""Between the protocol engine and the disk: who may associate, and where each data set goes."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace

import structlog

from node.clock import Clock, SystemClock
from node.config.models import Configuration
from node.dimse.association import AssociationRequest, AssociationUser, Rejection, StoreRequest
from node.dimse.wire import printable
from node.receive.part import Part
from node.receive.policy import Policy
from node.receive.reception import Reception, Tally
from node.spool import Arrival, Spool

_log = structlog.get_logger(__name__)


class Service:
    """The Storage SCP of one receiver process."""

    def __init__(
        self, configuration: Configuration, spool: Spool, wake_descriptor: int | None, clock: Clock | None = None
    ) -> None:
        self.spool = spool
        self.durable = configuration.node.durability == "fsync"
        self.clock = clock or SystemClock()
        self._policy = Policy.of(configuration)
        self._wake = wake_descriptor

    def accept(self, request: AssociationRequest) -> AssociationUser | Rejection:
        """Decide on a request for an association; an accepted one shows in `associations/` from here on."""
        about = {
            "calling": printable(request.calling_ae_title),
            "called": printable(request.called_ae_title),
            "peer": request.peer_address,
        }
        rejection = self._policy.refuse(request, len(self.spool.open_associations()))
        if rejection is not None:
            _log.warning("association_refused", security=True, code=rejection.code, reason=rejection.reason, **about)
            return rejection
        session = Session(self, request)
        _log.info("association_accepted", association=session.name, tls=bool(request.tls_subject), **about)
        return session

    def wake_node(self) -> None:
        """There is something to index. Only a hint: a full pipe means that the node knows, a closed one that it is
        being started again and will look by itself."""
        if self._wake is not None:
            with contextlib.suppress(OSError):
                os.write(self._wake, b"\x01")


class Session:
    """One accepted association."""

    def __init__(self, service: Service, request: AssociationRequest) -> None:
        self.name = service.spool.new_receipt()
        self._service = service
        self._tally = Tally()
        self._began = time.monotonic()
        self._blank: Part | None = None
        self._shown = contextlib.ExitStack()
        self._shown.enter_context(service.spool.association(self.name))
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

    def store(self, request: StoreRequest) -> Reception:
        """A C-STORE request has begun."""
        arrival = replace(
            self._arrival,
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            lossy_accepted=request.lossy_accepted,
            received_at=self._service.clock.now(),
        )
        blank, self._blank = self._blank, None
        service = self._service
        return Reception(service.spool, arrival, self._tally, service.durable, service.wake_node, blank)

    def answered(self) -> None:
        """Have a file ready for the next object: making one takes the disk longer than writing it, at times."""
        with contextlib.suppress(OSError):  # where there is none, the next object says why
            self._blank = Part(self._service.spool.blank(self.name))

    def ended(self, how: str) -> None:
        """The association is over; its study may be complete."""
        if self._blank is not None:
            self._blank.discard()
        self._shown.close()
        self._service.wake_node()
        _log.info(
            "association_ended",
            association=self.name,
            how=how,
            stored=self._tally.stored,
            refused=self._tally.refused,
            octets=self._tally.octets,
            seconds=round(time.monotonic() - self._began, 3),
        )
