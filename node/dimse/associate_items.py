"""Items and sub-items of A-ASSOCIATE-RQ and A-ASSOCIATE-AC PDUs (PS3.8 9.3.2, 9.3.3; PS3.7 D.3.3).

Unknown ones are ignored (PS3.8 9.3.1), and so are those that do not have the form that they should have. Pure functions
over bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from node.dicom.uids import is_acceptable_uid
from node.dimse.wire import ProtocolError, uid_text

FIXED_LENGTH = 68
"""Bytes before the variable items (PS3.8 Tables 9-11 and 9-17)."""
TITLES = slice(4, 36)
"""The called and the calling AE title, 16 bytes each."""
APPLICATION_CONTEXT_NAME = b"1.2.840.10008.3.1.1.1"


class ItemType(IntEnum):
    """Item-types (PS3.8 9.3.2, 9.3.3; PS3.7 D.3.3): those that are read here."""

    APPLICATION_CONTEXT = 0x10
    CONTEXT_RQ = 0x20
    CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS = 0x52
    ROLES = 0x54


class PresentationContextResult(IntEnum):
    """Result/Reason of a presentation context (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


def encode_item(kind: int, content: bytes) -> bytes:
    """Type, a reserved byte, length, content."""
    return struct.pack(">BxH", kind, len(content)) + content


def encode_result(context_id: int, result: int, transfer_syntax: str) -> bytes:
    """A presentation context item of an A-ASSOCIATE-AC (PS3.8 Table 9-18)."""
    named = encode_item(ItemType.TRANSFER_SYNTAX, transfer_syntax.encode("ascii"))
    return encode_item(ItemType.CONTEXT_AC, struct.pack(">BxBx", context_id, result) + named)


def items(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The items of a PDU, or the sub-items of its user information. Raises ProtocolError where one is cut short."""
    position = 0
    while position < len(content):
        end = position + 4
        if end <= len(content):
            kind, length = struct.unpack_from(">BxH", content, position)
            end += length
        if end > len(content):
            raise ProtocolError("association request or answer with an item that is cut short")
        yield kind, content[position + 4 : end]
        position = end


def named_in(context: bytes, kind: ItemType) -> list[str]:
    """The UIDs of this kind that the sub-items of a presentation context name, without padding; what is none is "".

    A sub-item that is cut short ends the list: it costs this context, and no other.
    """
    found: list[str] = []
    try:
        for each, value in items(context[4:]):
            if each == kind:
                uid = uid_text(value)
                found.append(uid if is_acceptable_uid(uid) else "")
    except ProtocolError:
        return found
    return found


@dataclass(slots=True)
class UserInformation:
    """What matters here of a user information item (PS3.7 D.3.3).

    No other sub-item changes an answer of ours: user identities are not judged, and an asynchronous operations window
    or an extended negotiation that is not answered is not agreed (PS3.7 D.3.3.3, D.3.3.5, D.3.3.7).
    """

    maximum_length: int | None = None
    """None where it is missing."""
    implementation_class: str = ""
    roles: dict[str, tuple[int, int]] = field(default_factory=dict)
    """SOP class → SCU role, SCP role."""

    @staticmethod
    def read(content: bytes) -> UserInformation:
        """Raises ProtocolError where a sub-item is cut short."""
        found = UserInformation()
        for kind, value in items(content):
            if kind == ItemType.MAXIMUM_LENGTH and len(value) == 4:
                found.maximum_length = int.from_bytes(value, "big")
            elif kind == ItemType.IMPLEMENTATION_CLASS and is_acceptable_uid(uid_text(value)):
                found.implementation_class = uid_text(value)
            elif kind == ItemType.ROLES and len(value) == int.from_bytes(value[:2], "big") + 4:
                uid, roles = uid_text(value[2:-2]), (value[-2], value[-1])
                if is_acceptable_uid(uid) and set(roles) <= {0, 1}:
                    found.roles.setdefault(uid, roles)
        return found

    def encode(self) -> bytes:
        """A user information item with what is in here."""
        content = encode_item(ItemType.MAXIMUM_LENGTH, struct.pack(">L", self.maximum_length or 0))
        if self.implementation_class:
            content += encode_item(ItemType.IMPLEMENTATION_CLASS, self.implementation_class.encode("ascii"))
        for uid, roles in self.roles.items():
            content += encode_item(ItemType.ROLES, struct.pack(">H", len(uid)) + uid.encode("ascii") + bytes(roles))
        return encode_item(ItemType.USER_INFORMATION, content)
