"""What is understood of an A-ASSOCIATE-RQ that a peer opens an association with, and what it is answered (PS3.8 9.3.2).

pynetdicom 3.0.4 raises at items that it does not know, at bytes above 7F, at AE titles padded with NUL, at presentation
contexts without a transfer syntax or with an even ID, and takes no protocol version but 1: one odd item costs the
association. So what it gets to see is written here; contexts that are left out are refused in our answer, one by one.
Pure functions over bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from node.dimse.associate_items import (
    APPLICATION_CONTEXT_NAME,
    FIXED_LENGTH,
    TITLES,
    ItemType,
    PresentationContextResult,
    UserInformation,
    encode_item,
    encode_result,
    items,
    named_in,
)
from node.dimse.wire import HEADER_LENGTH, ProtocolError

_PLACEHOLDERS = b"CALLED".ljust(16) + b"CALLING".ljust(16)
"""In place of the AE titles, which `Proposal` has."""
_IMPLICIT = "1.2.840.10008.1.2"
"""In the answer to a context that is refused: it is not significant there (PS3.8 Table 9-18)."""
_IN_TITLES = frozenset(chr(number) for number in range(32, 127)) - {"\\"} | {chr(number) for number in range(160, 256)}


@dataclass(frozen=True, slots=True)
class Proposal:
    """An A-ASSOCIATE-RQ."""

    body: bytes
    """Of the PDU that pynetdicom is to see: what it can read, and nothing else."""
    titles: bytes
    """Called and calling AE title as they came, 32 bytes."""
    refused: dict[int, PresentationContextResult]
    """Presentation context IDs that `body` leaves out, and why."""

    @property
    def called_ae_title(self) -> str:
        """As text, see `title_text`."""
        return title_text(self.titles[:16])

    @property
    def calling_ae_title(self) -> str:
        """As text, see `title_text`."""
        return title_text(self.titles[16:])

    def answer(self, pdu: bytes) -> bytes:
        """Our A-ASSOCIATE-AC PDU `pdu` with the AE titles as they came (PS3.8 Table 9-17), and the refused contexts."""
        fixed_end = HEADER_LENGTH + FIXED_LENGTH
        fixed = bytearray(pdu[HEADER_LENGTH:fixed_end])
        fixed[TITLES] = self.titles
        user_information = b""
        others = b""
        for kind, content in items(pdu[fixed_end:]):
            if kind == ItemType.USER_INFORMATION:
                user_information = encode_item(kind, content)
            else:
                others += encode_item(kind, content)
        refused = b"".join(encode_result(number, why, _IMPLICIT) for number, why in self.refused.items())
        body = bytes(fixed) + others + refused + user_information
        return struct.pack(">BxL", pdu[0], len(body)) + body


def read_proposal(body: bytes) -> Proposal:
    """The body of an A-ASSOCIATE-RQ.

    A presentation context is refused where its ID is even, or it names no abstract syntax or no transfer syntax that is
    a UID; of two with the same ID the first counts. Raises ProtocolError where an item points
    past the end.
    """
    if len(body) < FIXED_LENGTH:
        raise ProtocolError(f"A-ASSOCIATE-RQ of {len(body)} bytes")
    contexts: dict[int, bytes] = {}
    refused: dict[int, PresentationContextResult] = {}
    user_information = b""
    for kind, content in items(body[FIXED_LENGTH:]):
        if kind == ItemType.USER_INFORMATION:
            user_information += content
        elif kind == ItemType.CONTEXT_RQ and content and content[0] not in contexts.keys() | refused.keys():
            context = _context(content)
            if isinstance(context, PresentationContextResult):
                refused[content[0]] = context
            else:
                contexts[content[0]] = context
    version = 1 if body[1] & 1 else 0  # only this bit is to be tested (PS3.8 Table 9-11)
    understood = (
        struct.pack(">HH", version, 0)
        + _PLACEHOLDERS
        + bytes(32)
        + encode_item(ItemType.APPLICATION_CONTEXT, APPLICATION_CONTEXT_NAME)
        + b"".join(contexts.values())
        + _user_information(user_information)
    )
    return Proposal(understood, body[TITLES], refused)


def _context(content: bytes) -> bytes | PresentationContextResult:
    """The item of one presentation context (PS3.8 Table 9-13), or why it is refused."""
    abstract = next(iter(named_in(content, ItemType.ABSTRACT_SYNTAX)), "")
    syntaxes = [uid for uid in named_in(content, ItemType.TRANSFER_SYNTAX) if uid]
    if not content[0] & 1:
        return PresentationContextResult.NO_REASON
    if not abstract:
        return PresentationContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    if not syntaxes:
        return PresentationContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
    named = encode_item(ItemType.ABSTRACT_SYNTAX, abstract.encode("ascii"))
    for uid in syntaxes:
        named += encode_item(ItemType.TRANSFER_SYNTAX, uid.encode("ascii"))
    return encode_item(ItemType.CONTEXT_RQ, struct.pack(">Bxxx", content[0]) + named)


def _user_information(content: bytes) -> bytes:
    """Roles in which the peer is neither SCU nor SCP are no proposal (PS3.7 D.3.3.4)."""
    found = UserInformation.read(content)
    found.roles = {uid: roles for uid, roles in found.roles.items() if any(roles)}
    return found.encode()


def title_text(title: bytes) -> str:
    """An AE title as text: what stands before a NUL, without the spaces around it (PS3.8 Table 9-11, PS3.5 6.2).

    Bytes above 7F are read as Latin-1; `?` stands for control characters and the backslash, which an AE title must not
    have: it goes into data elements, where the backslash parts values.
    """
    text = title.partition(b"\0")[0].decode("latin-1").strip(" ")
    return "".join(each if each in _IN_TITLES else "?" for each in text)
