"""What is understood of an A-ASSOCIATE-AC: anything a peer may write, and pynetdicom reads the outcome."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import A_ASSOCIATE

from node.dimse.associate_ac import understood
from node.dimse.wire import ProtocolError
from tests.support.dimse.raw_dimse import CT, EXPLICIT, IMPLICIT, accepted, associate_ac, item

PROPOSED = {1: [EXPLICIT], 3: [IMPLICIT, EXPLICIT]}


def _read(body: bytes) -> A_ASSOCIATE:
    encoded = understood(body, PROPOSED, [CT], 131072)
    read = A_ASSOCIATE_AC()
    read.decode(struct.pack(">BxL", 2, len(encoded)) + encoded)
    return read.to_primitive()


def _results(body: bytes) -> dict[int, tuple[int, list[str]]]:
    contexts = _read(body).presentation_context_definition_results_list
    return {each.context_id or 0: (each.result or 0, list(map(str, each.transfer_syntax))) for each in contexts}


def test_finding_x3_a_context_counts_as_accepted_only_in_a_syntax_that_was_proposed() -> None:
    """Both accepted; then the first in the second's syntax, the second twice, and one that nobody proposed."""
    assert _results(associate_ac(accepted(1) + accepted(3, IMPLICIT))[6:]) == {1: (0, [EXPLICIT]), 3: (0, [IMPLICIT])}
    odd = accepted(1, IMPLICIT) + accepted(3, EXPLICIT) + accepted(3, IMPLICIT) + accepted(5)
    assert _results(associate_ac(odd)[6:]) == {1: (4, [EXPLICIT]), 3: (0, [EXPLICIT])}


@pytest.mark.parametrize(("said", "taken"), [(None, 131072), (0, 131072), (16384, 16384), (1 << 32, 131072), (8, 8)])
def test_finding_x3_our_pdus_have_a_bound_where_the_peer_names_none(said: int | None, taken: int) -> None:
    """No maximum length, and 0, mean any length: ours stay what we take ourselves."""
    named = b"" if said is None else item(0x51, struct.pack(">L", min(said, 0xFFFFFFFF)))
    assert _read(associate_ac(user_items=named)[6:]).maximum_length_received == taken


_UID = st.sampled_from([EXPLICIT, IMPLICIT, CT, "1.2.840.10008.1.2.4.50", "", "x" * 70, "1.2\0", "é"])
_SUB_ITEM = st.builds(
    item, st.sampled_from([0x40, *range(0x51, 0x5A), 0x77]), st.binary(max_size=12) | _UID.map(lambda uid: uid.encode())
)
_CONTEXT = st.builds(
    lambda head, items: item(0x21, head + b"".join(items)),
    st.binary(min_size=4, max_size=4) | st.just(b"\1\0\0\0") | st.just(b"\3\0\0\0"),
    st.lists(_SUB_ITEM, max_size=3),
)
_USER = st.lists(_SUB_ITEM, max_size=4).map(lambda items: item(0x50, b"".join(items)))
_BODY = st.builds(
    lambda fixed, items: fixed + b"".join(items),
    st.binary(min_size=68, max_size=68),
    st.lists(_CONTEXT | _USER | st.builds(item, st.integers(0, 255), st.binary(max_size=8)), max_size=5),
)


@given(_BODY | st.binary(max_size=120))
@example(associate_ac(user_items=item(0x54, b"\x00\x19" + CT.encode() + b"\1\0"))[6:])
def test_finding_x3_whatever_a_peer_writes_is_read_or_refused(body: bytes) -> None:
    """A ProtocolError, or an acceptance that pynetdicom reads to the end and that names what was proposed only."""
    try:
        primitive = _read(body)
    except ProtocolError:
        return
    for context in primitive.presentation_context_definition_results_list:
        assert context.context_id in PROPOSED
        assert context.result != 0 or str(context.transfer_syntax[0]) in PROPOSED[context.context_id]
    assert 8 <= (primitive.maximum_length_received or 0) <= 131072
