"""The service providers of an association that a peer opened: tolerant of odd requests, with streaming C-STORE."""

from __future__ import annotations

import struct
import threading
from typing import Any, cast

from pynetdicom.pdu import A_ASSOCIATE_AC

from node.dimse import wire
from node.dimse.associate_rq import Proposal, read_proposal
from node.dimse.association import AssociationUser, DataSetSink, StoreRequest
from node.dimse.contexts import is_lossy, is_storage
from node.dimse.engine.connection import IDLE_LOOK, DeadlineSocket
from node.dimse.engine.providers import BoundedAssociation, BoundedDIMSE, BoundedDUL
from node.dimse.status import StoreStatus


class ServedAssociation(BoundedAssociation):
    """An association that a peer opened, as its DIMSE provider knows it."""

    user: AssociationUser | None
    proposal: Proposal | None
    connection: DeadlineSocket

    def wait_for_knock(self, seconds: float) -> None:
        """Sleep until something came."""
        raise NotImplementedError

    def report_what_is_due(self) -> None:
        """Send what the user has to say, between two messages."""
        raise NotImplementedError


class AcceptedDUL(BoundedDUL):
    """The upper layer service provider of an association that a peer opens: odd items of its request are tolerated."""

    association: ServedAssociation

    def __init__(self, association: ServedAssociation) -> None:
        super().__init__(association)
        self.queueing = threading.Lock()  # held while the PDUs of one message are queued

    def _is_transport_event(self) -> bool:
        """Read, but not in the midst of a message of ours: what is read may be a C-STORE request, answered at once."""
        with self.queueing:
            to_send = not self.to_provider_queue.empty()
        return not to_send and super()._is_transport_event()

    def _understood(self, kind: wire.PDUType, content: bytearray) -> bytearray:
        if kind is not wire.PDUType.ASSOCIATE_RQ:
            return super()._understood(kind, content)
        proposal = read_proposal(bytes(content[wire.HEADER_LENGTH :]))
        self.association.proposal = proposal
        return bytearray(struct.pack(">BxL", kind, len(proposal.body)) + proposal.body)

    def _send(self, pdu: Any) -> None:
        """pynetdicom's own accept knows nothing of what it did not see."""
        if isinstance(pdu, A_ASSOCIATE_AC) and self.association.proposal is not None:
            cast(DeadlineSocket, self.socket).send(self.association.proposal.answer(pdu.encode()))
        else:
            super()._send(pdu)


class StreamingDIMSE(BoundedDIMSE):
    """The DIMSE service provider of an accepted association: C-STORE by streaming, all else by pynetdicom."""

    def __init__(self, association: ServedAssociation) -> None:
        super().__init__(association)
        self._association = association
        self._sink: DataSetSink | None = None

    def get_msg(self, block: bool = False) -> Any:
        """The next message; pynetdicom's reactor asks without blocking each millisecond, so it waits here."""
        if not block:
            self._association.wait_for_knock(IDLE_LOOK)
            if self.msg_queue.empty():
                self._association.report_what_is_due()
        return super().get_msg(block)

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Queue a message whole: nothing may come between its command and its data set (PS3.7 6.3.1)."""
        with cast(AcceptedDUL, self.dul).queueing:
            super().send_msg(primitive, context_id)

    def _begin_message(self, command: wire.CommandSet, context_id: int) -> None:
        context = self._association._accepted_cx[context_id]
        if is_storage(str(context.abstract_syntax)):
            self._begin_store(command, str(context.transfer_syntax[0]))

    def _begin_store(self, command: wire.CommandSet, transfer_syntax_uid: str) -> None:
        if command.field == wire.Command.C_CANCEL_RQ:
            return  # nothing here can be cancelled; PS3.7 9.3.2.3 lets it pass
        if command.field != wire.Command.C_STORE_RQ or command.message_id is None:
            raise wire.ProtocolError(f"command 0x{command.field:04X} in a presentation context for storage")
        if self._association.user is None:
            raise wire.ProtocolError("C-STORE on an association that nobody accepted")
        request = StoreRequest(
            command.sop_class_uid, command.sop_instance_uid, transfer_syntax_uid, is_lossy(transfer_syntax_uid)
        )
        self._sink = self._association.user.store(request)

    def _receive_data(self, fragment: wire.Fragment) -> None:
        if self._sink is None:
            super()._receive_data(fragment)
            return
        self._sink.write(fragment.content)
        if fragment.is_last:
            self._end_message()

    def _end_message(self) -> None:
        """Answer the C-STORE, or hand the message to pynetdicom; then be ready for the next."""
        command, context_id, sink = self._command, self._context_id, self._sink
        if sink is None:
            super()._end_message()
            return
        assert command is not None
        assert context_id is not None
        self._forget()
        self._answer_store(command, context_id, sink)

    def _answer_store(self, command: wire.CommandSet, context_id: int, sink: DataSetSink) -> None:
        """Send the C-STORE-RSP at once: this thread is the one that sends, in Sta6, what pynetdicom queues."""
        status = sink.finish()
        comment = "" if status is StoreStatus.SUCCESS else wire.printable(sink.comment)
        response = wire.store_response(command, status, comment)
        longest = self._association.requestor.maximum_length or 0
        self._association.connection.send(wire.command_pdus(context_id, response, longest))
        if self._association.user is not None:
            self._association.user.answered()

    def _forget(self) -> None:
        super()._forget()
        self._sink = None

    def abandon(self) -> None:
        """The association has ended; what is half received goes."""
        if self._sink is not None:
            self._sink.abandon()
        self._forget()
