"""Conversations of a DICOM peer that follows the grammar of PS3.7 and PS3.8 mostly, and breaks it somewhere.

Random bytes end at the first length; these are well-formed PDUs, presentation data values, command sets and data sets,
in which single fields lie.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.support.dimse.raw_dimse import (
    COMMAND_LAST,
    CT,
    EXPLICIT,
    IMPLICIT,
    INSTANCE,
    VERIFICATION,
    associate_rq,
    command,
    data_set,
    pdu,
    pdv,
    pixels,
)

CONTEXTS = {
    1: (CT, [EXPLICIT]),
    3: (VERIFICATION, [EXPLICIT]),
    5: (CT, [IMPLICIT]),
    7: (CT, ["1.2.840.10008.1.2.1.99"]),
}
UIDS = st.sampled_from([CT, VERIFICATION, INSTANCE, "1.2.3", "", "1" * 64, "1" * 65, "1..2", "../../x", "1.2\0.3", "a"])
SMALL = st.binary(max_size=40)
NUMBERS = st.sampled_from([0, 1, 2, 0x20, 0x101, 0x7FFF, 0x8001, 0xFFFF])
LENGTHS = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF])
VRS = st.sampled_from([b"UI", b"SQ", b"UN", b"OB", b"OW", b"CS", b"PN", b"UT", b"\0\0", b"ui", b"??", b"OV"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> bytes:
    """One element in Explicit VR Little Endian, perhaps a sequence, perhaps with a length that lies."""
    group = draw(st.sampled_from([0x0000, 0x0002, 0x0008, 0x0009, 0x0020, 0x0028, 0x7FE0, 0xFFFC, 0xFFFE]))
    number = draw(st.sampled_from([0x0000, 0x0001, 0x0010, 0x0016, 0x0018, 0x000D, 0x000E, 0x1140, 0xE000, 0xE00D]))
    vr = draw(VRS)
    if vr == b"SQ" and depth < 3:
        inner = b"".join(draw(st.lists(elements(depth + 1), max_size=3)))
        item = struct.pack("<HHL", 0xFFFE, 0xE000, draw(st.sampled_from([len(inner), 0xFFFFFFFF]))) + inner
        ends = draw(
            st.sampled_from([b"", struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), struct.pack("<HHL", 0xFFFE, 0xE00D, 0)])
        )
        content = item + ends
        return struct.pack("<HH2sHL", group, number, vr, 0, draw(st.sampled_from([len(content), 0xFFFFFFFF]))) + content
    content = draw(SMALL)
    length = draw(st.one_of(st.just(len(content)), LENGTHS))
    if vr in (b"UI", b"CS", b"PN"):
        return struct.pack("<HH2sH", group, number, vr, length & 0xFFFF) + content
    return struct.pack("<HH2sHL", group, number, vr, 0, length) + content


@st.composite
def data_sets(draw: st.DrawFn) -> bytes:
    """A data set that the node would store, or nearly one."""
    before = b"".join(draw(st.lists(elements(), max_size=2)))
    changes: dict[str, str | None] = {}
    for name in ("sop_class", "sop_instance", "study", "series"):
        if draw(st.integers(0, 5)) == 0:
            changes[name] = draw(st.one_of(st.none(), UIDS))
    middle = data_set(**changes)  # type: ignore[arg-type]
    after = b"".join(draw(st.lists(elements(), max_size=3)))
    return mutated(draw, before + middle + after + draw(st.sampled_from([b"", pixels(64), pixels(5000), b"\xff" * 9])))


def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Now and then with bytes changed, taken out or doubled."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        size = draw(st.sampled_from([1, 2, 4, 30]))
        with_ = draw(st.sampled_from([b"", b"\0" * size, b"\xff" * size, content[at : at + size] * 2]))
        content = content[:at] + with_ + content[at + size :]
    return content


@st.composite
def commands(draw: st.DrawFn) -> bytes:
    """A command set: C-STORE mostly."""
    field = draw(st.sampled_from([0x0001, 0x0001, 0x0001, 0x0001, 0x0030, 0x0020, 0x0130, 0x0FFF, 0x8001, 0x1234]))
    values: dict[str, int | str] = {"e0002": CT, "e0110": 1, "e0700": 0, "e1000": INSTANCE}
    for name in draw(st.lists(st.sampled_from(sorted(values)), max_size=1)):
        del values[name]
    for name in draw(st.lists(st.sampled_from(["e0002", "e0110", "e0800", "e0900", "e1000", "e1030"]), max_size=1)):
        values[name] = draw(st.one_of(UIDS, NUMBERS))
    return mutated(draw, command(field, **values))


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """The presentation data values of a message, in fragments of any size, in any context."""
    context = draw(st.sampled_from([1, 1, 1, 3, 5, 7, 0, 2, 255]))
    values = _fragments(draw, draw(commands()), context, 1)
    if draw(st.integers(0, 4)):
        values += _fragments(draw, draw(data_sets()), context, 0)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        values.insert(
            draw(st.integers(0, len(values))), pdv(draw(st.integers(0, 255)), draw(st.integers(0, 255)), draw(SMALL))
        )
    return values


def _fragments(draw: st.DrawFn, content: bytes, context: int, kind: int) -> list[bytes]:
    size = draw(st.sampled_from([1 << 20, 16000, 100, 7]))
    size = max(size, len(content) // 50, 1)
    parts = [content[start : start + size] for start in range(0, max(len(content), 1), size)]
    return [pdv(context, kind | (2 if number == len(parts) - 1 else 0), part) for number, part in enumerate(parts)]


@st.composite
def pdus(draw: st.DrawFn) -> bytes:
    """One PDU, or a message in one or several."""
    match draw(
        st.sampled_from(["message"] * 8 + ["release", "abort", "associate", "unknown", "lying", "echo", "noise"])
    ):
        case "message":
            values = draw(messages())
            return pdu(4, b"".join(values)) if draw(st.booleans()) else b"".join(pdu(4, value) for value in values)
        case "release":
            return pdu(5, bytes(4))
        case "abort":
            return pdu(7, draw(st.binary(min_size=4, max_size=4)))
        case "associate":
            return draw(associations())
        case "unknown":
            return pdu(draw(st.integers(0, 255)), draw(SMALL))
        case "lying":
            kind, body = draw(st.sampled_from([1, 2, 3, 4, 4, 4, 5, 6, 7])), draw(SMALL)
            return struct.pack(">BxL", kind, draw(LENGTHS)) + body
        case "echo":
            return pdu(4, pdv(3, COMMAND_LAST, command(0x0030, e0002=VERIFICATION, e0110=1, e0800=0x0101)))
        case _:
            return draw(SMALL)


@st.composite
def _user_items(draw: st.DrawFn) -> bytes:
    """Sub-items of the user information item (PS3.7 D.3.3), with lengths that may lie."""
    kind = draw(st.sampled_from([0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x00, 0xFF]))
    body = draw(st.one_of(SMALL, st.just(bytes(4)), st.just(struct.pack(">H17sxx", 17, CT[:17].encode()))))
    return struct.pack(">BxH", kind, draw(st.one_of(st.just(len(body)), st.sampled_from([0, 1, 4, 0xFFFF])))) + body


@st.composite
def associations(draw: st.DrawFn) -> bytes:
    """An A-ASSOCIATE-RQ PDU: right mostly."""
    if draw(st.integers(0, 3)):
        return associate_rq(contexts=CONTEXTS)
    contexts: dict[int, tuple[str, Sequence[str]]] = dict(CONTEXTS)
    for number in draw(st.lists(st.integers(0, 255), max_size=4)):
        contexts[number] = (draw(UIDS), draw(st.lists(UIDS, max_size=3)))
    request = associate_rq(
        calling=draw(st.binary(max_size=16)),
        contexts=contexts,
        maximum_length=draw(st.sampled_from([0, 1, 7, 8, 4096, 16384, 0xFFFFFFFF])),
        user_items=b"".join(draw(st.lists(_user_items(), max_size=3))),
        extra=draw(st.one_of(st.just(b""), _user_items())),
    )
    return mutated(draw, request)


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """All that one peer sends on one connection."""
    return draw(associations()) + b"".join(draw(st.lists(pdus(), max_size=6)))
