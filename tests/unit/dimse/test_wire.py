"""Bytes of the upper layer and of commands: every bound is held before anything is believed."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import dsutils
from pynetdicom.dimse_messages import C_STORE_RSP

from node.dicom.uids import is_acceptable_uid
from node.dimse import wire
from tests.support.dimse.raw_dimse import command, data_set, pdu, pdv, store_rq


def test_a_p_data_header_within_the_announced_maximum_is_read() -> None:
    """Type and length come from the header alone."""
    assert wire.pdu_header(pdu(4, b"x" * 100)[:6], 100) == (wire.PDUType.P_DATA, 100)


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (4, 101),
        (4, 0xFFFFFFF0),
        (1, (1 << 20) + 1),
        (2, (1 << 20) + 1),
        (3, 5),
        (5, 65),
        (6, 0),
        (7, 1 << 31),
        (0, 4),
        (8, 4),
        (0x53, 4),
    ],
)
def test_fault_07_08_09_a_length_or_type_out_of_bounds_is_refused_at_the_header(kind: int, length: int) -> None:
    """Nothing of the announced length is needed to refuse it."""
    with pytest.raises(wire.ProtocolError):
        wire.pdu_header(struct.pack(">BxL", kind, length), 100)


def test_fragments_of_a_pdu_are_taken_apart_in_place() -> None:
    """Two presentation data values: context, command bit, last bit, content."""
    body = pdv(1, 3, b"command") + pdv(3, 0, b"data")
    first, second = wire.fragments(memoryview(body))
    assert (first.context_id, first.is_command, first.is_last, bytes(first.content)) == (1, True, True, b"command")
    assert (second.context_id, second.is_command, second.is_last, bytes(second.content)) == (3, False, False, b"data")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        struct.pack(">LBB", 0, 1, 0),
        struct.pack(">LBB", 1, 1, 0),
        struct.pack(">LBB", 3, 1, 0),
        struct.pack(">LBB", 0xFFFFFFFF, 1, 0) + b"x",
        b"\0\0\0",
        pdv(1, 0, b"whole") + b"\0",
    ],
)
def test_fault_10_a_pdv_length_of_0_or_1_or_past_the_end_is_refused(body: bytes) -> None:
    """A presentation data value must lie in its PDU and hold at least its two header bytes."""
    with pytest.raises(wire.ProtocolError):
        list(wire.fragments(memoryview(body)))


def test_a_c_store_command_is_decoded() -> None:
    """Padding of UIDs is gone, the rest as sent."""
    read = wire.command_set(store_rq("1.2.840.10008.5.1.4.1.1.2", "1.2.3", 7))
    assert read == wire.CommandSet(1, 7, True, "1.2.840.10008.5.1.4.1.1.2", "1.2.3")


@pytest.mark.parametrize("encoded", [b"", b"\0" * 7, data_set(), store_rq()[:-3], command(1)[:20]])
def test_fault_11_a_garbage_command_set_is_refused(encoded: bytes) -> None:
    """Another group, a length past the end, a missing Command Field."""
    with pytest.raises(wire.ProtocolError):
        wire.command_set(encoded)


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(content: bytes) -> None:
    """No other exception than ProtocolError leaves the decoders."""
    for decode in (wire.command_set, lambda b: list(wire.fragments(memoryview(b)))):
        try:
            decode(content)
        except wire.ProtocolError:
            continue


@pytest.mark.parametrize(
    ("value", "uid", "acceptable"),
    [
        (b"1.2.3\0", "1.2.3", True),
        (b"1.2.3 ", "1.2.3", True),
        (b"1.02.003", "1.02.003", True),
        (b"", "", False),
        (b"1" * 65, "1" * 65, False),
        (b"../../etc/passwd", "../../etc/passwd", False),
        (b"/tmp/x", "/tmp/x", False),
        (b"1.2\x003", "1.2\x003", False),
        (b"1.2;rm -rf", "1.2;rm -rf", False),
    ],
)
def test_fault_29_what_counts_as_a_uid(value: bytes, uid: str, acceptable: bool) -> None:
    """Padding and leading zeroes pass; length and characters are held."""
    assert wire.uid_text(value) == uid
    assert is_acceptable_uid(uid) is acceptable


def test_fault_27_control_characters_are_escaped_for_the_log() -> None:
    """A line break or an escape sequence from the wire cannot make a log line."""
    assert wire.printable("A\nB\x1b[31m\r") == "A\\nB\\x1b[31m\\r"


def _command_of(pdus: bytes, longest: int) -> bytes:
    """What the PDUs carry, each within its length; only the last is marked so."""
    content, controls = b"", []
    while pdus:
        kind, length = wire.pdu_header(pdus[:6], 1 << 20)
        assert kind is wire.PDUType.P_DATA
        assert length <= longest
        (fragment,) = wire.fragments(memoryview(pdus)[6 : 6 + length])
        assert fragment.is_command
        controls.append(fragment.is_last)
        content += fragment.content
        pdus = pdus[6 + length :]
    assert controls == [False] * (len(controls) - 1) + [True]
    return content


@pytest.mark.parametrize("longest", [0, 40, 16384])
def test_pynetdicom_reads_our_store_response(longest: int) -> None:
    """Message ID, UIDs, status and comment, whatever length of PDU the peer takes (PS3.7 9.3.1.2)."""
    request = wire.command_set(store_rq(message_id=7))
    encoded = wire.store_response(request, 0xA900, "odd")
    carried = _command_of(wire.command_pdus(3, encoded, longest), longest or 1 << 20)
    assert carried == encoded
    message = C_STORE_RSP()
    message.command_set = dsutils.decode(BytesIO(carried), True, True)
    response = message.message_to_primitive()
    assert (response.MessageIDBeingRespondedTo, response.Status) == (7, 0xA900)
    assert response.AffectedSOPClassUID == request.sop_class_uid
    assert response.AffectedSOPInstanceUID == request.sop_instance_uid
    assert message.command_set.ErrorComment == "odd"
    assert message.command_set.CommandGroupLength == len(carried) - 12


def test_a_store_response_echoes_no_uid_that_is_none() -> None:
    """What was refused as no UID is not sent back as one."""
    request = wire.CommandSet(wire.Command.C_STORE_RQ, 1, True, "1.2/..", "")
    response = wire.command_set(wire.store_response(request, 0xC000, ""))
    assert (response.sop_class_uid, response.sop_instance_uid) == ("", "")
