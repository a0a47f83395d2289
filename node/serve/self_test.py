"""Whether the receivers answer: a C-ECHO to our own port, as a modality would send it.

Its calling AE title is made at each start and known to the supervisor and its receivers alone, so it needs no entry in
the configuration, and nobody else can use it. It is spelt out in bytes: the supervisor has no DICOM library to start.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct

VARIABLE = "PACSNODE_SELF_TEST"
"""In the environment of receivers: the calling AE title of the self-test."""
_ASSOCIATE_AC, _ASSOCIATE_RJ, _P_DATA = 2, 3, 4
_REJECTED_TRANSIENT = 2
"""Result of an A-ASSOCIATE-RJ PDU: for now (PS3.8 Table 9-21). Who says that answers."""
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
_VERIFICATION, _IMPLICIT = b"1.2.840.10008.1.1", b"1.2.840.10008.1.2"
_CONTEXT, _COMMAND_LAST = 1, 3
_LONGEST = 16384
_STATUS = struct.pack("<HHLH", 0x0000, 0x0900, 2, 0x0000)
"""The element Status (0000,0900) of a response that says success."""


def new_title() -> str:
    """A calling AE title that nobody can guess, for this process and the receivers that it starts."""
    title = secrets.token_hex(8).upper()
    os.environ[VARIABLE] = title
    return title


def title_in_force() -> str:
    """The calling AE title of the self-test; empty where the supervisor makes none."""
    return os.environ.get(VARIABLE, "")


def answers(address: tuple[str, int], called: str, calling: str, seconds: float) -> bool:
    """Whether C-ECHO is answered with success there, or the association is refused for now, which is an answer too.

    `address`: where the node listens, as the system has it. `seconds`: the longest wait for one answer.
    """
    host, port = address
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what is compared, not listened on
    try:
        with socket.create_connection((reached, port), timeout=seconds) as connection:
            connection.sendall(_associate_rq(called, calling))
            kind, content = _pdu(connection)
            if kind == _ASSOCIATE_RJ:
                return content[1:2] == bytes([_REJECTED_TRANSIENT])
            if kind != _ASSOCIATE_AC:
                return False
            connection.sendall(_echo_rq())
            kind, content = _pdu(connection)
            connection.sendall(struct.pack(">BxLL", 5, 4, 0))  # A-RELEASE-RQ
            _pdu(connection)
            return kind == _P_DATA and _STATUS in content
    except (OSError, EOFError):
        return False


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _associate_rq(called: str, calling: str) -> bytes:
    """An A-ASSOCIATE-RQ PDU with Verification as its only presentation context (PS3.8 9.3.2)."""
    syntaxes = _item(0x30, _VERIFICATION) + _item(0x40, _IMPLICIT)
    user = _item(0x51, struct.pack(">L", _LONGEST)) + _item(0x52, _APPLICATION_CONTEXT)
    items = _item(0x10, _APPLICATION_CONTEXT) + _item(0x20, struct.pack(">Bxxx", _CONTEXT) + syntaxes)
    body = struct.pack(">Hxx16s16s32x", 1, called.encode().ljust(16), calling.encode().ljust(16))
    body += items + _item(0x50, user)
    return struct.pack(">BxL", 1, len(body)) + body


def _echo_rq() -> bytes:
    """A P-DATA-TF PDU with a C-ECHO-RQ (PS3.7 9.3.5)."""
    elements = ((0x0002, _VERIFICATION + b"\0"), (0x0100, b"\x30\0"), (0x0110, b"\x01\0"), (0x0800, b"\x01\x01"))
    command = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in elements)
    command = struct.pack("<HHLL", 0, 0, 4, len(command)) + command
    value = struct.pack(">LBB", len(command) + 2, _CONTEXT, _COMMAND_LAST) + command
    return struct.pack(">BxL", _P_DATA, len(value)) + value


def _pdu(connection: socket.socket) -> tuple[int, bytes]:
    """Type and content of the next PDU; EOFError where the peer closes, or sends what is no answer."""
    kind, length = struct.unpack(">BxL", _exactly(connection, 6))
    if length > _LONGEST + 6:
        raise EOFError
    return kind, _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found
