"""What is understood of an A-ASSOCIATE-RQ: anything a peer may write, and pynetdicom reads the outcome."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_RQ

from node.dimse.associate_items import PresentationContextResult
from node.dimse.associate_rq import Proposal, read_proposal, title_text
from node.dimse.wire import ProtocolError
from tests.support.dimse.odd_requests import ODD, Request, context
from tests.support.dimse.raw_dimse import CT, EXPLICIT, associate_ac, item

_UID = st.sampled_from([EXPLICIT, CT, "1.2.840.10008.1.1", "", "1" * 70, "1.2\0", "1.2 ", "é", "1.02"])
_SUB_ITEM = st.builds(
    item,
    st.sampled_from([0x30, 0x40, *range(0x51, 0x5A), 0x77]),
    st.binary(max_size=12) | _UID.map(lambda uid: uid.encode("latin-1")),
)
_CONTEXT = st.builds(
    lambda head, items: item(0x20, head + b"".join(items)),
    st.binary(max_size=4) | st.just(b"\1\0\0\0") | st.just(b"\3\0\0\0"),
    st.lists(_SUB_ITEM, max_size=4),
)
_USER = st.lists(_SUB_ITEM, max_size=4).map(lambda items: item(0x50, b"".join(items)))
_BODY = st.builds(
    lambda fixed, items: fixed + b"".join(items),
    st.binary(min_size=68, max_size=68),
    st.lists(_CONTEXT | _USER | st.builds(item, st.integers(0, 255), st.binary(max_size=8)), max_size=6),
)


def _contexts(proposal: Proposal) -> list[tuple[int, str, list[str]]]:
    read = A_ASSOCIATE_RQ()
    read.decode(struct.pack(">BxL", 1, len(proposal.body)) + proposal.body)
    listed = read.to_primitive().presentation_context_definition_list
    return [(each.context_id or 0, str(each.abstract_syntax), list(map(str, each.transfer_syntax))) for each in listed]


@given(_BODY | st.binary(max_size=120))
@example(ODD["200-contexts"].encoded[6:])
def test_findings_a1_to_a6_whatever_a_peer_writes_is_read_or_refused(body: bytes) -> None:
    """A ProtocolError, or a request that pynetdicom reads to its end; no context ID is both in it and refused."""
    try:
        proposal = read_proposal(body)
    except ProtocolError:
        return
    listed = _contexts(proposal)
    numbers = [number for number, _, _ in listed]
    assert len(numbers) == len(set(numbers)) <= 128
    assert not proposal.refused.keys() & set(numbers)
    assert all(abstract and syntaxes for _, abstract, syntaxes in listed)
    assert len(proposal.body) <= len(body) + 200


def test_finding_a2_of_two_contexts_with_one_id_the_first_counts() -> None:
    """Also where the first is refused: each ID is answered once."""
    twice = context(1) + context(1, b"1.2.3") + context(3, b"\xff") + context(3)
    proposal = read_proposal(Request(twice).encoded[6:])
    assert _contexts(proposal) == [(1, CT, [EXPLICIT])]
    assert proposal.refused == {3: PresentationContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED}


def test_finding_a1_the_answer_lists_what_pynetdicom_never_saw() -> None:
    """Each refused context, before the user information (PS3.8 9.3.3), and the titles byte for byte."""
    request = Request(context(1) + context(3, b"\xff") + context(4), calling=b"RAW".ljust(16, b"\0"))
    answer = read_proposal(request.encoded[6:]).answer(associate_ac())
    assert struct.unpack(">BxL", answer[:6]) == (2, len(answer) - 6)
    assert answer[10:42] == request.called + request.calling
    kinds, position = [], 74
    while position < len(answer):
        kind, length = struct.unpack_from(">BxH", answer, position)
        kinds.append((kind, answer[position + 4], answer[position + 6]) if kind == 0x21 else (kind,))
        position += 4 + length
    assert kinds == [(0x10,), (0x21, 1, 0), (0x21, 3, 3), (0x21, 4, 2), (0x50,)]


@pytest.mark.parametrize(
    ("title", "text"),
    [
        (b"CT1             ", "CT1"),
        (b"CT1\0\0\0\0\0\0\0\0\0\0\0\0\0", "CT1"),
        (b"CT1 \0 rubbish\xff  ", "CT1"),
        (b"  CT 1          ", "CT 1"),
        (b"\0\0", ""),
        (b"R\xc3\xb6ntgen\\1\x7f\x85    ", "RÃ¶ntgen?1??"),
    ],
)
def test_finding_a3_titles_as_text(title: bytes, text: str) -> None:
    """NUL ends it, as in dcmtk; what may not stand in a data element is replaced."""
    assert title_text(title) == text
