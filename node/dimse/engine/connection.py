"""One association's connection: deadlines instead of hanging, waiting instead of polling."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation, AssociationSocket

LONGEST = 131072
"""Bytes that can be taken at once."""
_READ_AHEAD = 2 * LONGEST
_SMALL = 32768
"""Bytes: where no more are missing, what comes behind them is read too; of more, just those are, into their place."""
IDLE_LOOK = 0.25
"""Seconds after which a waiting thread looks at its timers (ARTIM, idle) again."""


class RingingQueue(queue.Queue[Any]):
    """A queue that tells somebody who waits for more than one thing that there is something in it."""

    def __init__(self, ring: Callable[[], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._ring = ring

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As queue.Queue, and ring."""
        super().put(item, block, timeout)
        self._ring()


class DeadlineSocket(AssociationSocket):
    """The connection of one association, with deadlines."""

    def __init__(
        self,
        association: Association,
        client: socket.socket | None,
        pdu_deadline: float,
        address: AddressInformation | None = None,
    ) -> None:
        """`client` is connected; without one, a socket is made that can be, from this local `address`."""
        super().__init__(association, client_socket=client, address=address)
        self._pdu_deadline = pdu_deadline
        self._ends = 0.0
        self._all_ends = math.inf
        self._ahead = memoryview(bytearray(_READ_AHEAD))  # the system gives the memory when it is written to
        self._begin = self._end = 0
        self._in_kernel = False
        self._bell_lock = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        if client is not None:
            self._poll.register(client.fileno(), select.POLLIN)
            if not isinstance(client, ssl.SSLSocket):
                self._leave_time_to_the_kernel(client)

    def _leave_time_to_the_kernel(self, client: socket.socket) -> None:
        """Python's own timeouts cost two system calls more for each that reads or writes."""
        self._in_kernel = True
        client.settimeout(None)
        limit = struct.pack("@ll", int(self._pdu_deadline), int(self._pdu_deadline % 1 * 1e6))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def allow(self, seconds: float) -> None:
        """All that is read and sent from now on ends within this many seconds, however many PDUs it is."""
        self._all_ends = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds that were allowed and are left, not below 0; infinite where no limit was set."""
        return max(0.0, self._all_ends - time.monotonic())

    def begin_pdu(self) -> None:
        """The deadline of the PDU that now arrives starts to run."""
        self._ends = self._pdu_ends()

    def _pdu_ends(self) -> float:
        return min(time.monotonic() + self._pdu_deadline, self._all_ends)

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, at most `LONGEST`; the view is valid until the next call.

        What has arrived beyond them is read with them: a sender of small PDUs is then not waited for at each.
        Raises TimeoutError at the PDU's deadline, ConnectionError where the peer is gone.
        """
        if self._end - self._begin < count and self._begin + count > len(self._ahead):
            left = bytes(self._ahead[self._begin : self._end])
            self._ahead[: len(left)] = left
            self._begin, self._end = 0, len(left)
        while (missing := count - (self._end - self._begin)) > 0:
            exactly = missing > _SMALL
            room = self._ahead[self._end : self._end + missing] if exactly else self._ahead[self._end :]
            self._end += self._receive(room, exactly)
        taken = self._ahead[self._begin : self._begin + count]
        self._begin += count
        if self._begin == self._end:
            self._begin = self._end = 0
        return taken

    def _receive(self, buffer: memoryview, whole: bool) -> int:
        """What comes next, at least a byte; all of the buffer if `whole` and the kernel can wait for it."""
        connection = self._open()
        remaining = self._ends - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the PDU was not whole at its deadline")
        count = self._receive_some(connection, buffer, remaining, socket.MSG_WAITALL if whole else 0)
        if count == 0:
            raise ConnectionError("the peer closed the connection")
        return count

    def _receive_some(self, connection: socket.socket, buffer: memoryview, remaining: float, flags: int) -> int:
        try:
            if self._in_kernel:
                return connection.recv_into(buffer, 0, flags)
            connection.settimeout(remaining)
            return connection.recv_into(buffer)
        except (BlockingIOError, TimeoutError):
            raise TimeoutError("the PDU was not whole at its deadline") from None

    def recv(self, nr_bytes: int) -> bytearray:
        """The next bytes, however many, for good."""
        content = bytearray()
        while len(content) < nr_bytes:
            content += self.take(min(nr_bytes - len(content), LONGEST))
        return content

    def drain(self) -> bool:
        """Drop what has arrived; false where the connection has ended."""
        self._begin = self._end = 0
        try:
            connection = self._open()
            if self._in_kernel:
                return bool(connection.recv(65536, socket.MSG_DONTWAIT))
            connection.settimeout(0)
            return bool(connection.recv(65536))
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False

    def send(self, bytestream: bytes) -> None:
        """Send all within the deadline of one PDU, or end the connection: the peer does not read, or too slowly."""
        ends = self._pdu_ends()
        left = memoryview(bytestream)
        try:
            while left:
                left = left[self._send_some(left, ends - time.monotonic()) :]
        except (OSError, ValueError):  # ValueError: TLS that is over
            self.event_queue.put("Evt17")
        if self.socket is not None:
            with contextlib.suppress(OSError):  # a peer that is gone is noticed when it is read from
                # Having answered, Linux holds back its acknowledgements, and a sender with Nagle's algorithm waits
                # 40 ms for one: many modalities are built so.
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _send_some(self, content: memoryview, remaining: float) -> int:
        connection = self._open()
        if remaining <= 0:
            raise TimeoutError("the peer did not read the PDU until its deadline")
        if not self._in_kernel:
            connection.settimeout(remaining)
        return connection.send(content)

    def _open(self) -> socket.socket:
        if self.socket is None:
            raise ConnectionError("the connection is closed")
        return self.socket

    @property
    def ready(self) -> bool:
        """Wait until the peer has sent something or the bell rings, a moment at most; true for the former."""
        connection = self.socket
        if connection is None or not self._is_connected:
            return False
        if not self.event_queue.empty():
            return False  # else pynetdicom reads the next PDU in the state before the last one's event
        if self._begin < self._end or (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            return True
        try:
            events = dict(self._poll.poll(IDLE_LOOK * 1000))
            if self._bell in events:
                os.eventfd_read(self._bell)
                if self.assoc.dul.state_machine.current_state == "Sta13":  # pynetdicom closes at our next False:
                    events = dict(self._poll.poll(IDLE_LOOK * 1000))  # let the peer read and close first
            return connection.fileno() in events and self._has_data(connection)
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def _has_data(self, connection: socket.socket) -> bool:
        """Whether what has arrived is for us: over TLS it may be a session ticket, on which nothing follows."""
        if not isinstance(connection, ssl.SSLSocket):
            return True
        connection.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._begin, self._end = 0, connection.recv_into(self._ahead)
            return True  # of no byte too, which is the end: the next reader sees it
        return False

    def ring(self) -> None:
        """End a wait in `ready`: there is something to send."""
        with self._bell_lock:  # never a write to a descriptor that has become another file's
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def break_off(self) -> None:
        """End the connection under a thread that reads or sends."""
        if self.socket is not None:
            with contextlib.suppress(OSError):  # it ended on its own
                self.socket.shutdown(socket.SHUT_RDWR)

    def discard(self) -> None:
        """Give back what the operating system lent; once, when no thread uses it any more."""
        with self._bell_lock:
            if self._bell >= 0:
                os.close(self._bell)
            self._bell = -1
        if self.socket is not None:
            self.socket.close()
