"""Bytes of the DICOM Upper Layer and of DIMSE commands: layouts, bounds, and nothing that blocks.

Everything here is a pure function over bytes that arrived, with the bounds that pynetdicom 3.0.4
does not keep (PDU and PDV lengths, sizes of a command). The engine calls it; a fuzzer can.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from node.dicom.uids import is_acceptable_uid

HEADER_LENGTH = 6
"""PDU-type, a reserved byte, PDU-length (PS3.8 9.3.1)."""
MAXIMUM_ASSOCIATE_LENGTH = 1 << 20
"""Bytes of an A-ASSOCIATE-RQ or -AC: 128 presentation contexts with all their syntaxes need a tenth of it."""
SHORT_LENGTH = 4
"""Bytes of an A-ASSOCIATE-RJ, A-RELEASE or A-ABORT PDU: no more and no fewer (PS3.8 9.3.4, 9.3.6 to 9.3.8)."""
MAXIMUM_COMMAND_LENGTH = 16384
"""Bytes of a command set: a C-STORE request needs about 300."""
_NO_DATA_SET = 0x0101  # PS3.7 E.1: this value alone means that none follows


class ProtocolError(Exception):
    """The peer broke PS3.7 or PS3.8; the association is aborted and the log says how."""


class PDUType(IntEnum):
    """PDU-type values (PS3.8 9.3)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class Command(IntEnum):
    """Command Field (0000,0100) values that this module's users look at (PS3.7 E.1)."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_CANCEL_RQ = 0x0FFF
    N_EVENT_REPORT_RQ = 0x0100
    N_ACTION_RQ = 0x0130


RESPONSE = 0x8000
"""The bit of a Command Field that is set in responses (PS3.7 E.1-1)."""


def pdu_header(header: bytes | bytearray, maximum_data_length: int) -> tuple[PDUType, int]:
    """Type and length of the PDU that this header opens, once its length is known to be bearable.

    `maximum_data_length` is the maximum length this node announced (PS3.8 D.1). Raises ProtocolError
    before anything of the length announced is allocated or read.
    """
    kind, length = struct.unpack(">BxL", header)
    if kind not in PDUType.__members__.values():
        raise ProtocolError(f"unknown PDU type 0x{kind:02X}")
    pdu_type = PDUType(kind)
    if pdu_type is PDUType.P_DATA:
        limit = maximum_data_length
    elif pdu_type in (PDUType.ASSOCIATE_RQ, PDUType.ASSOCIATE_AC):
        limit = MAXIMUM_ASSOCIATE_LENGTH
    elif length != SHORT_LENGTH:
        raise ProtocolError(f"{pdu_type.name} PDU of {length} bytes instead of {SHORT_LENGTH}")
    else:
        limit = SHORT_LENGTH
    if length > limit:
        raise ProtocolError(f"{pdu_type.name} PDU of {length} bytes, more than the {limit} allowed")
    return pdu_type, length


_REJECTED_FOR_NOW, _REJECTING = 2, (1, 2, 3)
_PROVIDER, _ABORT_REASONS = 2, (0, 1, 2, 4, 5, 6)


def named_ending(kind: PDUType, content: bytearray) -> bytearray:
    """An A-ASSOCIATE-RJ or A-ABORT PDU whose result, source and reason PS3.8 names (Tables 9-21 and 9-26).

    Another result is read as permanent, another source as the service user, another reason as none given. Other PDUs
    are returned as they are.
    """
    if kind not in (PDUType.ASSOCIATE_RJ, PDUType.ABORT):
        return content
    result, source, reason = content[7:10]
    if kind is PDUType.ASSOCIATE_RJ:
        result = result if result == _REJECTED_FOR_NOW else 1
        source = source if source in _REJECTING else 1
        content[7:10] = bytes((result, source, reason if 1 <= reason <= 10 else 1))
    else:
        source = source if source == _PROVIDER else 0
        content[8:10] = bytes((source, reason if reason in _ABORT_REASONS else 0))
    return content


@dataclass(frozen=True, slots=True)
class Fragment:
    """One presentation data value (PS3.8 9.3.5.1, E.2)."""

    context_id: int
    is_command: bool
    is_last: bool
    content: memoryview


def fragments(body: memoryview) -> Iterator[Fragment]:
    """The presentation data values of a P-DATA-TF PDU's body.

    Each is a four-byte length, the context ID, the message control header and the fragment
    (PS3.8 Figure 9-2). Raises ProtocolError where a length is below 2 or points past the end.
    """
    if not body:
        raise ProtocolError("P-DATA-TF PDU without a presentation data value")
    position = 0
    while position < len(body):
        if len(body) - position < 6:
            raise ProtocolError("presentation data value cut short")
        length, context_id, control = struct.unpack_from(">LBB", body, position)
        end = position + 4 + length
        if length < 2 or end > len(body):
            raise ProtocolError(f"presentation data value of length {length} in a PDU of {len(body)} bytes")
        yield Fragment(context_id, bool(control & 1), bool(control & 2), body[position + 6 : end])
        position = end


@dataclass(frozen=True, slots=True)
class CommandSet:
    """The elements of a command that steer a message (PS3.7 E.1)."""

    field: int
    message_id: int | None
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str


def command_set(encoded: bytes | bytearray) -> CommandSet:
    """Decode a command set: Implicit VR Little Endian, group 0000 only (PS3.7 6.3.1).

    Raises ProtocolError where a length points past the end, an element is of another group, or the
    Command Field or Command Data Set Type is missing.
    """
    elements: dict[int, bytes] = {}
    position = 0
    while position < len(encoded):
        if len(encoded) - position < 8:
            raise ProtocolError("command set cut short")
        group, element, length = struct.unpack_from("<HHL", encoded, position)
        position += 8
        if group != 0 or length > len(encoded) - position:
            raise ProtocolError(f"command set with element ({group:04X},{element:04X}) of length {length}")
        elements[element] = bytes(encoded[position : position + length])
        position += length
    field, data_set_type = _number(elements, 0x0100), _number(elements, 0x0800)
    if field is None or data_set_type is None:
        raise ProtocolError("command set without Command Field or Command Data Set Type")
    return CommandSet(
        field=field,
        message_id=_number(elements, 0x0110),
        has_data_set=data_set_type != _NO_DATA_SET,
        sop_class_uid=uid_text(elements.get(0x0002, b"")),
        sop_instance_uid=uid_text(elements.get(0x1000, b"")),
    )


def _number(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None


def uid_text(value: bytes) -> str:
    """A UI value without its padding: NUL as PS3.5 9.1 wants, or the space that many senders write."""
    return value.decode("latin-1").rstrip("\0 ")


def store_response(request: CommandSet, status: int, comment: str) -> bytes:
    """Encode a C-STORE-RSP (PS3.7 9.3.1.2, E.1); the UIDs are echoed where they are some.

    `comment` is the Error Comment (0000,0902), at most 64 characters of ASCII; left out where empty.
    """
    elements = [
        (0x0100, struct.pack("<H", Command.C_STORE_RSP)),
        (0x0120, struct.pack("<H", request.message_id or 0)),
        (0x0800, struct.pack("<H", _NO_DATA_SET)),
        (0x0900, struct.pack("<H", status)),
    ]
    if is_acceptable_uid(request.sop_class_uid):
        elements.insert(0, (0x0002, _even(request.sop_class_uid, b"\0")))
    if comment:
        elements.append((0x0902, _even(comment, b" ")))
    if is_acceptable_uid(request.sop_instance_uid):
        elements.append((0x1000, _even(request.sop_instance_uid, b"\0")))
    encoded = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(encoded)) + encoded


def _even(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    return value + padding * (len(value) % 2)


def command_pdus(context_id: int, command: bytes, maximum_length: int) -> bytes:
    """A command set as P-DATA-TF PDUs (PS3.8 9.3.5), none longer than the peer takes (0: any length)."""
    step = max(1, maximum_length - 6) if maximum_length else len(command)
    pdus = bytearray()
    for start in range(0, len(command), step):
        part = command[start : start + step]
        control = 1 | 2 * (start + step >= len(command))
        pdus += struct.pack(">BxLLBB", PDUType.P_DATA, len(part) + 6, len(part) + 2, context_id, control) + part
    return bytes(pdus)


def printable(text: str, longest: int = 64) -> str:
    """Text from the wire as one harmless piece of a log line: controls and non-ASCII escaped, cut."""
    return text.encode("unicode_escape").decode("ascii")[:longest]
