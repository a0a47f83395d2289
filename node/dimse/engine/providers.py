"""The upper layer and DIMSE service providers: bounded, whoever opened the association."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import Any, cast

import structlog
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from node.dimse import wire
from node.dimse.commitment import MAXIMUM_LENGTH as LONGEST_COMMITMENT
from node.dimse.commitment import PUSH_MODEL
from node.dimse.engine.connection import LONGEST, DeadlineSocket, RingingQueue
from node.dimse.engine.states import LenientStateMachine
from node.dimse.engine.timer import SteadyTimer

log = structlog.get_logger(__name__)
_config.LOG_HANDLER_LEVEL = "none"  # its handlers write each message into the log: slow, and patients' data
MAXIMUM_LENGTH = LONGEST
"""Bytes of a P-DATA-TF PDU that this node announces (PS3.8 D.1)."""
_MAXIMUM_OTHER_DATA_SET = 2 << 20
"""Bytes of the data set of a message that is neither a C-STORE nor of storage commitment."""
_WAITING_MESSAGES = 8
"""Messages that wait to be served or read; the peer's next ones stay in the connection meanwhile."""
_SLOWEST = 4096
"""Bytes of a message that come in a second, at the least."""
_LOOK = 0.25


class BoundedAssociation(Association):
    """An association, whoever opened it, as its providers know it."""

    peer_address: str
    reason = ""
    """What the peer did wrong, where it did."""
    protocol_broken = False
    """Whether that was against PS3.7 or PS3.8."""
    message_seconds = 300.0
    """For a message from its first fragment to its last, beside the time that its bytes may take."""
    ending = False
    """Nobody takes the peer's messages any more."""

    def knock(self) -> None:
        """Something came for the thread of this association."""

    def settle(self) -> None:
        """Wait until negotiation has ended on our side too: by then it is known which contexts are accepted."""

    def broken_protocol(self, reason: str) -> None:
        """The peer broke PS3.7 or PS3.8, and the association ends."""
        self.reason, self.protocol_broken = reason, True

    @property
    def takes_messages(self) -> bool:
        """False once it is ending."""
        return not (self._kill or self.ending)


class IncomingQueue(RingingQueue):
    """Messages of the peer that wait; full, it makes the thread that reads them wait, and so the peer."""

    def __init__(self, association: BoundedAssociation) -> None:
        super().__init__(association.knock, _WAITING_MESSAGES)
        self._association = association

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - queue's own
        """As queue.Queue; dropped where the association ends."""
        while self._association.takes_messages:
            with contextlib.suppress(queue.Full):
                return super().put(item, timeout=_LOOK)
        return None

    def wait_for_room(self, *, alone: bool) -> None:
        """Wait until one more can be put, or the association ends; `alone`: it is so long that no other may wait."""
        most = 1 if alone else self.maxsize
        with self.not_full:
            while self._qsize() >= most and self._association.takes_messages:
                self.not_full.wait(_LOOK)


class BoundedDUL(DULServiceProvider):
    """The upper layer service provider, with every length and every time bounded."""

    def __init__(self, association: BoundedAssociation) -> None:
        super().__init__(association)
        self.association = association
        self.daemon = True  # a hung peer must not keep the process from ending
        self._run_loop_delay = 0  # `ready` waits instead
        self.to_user_queue = RingingQueue(association.knock)
        self.state_machine = LenientStateMachine(self)
        self._idle_timer = SteadyTimer(self._idle_timer.timeout)
        self.artim_timer = SteadyTimer(self.artim_timer.timeout)

    def run_reactor(self) -> None:
        """The thread; its end wakes the association, which in pynetdicom waits on for a request that cannot come."""
        try:
            super().run_reactor()
        finally:
            cast(Any, self.to_user_queue).put(None)  # pynetdicom's own word for "nothing came"

    def send_pdu(self, primitive: Any) -> None:
        """Queue a primitive for the thread that reads and sends, and wake it."""
        super().send_pdu(primitive)
        cast(DeadlineSocket, self.socket).ring()

    def kill_dul(self) -> None:
        """End the thread, also where it waits."""
        super().kill_dul()
        cast(DeadlineSocket, self.socket).ring()

    def _read_pdu_data(self) -> None:
        """Read one PDU; the event it means for the state machine (PS3.8 Table 9-10) goes on the queue."""
        connection = cast(DeadlineSocket, self.socket)
        if self.state_machine.current_state == "Sta13":  # all was said; only the end of the connection counts
            if not connection.drain():
                connection.close()
            return
        try:
            while self._read_pdu(connection) and self._may_read_on(connection):
                self._idle_timer.restart()
        except wire.ProtocolError as error:
            self._refuse(str(error))
        except OSError as error:
            self.association.reason = str(error) or "the connection failed"
            self.event_queue.put("Evt17")
        except Exception:  # a defect of ours ends this association, with a trace, and no other
            log.exception("dimse.association-failed", peer=self.association.peer_address)
            self._refuse("defect of the node")

    def _may_read_on(self, connection: DeadlineSocket) -> bool:
        """After a P-DATA PDU: whether there is nothing to be done before the next one, which has begun to arrive.

        The way back through pynetdicom's loop sleeps: many times as long as a PDU takes.
        """
        return not self._kill_thread and self.to_provider_queue.empty() and connection.ready

    def _read_pdu(self, connection: DeadlineSocket) -> bool:
        """Read one PDU; whether it was P-DATA, all of which is dealt with here."""
        connection.begin_pdu()
        header = bytearray(connection.take(wire.HEADER_LENGTH))
        kind, length = wire.pdu_header(header, MAXIMUM_LENGTH)
        if kind is wire.PDUType.P_DATA:
            self._take_data(connection.take(length))
            return True
        content = self._understood(kind, header + connection.recv(length))
        try:
            pdu, event = self._decode_pdu(content)
            primitive = pdu.to_primitive()  # the state machine's part, where an error would end its thread
            pdu.to_primitive = lambda: primitive  # type: ignore[method-assign, assignment] # once: it is slow
        except Exception as error:
            raise wire.ProtocolError(f"{kind.name} PDU that cannot be decoded: {error}") from error
        self.event_queue.put(event)
        self._recv_pdu.put(pdu)
        return False

    def _understood(self, kind: wire.PDUType, content: bytearray) -> bytearray:
        """The PDU as pynetdicom is to see it: it raises at sources and reasons that PS3.8 does not name."""
        return wire.named_ending(kind, content)

    def _take_data(self, body: memoryview) -> None:
        """The fragments of a P-DATA-TF PDU; while we wait for the answer to our A-RELEASE-RQ, they concern nobody."""
        state = self.state_machine.current_state
        if state == "Sta6":
            self.association.settle()
        elif state != "Sta7":
            raise wire.ProtocolError("P-DATA where there is no association, or none any more")
        for fragment in wire.fragments(body):
            if state == "Sta6":
                cast(BoundedDIMSE, self.assoc.dimse).receive_fragment(fragment)

    def _refuse(self, reason: str) -> None:
        """The state machine answers Evt19 with an A-ABORT."""
        self.association.broken_protocol(reason)
        self.event_queue.put("Evt19")


class BoundedDIMSE(DIMSEServiceProvider):
    """The DIMSE service provider: messages are collected within bounds, and handed to pynetdicom whole."""

    def __init__(self, association: BoundedAssociation) -> None:
        super().__init__(association)
        self._bounded = association
        self.msg_queue: IncomingQueue = IncomingQueue(association)
        self._context_id: int | None = None
        self._encoded_command = bytearray()
        self._command: wire.CommandSet | None = None
        self._data_set = bytearray()
        self._slowest_end = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether a message is arriving, or waits to be served."""
        return self._context_id is not None or not self.msg_queue.empty()

    def receive_fragment(self, fragment: wire.Fragment) -> None:
        """The next presentation data value. Raises ProtocolError where it is not one that may come now."""
        self._keep_pace(len(fragment.content))
        if fragment.context_id not in self._bounded._accepted_cx:
            raise wire.ProtocolError(f"presentation context {fragment.context_id} was not accepted")
        if self._context_id not in (None, fragment.context_id):
            raise wire.ProtocolError("a message changed its presentation context")
        if fragment.is_command != (self._command is None):
            raise wire.ProtocolError("command and data set out of order")
        self._context_id = fragment.context_id
        if fragment.is_command:
            self._receive_command(fragment)
        else:
            self._receive_data(fragment)

    def _receive_command(self, fragment: wire.Fragment) -> None:
        if len(self._encoded_command) + len(fragment.content) > wire.MAXIMUM_COMMAND_LENGTH:
            raise wire.ProtocolError(f"command set of more than {wire.MAXIMUM_COMMAND_LENGTH} bytes")
        self._encoded_command += fragment.content
        if not fragment.is_last:
            return
        self._command = wire.command_set(self._encoded_command)
        self._begin_message(self._command, fragment.context_id)
        if not self._command.has_data_set:
            self._end_message()

    def _keep_pace(self, count: int) -> None:
        """Whole PDUs too can drip: a message ends in time, by what it has brought so far."""
        now = time.monotonic()
        if self._context_id is None:
            self._slowest_end = now + self._bounded.message_seconds
        self._slowest_end += count / _SLOWEST
        if now > self._slowest_end:
            raise wire.ProtocolError(f"message slower than {_SLOWEST} bytes a second")

    def _begin_message(self, command: wire.CommandSet, context_id: int) -> None:
        """A command is whole; its data set, where it has one, follows."""

    def _receive_data(self, fragment: wire.Fragment) -> None:
        context = self._bounded._accepted_cx[fragment.context_id]
        longest = LONGEST_COMMITMENT if context.abstract_syntax == PUSH_MODEL else _MAXIMUM_OTHER_DATA_SET
        if len(self._data_set) + len(fragment.content) > longest:
            raise wire.ProtocolError(f"data set of more than {longest} bytes")
        self._data_set += fragment.content
        if fragment.is_last:
            self._end_message()

    def _end_message(self) -> None:
        """Hand the message to pynetdicom; then be ready for the next."""
        command, context_id = self._command, self._context_id
        assert command is not None
        assert context_id is not None
        encoded, data_set = bytes(self._encoded_command), bytes(self._data_set)
        self._forget()
        if command.field != wire.Command.C_CANCEL_RQ:
            self._hand_over(context_id, encoded, data_set if command.has_data_set else None)

    def _hand_over(self, context_id: int, command: bytes, data_set: bytes | None) -> None:
        is_long = data_set is not None and len(data_set) > _MAXIMUM_OTHER_DATA_SET
        self.msg_queue.wait_for_room(alone=is_long)  # before pynetdicom makes a thread of an N-EVENT-REPORT
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, b"\x03" + command))
        if data_set is not None:
            primitive.presentation_data_value_list.append((context_id, b"\x02" + data_set))
        try:
            self.receive_primitive(primitive)
        except Exception as error:
            log.warning("dimse.message-not-decoded", error=type(error).__name__, peer=self._bounded.peer_address)
            raise wire.ProtocolError("message that cannot be decoded") from error

    def _forget(self) -> None:
        self._context_id = None
        self._command = None
        self._encoded_command.clear()
        self._data_set.clear()
