"""What is understood of an A-ASSOCIATE-AC that a peer answers us with (PS3.8 9.3.3).

pynetdicom 3.0.4 raises at items that it does not know, at AE titles that are none, and at a missing maximum length;
and it takes a transfer syntax for accepted that nobody proposed. So what it gets to see is written here, from what the
peer's answer says about the proposal. Pure functions over bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping

from node.dimse.wire import ProtocolError, is_acceptable_uid, uid_text

_FIXED_LENGTH = 68
"""Bytes before the variable items (PS3.8 Table 9-17)."""
_APPLICATION_CONTEXT, _PRESENTATION_CONTEXT, _TRANSFER_SYNTAX, _USER_INFORMATION = 0x10, 0x21, 0x40, 0x50
_MAXIMUM_LENGTH, _IMPLEMENTATION_CLASS, _ROLES = 0x51, 0x52, 0x54
_APPLICATION_CONTEXT_NAME = b"1.2.840.10008.3.1.1.1"
_RESERVED = b"RESERVED".ljust(16) * 2 + bytes(32)
"""In place of the AE titles, which shall not be tested (PS3.8 Table 9-17)."""
_ACCEPTANCE, _NO_REASON, _SYNTAXES_NOT_SUPPORTED = 0, 2, 4
_SMALLEST_PDU = 8
"""Bytes: of fewer, none are left for a fragment (PS3.8 D.1)."""


def understood(body: bytes, proposed: Mapping[int, Collection[str]], roles: Collection[str], longest: int) -> bytes:
    """The body of this A-ASSOCIATE-AC with only what answers the proposal.

    `proposed` is the transfer syntaxes of each presentation context ID, `roles` the SOP classes that roles were
    proposed for. A context that was not proposed is left out; one that is accepted in a transfer syntax that was not
    proposed is refused; so is what its item does not say clearly. The maximum length is `longest` at most, also where
    the peer says none. Raises ProtocolError where an item points past the end, or the peer takes no fragment.
    """
    if len(body) < _FIXED_LENGTH:
        raise ProtocolError(f"A-ASSOCIATE-AC of {len(body)} bytes")
    contexts: dict[int, bytes] = {}
    user_information = b""
    for kind, content in _items(body[_FIXED_LENGTH:]):
        if kind == _PRESENTATION_CONTEXT and len(content) >= 4 and content[0] in proposed:
            contexts.setdefault(content[0], _context(content, proposed[content[0]]))
        elif kind == _USER_INFORMATION:
            user_information += content
    return (
        struct.pack(">HH", 1, 0)
        + _RESERVED
        + _item(_APPLICATION_CONTEXT, _APPLICATION_CONTEXT_NAME)
        + b"".join(contexts.values())
        + _item(_USER_INFORMATION, _user_information(user_information, roles, longest))
    )


def _items(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(content):
        end = position + 4
        if end <= len(content):
            kind, length = struct.unpack_from(">BxH", content, position)
            end += length
        if end > len(content):
            raise ProtocolError("A-ASSOCIATE-AC with an item that is cut short")
        yield kind, content[position + 4 : end]
        position = end


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _context(content: bytes, proposed: Collection[str]) -> bytes:
    """The item of one presentation context (PS3.8 Table 9-18), which names a transfer syntax that was proposed."""
    result = content[2]
    named = [uid_text(syntax) for kind, syntax in _items(content[4:]) if kind == _TRANSFER_SYNTAX]
    if result == _ACCEPTANCE and not (named and named[0] in proposed):
        result = _SYNTAXES_NOT_SUPPORTED
    elif result > _SYNTAXES_NOT_SUPPORTED:
        result = _NO_REASON
    syntax = named[0] if result == _ACCEPTANCE else next(iter(proposed))
    return _item(
        _PRESENTATION_CONTEXT,
        struct.pack(">BxBx", content[0], result) + _item(_TRANSFER_SYNTAX, syntax.encode("ascii")),
    )


def _user_information(content: bytes, roles: Collection[str], longest: int) -> bytes:
    maximum, rest = 0, b""
    for kind, value in _items(content):
        if kind == _MAXIMUM_LENGTH and len(value) == 4:
            maximum = int.from_bytes(value, "big")
        elif kind == _IMPLEMENTATION_CLASS and is_acceptable_uid(uid_text(value)):
            rest += _item(kind, uid_text(value).encode("ascii"))
        elif kind == _ROLES and _is_answer_about_roles(value, roles):
            rest += _item(kind, value)
    if 0 < maximum < _SMALLEST_PDU:
        raise ProtocolError(f"A-ASSOCIATE-AC with a maximum length of {maximum} bytes")
    return _item(_MAXIMUM_LENGTH, struct.pack(">L", min(maximum or longest, longest))) + rest


def _is_answer_about_roles(value: bytes, proposed: Collection[str]) -> bool:
    """Whether it is a whole role selection sub-item (PS3.7 Table D.3-10), for a SOP class with proposed roles."""
    length = int.from_bytes(value[:2], "big")
    return len(value) == length + 4 and value[2:-2].decode("latin-1") in proposed and set(value[-2:]) <= {0, 1}
