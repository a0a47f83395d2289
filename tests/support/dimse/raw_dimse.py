"""A DICOM peer built from bytes, which may break every rule."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
STUDY, SERIES, INSTANCE = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 2, 3, 4, 5, 6, 7
COMMAND, COMMAND_LAST, DATA, DATA_LAST = 1, 3, 0, 2


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    """An item or sub-item of an A-ASSOCIATE PDU (PS3.8 9.3.2)."""
    return struct.pack(">BxH", kind, len(body)) + body


def associate_rq(
    called: bytes = b"PACSNODE",
    calling: bytes = b"RAW",
    contexts: Mapping[int, tuple[str, Sequence[str]]] | None = None,
    maximum_length: int = 16384,
    extra: bytes = b"",
    user_items: bytes = b"",
) -> bytes:
    """An A-ASSOCIATE-RQ PDU (PS3.8 9.3.2); `user_items` stand in its user information item, `extra` behind it."""
    items = item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, transfer) in (contexts or {1: (CT, [EXPLICIT])}).items():
        syntaxes = item(0x30, abstract.encode()) + b"".join(item(0x40, uid.encode()) for uid in transfer)
        items += item(0x20, struct.pack(">Bxxx", number) + syntaxes)
    items += item(0x50, item(0x51, struct.pack(">L", maximum_length)) + item(0x52, b"1.2.3.4") + user_items) + extra
    return pdu(1, struct.pack(">Hxx16s16s32x", 1, called.ljust(16), calling.ljust(16)) + items)


def accepted(number: int, syntax: str = EXPLICIT, result: int = 0, more: bytes = b"") -> bytes:
    """A presentation context item of an A-ASSOCIATE-AC (PS3.8 Table 9-18)."""
    return item(0x21, struct.pack(">BxBx", number, result) + item(0x40, syntax.encode("latin-1")) + more)


def associate_ac(
    contexts: bytes | None = None,
    titles: bytes = b"BAD".ljust(16) + b"PACSNODE".ljust(16),
    user_items: bytes = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4"),
    extra: bytes = b"",
    version: int = 1,
) -> bytes:
    """An A-ASSOCIATE-AC PDU (PS3.8 9.3.3) that accepts the first context, or these."""
    items = item(0x10, b"1.2.840.10008.3.1.1.1") + (accepted(1) if contexts is None else contexts)
    return pdu(ASSOCIATE_AC, struct.pack(">Hxx", version) + titles + bytes(32) + items + item(0x50, user_items) + extra)


def pdv(context_id: int, control: int, content: bytes) -> bytes:
    return struct.pack(">LBB", len(content) + 2, context_id, control) + content


def p_data(context_id: int, control: int, content: bytes) -> bytes:
    return pdu(4, pdv(context_id, control, content))


def _padded(uid: str) -> bytes:
    return uid.encode("latin-1") + b"\0" * (len(uid) % 2)


def command(field: int, **elements: int | str) -> bytes:
    """A command set; elements by their number as `e0110=1` (US) or `e0002="1.2"` (UI)."""
    content = b""
    numbers = {"e0100": field, "e0800": 0x0001} | elements
    for name in sorted(numbers):
        value = numbers[name]
        encoded = struct.pack("<H", value) if isinstance(value, int) else _padded(value)
        content += struct.pack("<HHL", 0, int(name[1:], 16), len(encoded)) + encoded
    return struct.pack("<HHLL", 0, 0, 4, len(content)) + content


def store_rq(sop_class: str = CT, sop_instance: str = INSTANCE, message_id: int = 1) -> bytes:
    return command(0x0001, e0002=sop_class, e0110=message_id, e0700=0, e1000=sop_instance)


def echo_rq(message_id: int = 1) -> bytes:
    return command(0x0030, e0002=VERIFICATION, e0110=message_id, e0800=0x0101)


def data_set(
    sop_class: str | None = CT,
    sop_instance: str | None = INSTANCE,
    study: str | None = STUDY,
    series: str | None = SERIES,
    tail: bytes = b"",
) -> bytes:
    """A small data set in Explicit VR Little Endian; None leaves an element out."""
    elements = [((8, 0x16), sop_class), ((8, 0x18), sop_instance), ((0x20, 0xD), study), ((0x20, 0xE), series)]
    content = b""
    for (group, element), uid in elements:
        if uid is not None:
            content += struct.pack("<HH2sH", group, element, b"UI", len(_padded(uid))) + _padded(uid)
    return content + tail


def pixels(length: int) -> bytes:
    """Pixel Data of this many (even) bytes."""
    return struct.pack("<HH2sxxL", 0x7FE0, 0x10, b"OW", length) + bytes(length)


class RawPeer:
    """A connection to the node; closes with its context."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, content: bytes) -> None:
        self.connection.sendall(content)

    def associate(self, **request: object) -> bytes:
        """Ask for an association; the body of the A-ASSOCIATE-AC."""
        self.send(associate_rq(**request))  # type: ignore[arg-type]
        kind, body = self.receive()
        assert kind == ASSOCIATE_AC, f"PDU {kind}: {body.hex()}"
        return body

    def receive(self) -> tuple[int, bytes]:
        """The next PDU: type and body. Type 0 means that the connection was closed."""
        try:
            header = self._exactly(6)
            kind, length = struct.unpack(">BxL", header)
            return kind, self._exactly(length)
        except (EOFError, ConnectionError):
            return 0, b""

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            more = self.connection.recv(count - len(content))
            if not more:
                raise EOFError
            content += more
        return content

    def store(self, content: bytes, request: bytes | None = None, fragment: int = 16000) -> int:
        """C-STORE a data set on context 1; the status of the response."""
        self.send(p_data(1, COMMAND_LAST, request or store_rq()))
        for start in range(0, max(len(content), 1), fragment):
            last = start + fragment >= len(content)
            self.send(p_data(1, DATA_LAST if last else DATA, content[start : start + fragment]))
        return self.status()

    def status(self) -> int:
        """Read a response; its status."""
        kind, body = self.receive()
        assert kind == P_DATA, f"PDU {kind} instead of a response"
        position = 6
        while position < len(body):
            _, element, length = struct.unpack_from("<HHL", body, position)
            if element == 0x0900:
                return int.from_bytes(body[position + 8 : position + 8 + length], "little")
            position += 8 + length
        raise AssertionError("a response without a status")

    def message(self) -> tuple[bytes, bytes]:
        """Read a message that has a data set: command set and data set."""
        parts, control = {True: b"", False: b""}, COMMAND
        while control != DATA_LAST:
            kind, body = self.receive()
            assert kind == P_DATA, f"PDU {kind} instead of a message"
            while body:
                length, _, control = struct.unpack_from(">LBB", body)
                parts[bool(control & COMMAND)] += body[6 : 4 + length]
                body = body[4 + length :]
        return parts[True], parts[False]

    def release(self) -> None:
        self.send(pdu(5, bytes(4)))
        assert self.receive()[0] == RELEASE_RP

    def reset(self) -> None:
        """Close by RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def ended(self, seconds: float) -> bool:
        """Whether the other side closes within this time; what it says is dropped."""
        before = self.connection.gettimeout()
        self.connection.settimeout(seconds)
        try:
            return not self.connection.recv(1 << 16)
        except TimeoutError:
            return False
        finally:
            self.connection.settimeout(before)

    def closed(self) -> bool:
        """True once the node has closed; waits for the socket's timeout at most, and drops what comes."""
        while True:
            kind, _ = self.receive()
            if kind == 0:
                return True
