"""Syslog over TLS (RFC 5425): messages of RFC 5424 with the octets counted, as PS3.15 A.6 and A.7 want them.

The protocol has no answer. What can be known is known: the server's certificate is verified, its alert is read before
anything is sent (a server that wants a certificate says so after the handshake of TLS 1.3, when the first message
would be lost), and a batch counts as sent once the server's machine has acknowledged all of it and the connection is
still open. What a server loses after that is for its own disk to keep.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass

from node.config.audit import SyslogServer
from node.dimse.tls import client_context

PRIORITY = 10 * 8 + 5
"""Facility 10, security and authorization; severity 5, notice."""
MESSAGE_ID = "DICOM+RFC3881"
_BOM = b"\xef\xbb\xbf"
_SECONDS = 20.0
_REFUSAL = 1.0
"""For this long a new connection is watched for a refusal before the first message."""
_POLL = 0.01


@dataclass(frozen=True, slots=True)
class SyslogMessage:
    """One message, with what its header says."""

    at: str
    """When it happened, as RFC 3339 wants it."""
    number: int
    """Of its entry in the trail: a server sees by it that one is missing."""
    text: str


def framed(message: SyslogMessage, host: str, program: str) -> bytes:
    """The octets of one message, with their number before them."""
    sequence = (message.number - 1) % (2**31 - 1) + 1
    head = f'<{PRIORITY}>1 {message.at} {host} {program} - {MESSAGE_ID} [meta sequenceId="{sequence}"] '
    content = head.encode("ascii", "replace") + _BOM + message.text.encode()
    return str(len(content)).encode() + b" " + content


class SyslogConnection:
    """A connection to a server that takes messages."""

    def __init__(self, server: SyslogServer) -> None:
        """Connect; raises OSError, of which ssl.SSLError is one."""
        credentials = server.tls.credentials(server.host)
        plain = socket.create_connection((server.host, server.port), timeout=_SECONDS)
        try:
            self._socket = client_context(credentials).wrap_socket(plain, server_hostname=credentials.server_name)
        except BaseException:
            plain.close()
            raise
        try:
            self._listen(_REFUSAL)
        except BaseException:
            self._socket.close()
            raise

    def send(self, messages: Sequence[bytes]) -> None:
        """Send these, all of them; OSError where it is not certain that the server's machine has them."""
        self._listen(0.0)
        self._socket.settimeout(_SECONDS)
        self._socket.sendall(b"".join(messages))
        until = time.monotonic() + _SECONDS
        while self._unacknowledged():
            if time.monotonic() > until:
                raise TimeoutError("the server does not acknowledge what was sent")
            time.sleep(_POLL)
        self._listen(0.0)

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def _unacknowledged(self) -> int:
        """Octets that the other machine has not acknowledged (tcp(7), SIOCOUTQ)."""
        answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

    def _listen(self, seconds: float) -> None:
        """A server says nothing; where it does, or ends the connection, it takes no messages: OSError."""
        self._socket.settimeout(seconds)
        try:
            said = self._socket.recv(1)
        except (TimeoutError, ssl.SSLWantReadError, BlockingIOError):
            return
        if not said:
            raise ConnectionError("the server has ended the connection")
        raise ConnectionError("the server answers, which a syslog server does not")
