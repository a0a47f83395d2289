"""What is understood of an A-ASSOCIATE-AC that a peer answers us with (PS3.8 9.3.3).

pynetdicom 3.0.4 raises at items that it does not know, at AE titles that are none, and at a missing maximum length;
and it takes a transfer syntax for accepted that nobody proposed. So what it gets to see is written here, from what the
peer's answer says about the proposal. Pure functions over bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping

from node.dimse.associate_items import (
    APPLICATION_CONTEXT_NAME,
    FIXED_LENGTH,
    ItemType,
    PresentationContextResult,
    UserInformation,
    encode_item,
    encode_result,
    items,
    named_in,
)
from node.dimse.wire import ProtocolError

_RESERVED = b"RESERVED".ljust(16) * 2 + bytes(32)
"""In place of the AE titles, which shall not be tested (PS3.8 Table 9-17)."""
_SMALLEST_PDU = 8
"""Bytes: of fewer, none are left for a fragment (PS3.8 D.1)."""


def understood(body: bytes, proposed: Mapping[int, Collection[str]], roles: Collection[str], longest: int) -> bytes:
    """The body of this A-ASSOCIATE-AC with only what answers the proposal.

    `proposed` is the transfer syntaxes of each presentation context ID, `roles` the SOP classes that roles were
    proposed for. A context that was not proposed is left out; one that is accepted in a transfer syntax that was not
    proposed is refused; so is what its item does not say clearly. The maximum length is `longest` at most, also where
    the peer says none. Raises ProtocolError where an item points past the end, or the peer takes no fragment.
    """
    if len(body) < FIXED_LENGTH:
        raise ProtocolError(f"A-ASSOCIATE-AC of {len(body)} bytes")
    contexts: dict[int, bytes] = {}
    user_information = b""
    for kind, content in items(body[FIXED_LENGTH:]):
        if kind == ItemType.CONTEXT_AC and len(content) >= 4 and content[0] in proposed:
            contexts.setdefault(content[0], _context(content, proposed[content[0]]))
        elif kind == ItemType.USER_INFORMATION:
            user_information += content
    return (
        struct.pack(">HH", 1, 0)
        + _RESERVED
        + encode_item(ItemType.APPLICATION_CONTEXT, APPLICATION_CONTEXT_NAME)
        + b"".join(contexts.values())
        + _user_information(user_information, roles, longest)
    )


def _context(content: bytes, proposed: Collection[str]) -> bytes:
    """The item of one presentation context (PS3.8 Table 9-18), which names a transfer syntax that was proposed."""
    result = content[2]
    named = named_in(content, ItemType.TRANSFER_SYNTAX)
    if result == PresentationContextResult.ACCEPTANCE and not (named and named[0] in proposed):
        result = PresentationContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
    elif result > PresentationContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED:
        result = PresentationContextResult.NO_REASON
    return encode_result(
        content[0], result, named[0] if result == PresentationContextResult.ACCEPTANCE else next(iter(proposed))
    )


def _user_information(content: bytes, roles: Collection[str], longest: int) -> bytes:
    found = UserInformation.read(content)
    if 0 < (found.maximum_length or 0) < _SMALLEST_PDU:
        raise ProtocolError(f"A-ASSOCIATE-AC with a maximum length of {found.maximum_length} bytes")
    found.maximum_length = min(found.maximum_length or longest, longest) // 2 * 2  # fragments are even
    found.roles = {uid: each for uid, each in found.roles.items() if uid in roles}
    return found.encode()
