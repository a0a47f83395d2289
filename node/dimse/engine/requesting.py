"""pynetdicom as SCU: what an association that we open needs, with the same bounds as one that is opened with us.

One deadline for connection, TLS handshake and answer, and one for each request with all its responses: pynetdicom's
begin again with each response, and its handshake and `send_c_store` may never return. Lengths, whole PDUs and whole
messages are bounded by the providers that accepted associations have; what has come and not been read yet, and what
goes out, by queues: pynetdicom's take a whole file, and whatever the peer sends. An A-ASSOCIATE-AC is read by
`node.dimse.associate_ac`. TCP_NODELAY: a stall of 40 ms for each message otherwise.
pynetdicom's reactor is held while we ask: it otherwise takes an answer away from who waits for it, when it
is descheduled at the wrong moment (seen once in some 5,000 requests on a busy machine). Its answer is read once we
wait for it: one that closed the connection sooner counts as none in pynetdicom. And at the end the
connection is closed: pynetdicom leaves it open where the peer rejects or talks nonsense.
"""

from __future__ import annotations

import contextlib
import math
import queue
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation

from node.dicom.part10 import StoredObject
from node.dimse import wire
from node.dimse.associate_ac import understood
from node.dimse.engine.connection import DeadlineSocket
from node.dimse.engine.providers import MAXIMUM_LENGTH, BoundedAssociation, BoundedDIMSE, BoundedDUL
from node.dimse.tls import ClientContext

_config.LOG_HANDLER_LEVEL = "none"  # its handlers write each message into the log: slow, and patients' data
_config.STORE_SEND_CHUNKED_DATASET = True  # files are sent as they are, not decoded and encoded again
_AHEAD = 32
"""PDUs that are read from a file before the peer has taken the ones before them."""
_MEDIUM = 0
"""Priority of a C-STORE request (PS3.7 E.1-1)."""
_DATA_LAST = 2
"""Message control header of the last fragment of a data set (PS3.8 Table E.2-1)."""
_LOOK = 0.2
_LONGEST_GOODBYE = 2.0
"""Seconds for an A-ABORT to leave, and for the peer to close then."""
_REQUESTS = (wire.Command.N_EVENT_REPORT_RQ, wire.Command.N_ACTION_RQ)
"""What a peer may ask on an association that we opened: storage commitment, where either side may speak first."""
_LONGEST_END = 5.0
"""Seconds that its thread gets to end; the connection is closed under it then."""


class OutgoingQueue(queue.Queue[Any]):
    """Primitives on their way to the peer; full, it makes the sender wait as long as somebody sends."""

    def __init__(self, association: RequestingAssociation) -> None:
        super().__init__(_AHEAD)
        self._association = association

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - queue's own
        """As queue.Queue; dropped where nobody is left to send it, who waits for the answer then sees the end."""
        if isinstance(item, P_DATA):
            item.presentation_data_value_list = _evened(item.presentation_data_value_list)
        while self._association.dul.is_alive() and not (isinstance(item, P_DATA) and self._association.overdue):
            with contextlib.suppress(queue.Full):
                return super().put(item, timeout=_LOOK)
        return None


def _evened(values: Sequence[Any]) -> Any:
    """The presentation data values of a PDU, as pynetdicom has them: lists of context ID and fragment."""
    return [[number, _even(fragment)] for number, fragment in values]


def _even(fragment: bytes) -> bytes:
    """The last fragment of a data set, padded where it is odd: its length shall be even (PS3.8 9.3.5.1, PS3.5 A.5).

    Some peers break off at one that is not. What goes before it is even: so is the longest PDU that we send.
    """
    return fragment + b"\0" if fragment[0] == _DATA_LAST and len(fragment) % 2 == 0 else fragment


class ConnectingSocket(DeadlineSocket):
    """The connection of an association that we open: connected and encrypted before the deadline."""

    opened = False
    """Whether there was a connection."""

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect, shake hands, and tell the state machine what came of it (Evt2 or Evt17)."""
        primitive.result = "Evt17"
        try:
            client = self._open()
            client.settimeout(self.remaining)
            client.connect(primitive.address_info.as_tuple)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls_args is not None:
                client = self._shake_hands(client, *self.tls_args)
            self._poll.register(client.fileno(), select.POLLIN)
            self.opened = self._is_connected = True
            self.assoc.acse_timeout = self.remaining
            primitive.result = "Evt2"
        except OSError as error:
            cast(RequestingAssociation, self.assoc).reason = str(error)
            if self.socket is not None:
                self.socket.close()
            self.socket = None
        finally:
            self.provider_queue.put(primitive)
            self._ready.set()

    def _shake_hands(self, client: socket.socket, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
        secured = context.wrap_socket(client, server_hostname=name, do_handshake_on_connect=False)
        self.socket = secured
        secured.settimeout(self.remaining)
        try:
            secured.do_handshake()
        except TimeoutError:
            if isinstance(context, ClientContext):
                context.failed = "the handshake was not over at its deadline"
            raise
        return secured


class RequestingDUL(BoundedDUL):
    """The upper layer service provider of an association that we open."""

    association: RequestingAssociation

    def __init__(self, association: RequestingAssociation) -> None:
        super().__init__(association)
        self._awaited = threading.Event()

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """The next primitive; whoever negotiates is past its look at the connection when it first waits for one."""
        if wait:
            self._awaited.set()
        return super().receive_pdu(wait, timeout)

    def kill_dul(self) -> None:
        """End the thread, also where it waits."""
        self._awaited.set()
        super().kill_dul()

    def _read_pdu_data(self) -> None:
        """pynetdicom asks whether there is a connection before it waits for the answer.

        A rejection that is read by then has closed it, and would count as no answer.
        """
        self._awaited.wait(self.association.seconds)
        super()._read_pdu_data()

    def _understood(self, kind: wire.PDUType, content: bytearray) -> bytearray:
        if kind is not wire.PDUType.ASSOCIATE_AC:
            return super()._understood(kind, content)
        requestor = self.association.requestor
        proposed = {
            each.context_id: [str(syntax) for syntax in each.transfer_syntax]
            for each in requestor.requested_contexts
            if each.context_id is not None
        }
        roles = [str(uid) for uid in requestor.role_selection]
        body = understood(bytes(content[wire.HEADER_LENGTH :]), proposed, roles, MAXIMUM_LENGTH)
        return bytearray(struct.pack(">BxL", kind, len(body)) + body)


class RequestingDIMSE(BoundedDIMSE):
    """The DIMSE service provider of an association that we open."""

    _asked: tuple[type, int] | None = None
    """What the last request was, and its Message ID."""

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send a request, or our response to one of the peer's."""
        if primitive.MessageID is not None and primitive.MessageIDBeingRespondedTo is None:
            self._asked = type(primitive), primitive.MessageID
        super().send_msg(primitive, context_id)

    def get_msg(self, block: bool = False) -> Any:
        """The next message, until the deadline of the request; then nothing, and what is not sent yet stays unsent.

        Nothing, too, where a response is not one to the last request: pynetdicom would take its status for the answer.
        """
        association = cast(RequestingAssociation, self._bounded)
        seconds = min(association.longest_wait, association.connection.remaining)
        try:
            context_id, message = self.msg_queue.get(block=block and seconds > 0, timeout=seconds)
        except queue.Empty:
            if block:
                association.waited_in_vain()
            return None, None
        if block and message is not None and (type(message), message.MessageIDBeingRespondedTo) != self._asked:
            association.broken_protocol("a message that is no response to this request")
            return None, None
        return context_id, message

    def _begin_message(self, command: wire.CommandSet, context_id: int) -> None:  # noqa: ARG002 - as the base has it
        """pynetdicom does not tell a request with a status from a response."""
        is_request = command.field in _REQUESTS and command.message_id is not None
        if not (command.field & wire.RESPONSE or is_request or command.field == wire.Command.C_CANCEL_RQ):
            raise wire.ProtocolError(f"command 0x{command.field:04X}, which is no response")


class RequestingAssociation(BoundedAssociation):
    """An association that we open; `request` it, then `hold_reactor`, and `close` it in any case."""

    def __init__(
        self, entity: ApplicationEntity, called_ae_title: str, address: tuple[str, int], seconds: float
    ) -> None:
        """`seconds` to be established in, and for each PDU and each response. OSError where the name is unknown."""
        self.seconds = self.longest_wait = seconds
        self.peer_address = address[0]
        self._negotiated = threading.Event()
        super().__init__(entity, "requestor")
        remote = AddressInformation.from_addr_port(*address)
        local = AddressInformation("::0" if remote.is_ipv6 else "", 0)
        self.dul = RequestingDUL(self)
        self.dul.to_provider_queue = OutgoingQueue(self)
        self.dimse = RequestingDIMSE(self)
        self.acse_timeout = self.dimse_timeout = self.connection_timeout = seconds
        self.network_timeout = None  # silence between two of our requests is ours
        self.connection = ConnectingSocket(self, None, seconds, local)
        self.set_socket(self.connection)
        self.acceptor.ae_title, self.acceptor.address_info = called_ae_title, remote
        requestor = self.requestor
        requestor.ae_title, requestor.address_info = entity.ae_title, local
        requestor.maximum_length = MAXIMUM_LENGTH
        requestor.implementation_class_uid = entity.implementation_class_uid
        requestor.implementation_version_name = entity.implementation_version_name

    def propose(
        self, contexts: Sequence[PresentationContext], roles: Sequence[SCP_SCU_RoleSelectionNegotiation]
    ) -> None:
        """The presentation contexts, and the roles in them, that are to be asked for."""
        for number, context in enumerate(contexts):
            context.context_id = 2 * number + 1
        self.requestor.requested_contexts = list(contexts)
        for role in roles:
            self.requestor.add_negotiation_item(role)

    def request(self) -> None:
        """Connect and ask for the association: established or not, within the deadline."""
        self.connection.allow(self.seconds)
        try:
            super().request()
        finally:
            self._negotiated.set()
        self.acse_timeout = self.seconds

    def settle(self) -> None:
        """A peer may send its first request right behind its A-ASSOCIATE-AC."""
        self._negotiated.wait(self.seconds)

    @property
    def overdue(self) -> bool:
        """Whether what was allowed for the request is used up."""
        return self.connection.remaining <= 0

    @contextmanager
    def exchange(self, seconds: float, longest_wait: float | None = None) -> Iterator[None]:
        """One request with all its responses: a time limit for all, and the same from one response to the next."""
        self.connection.allow(seconds)
        self.longest_wait = longest_wait or self.seconds
        yield
        if not self.overdue:
            self.connection.allow(math.inf)

    def store(self, stored: StoredObject, message_id: int) -> Dataset:
        """C-STORE a file as it is, under the UIDs of its data set; the response, empty where none came.

        pynetdicom takes the UIDs from the file meta information, and raises where they are missing there. Raises
        ValueError where the peer accepted no presentation context for it.
        """
        context = self._get_valid_context(
            stored.sop_class_uid, UID(stored.transfer_syntax_uid), "scu", allow_conversion=False
        )
        request = C_STORE()
        request.MessageID, request.Priority = message_id, _MEDIUM
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = stored.sop_class_uid, stored.sop_instance_uid
        request._dataset_path = (stored.path, stored.offset)
        self.dimse.send_msg(request, cast(int, context.context_id))
        _, response = self.dimse.get_msg(block=True)
        if response is None:
            self._handle_no_response()
            return Dataset()
        return self._check_received_status(response)

    def waited_in_vain(self) -> None:
        """No response came in time; where the request itself is not sent yet, no A-ABORT could be sent either."""
        what = (
            "the exchange was not over at its deadline" if self.overdue else f"no response in {self.longest_wait:g} s"
        )
        self.reason = self.reason or what
        if not self.dul.to_provider_queue.empty():
            self.connection.break_off()

    def release(self) -> None:
        """Ask for the release; what the peer still says is dropped."""
        self.ending = True
        self.connection.allow(self.seconds)
        super().release()

    def _abort_blocking(self, block: bool = True) -> None:
        """Tell the peer, and wait a moment for it to close; pynetdicom's `abort` is this or calls it."""
        self.connection.allow(_LONGEST_GOODBYE)
        super()._abort_blocking(block)

    def kill(self) -> None:
        """End its threads."""
        self._negotiated.set()
        self.dul.artim_timer.timeout = _LONGEST_GOODBYE
        super().kill()


class _HeldCheckpoint(threading.Event):
    """In place of the reactor's checkpoint: `set`, which pynetdicom calls after each request, does not open it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """As threading.Event, and tell that somebody waits."""
        self.reached.set()
        return super().wait(timeout)

    def set(self) -> None:
        """Not yet."""

    def let_go(self) -> None:
        """Open it for good."""
        super().set()


def hold_reactor(association: Association) -> None:
    """Start the association's own thread and stop it until `close`: only we read the answers to our requests."""
    held = _HeldCheckpoint()
    association._reactor_checkpoint = held
    # Called for an N-EVENT-REPORT by a thread that pynetdicom makes for it: see `conversation`.
    association._serve_request = lambda msg, context_id: association.dimse.msg_queue.put((context_id, msg))  # type: ignore[method-assign] # on this one association
    association.start()
    held.reached.wait(_LONGEST_END)


def close(association: RequestingAssociation) -> None:
    """Give back threads and connection of an association that we opened, whatever state it is in."""
    association._kill = True
    if isinstance(association._reactor_checkpoint, _HeldCheckpoint):
        association._reactor_checkpoint.let_go()
    provider = association.dul
    provider.kill_dul()
    if provider.ident is not None:
        provider.join(_LONGEST_END)
        association.connection.break_off()
        provider.join(_LONGEST_END)
    if provider.socket is not None:
        provider.socket._shutdown_socket()
    if not provider.is_alive():
        association.connection.discard()
