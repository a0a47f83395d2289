"""A-ASSOCIATE-RQ PDUs that real senders write although PS3.8 does not, or that few senders write although it does.

Each proposes CT in context 1, or says so, and something odd beside or around it. dcmtk's storescp and Orthanc let
nearly all of them in.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.dimse.raw_dimse import CT, EXPLICIT, IMPLICIT, item, pdu

_MR = b"1.2.840.10008.5.1.4.1.1.4"
APPLICATION_CONTEXT = item(0x10, b"1.2.840.10008.3.1.1.1")
MAXIMUM_LENGTH = item(0x51, struct.pack(">L", 16384))
USER = MAXIMUM_LENGTH + item(0x52, b"1.2.3.4")


def context(
    number: int, abstract: bytes | None = CT.encode(), syntaxes: Sequence[bytes] = (EXPLICIT.encode(),)
) -> bytes:
    """A presentation context item (PS3.8 Table 9-13); None leaves the abstract syntax out."""
    named = b"" if abstract is None else item(0x30, abstract)
    return item(0x20, struct.pack(">Bxxx", number) + named + b"".join(item(0x40, each) for each in syntaxes))


def role(uid: bytes, scu: int = 1, scp: int = 0, length: int | None = None) -> bytes:
    """A role selection sub-item (PS3.7 Table D.3-9)."""
    return item(0x54, struct.pack(">H", len(uid) if length is None else length) + uid + bytes((scu, scp)))


def identity(kind: int, wants_answer: int = 0, first: bytes = b"user", second: bytes = b"") -> bytes:
    """A user identity sub-item (PS3.7 Table D.3-14)."""
    return item(
        0x58,
        struct.pack(">BBH", kind, wants_answer, len(first)) + first + struct.pack(">H", len(second)) + second,
    )


@dataclass(frozen=True)
class Request:
    """The parts of an A-ASSOCIATE-RQ."""

    contexts: bytes = context(1)
    user: bytes = USER
    called: bytes = b"PACSNODE".ljust(16)
    calling: bytes = b"RAW".ljust(16)
    version: int = 1
    before: bytes = APPLICATION_CONTEXT
    behind: bytes = b""
    user_items: bytes | None = None
    """In place of the user information item."""
    results: Mapping[int, int] = field(default_factory=lambda: {1: 0})
    """Presentation context ID → result in the answer (PS3.8 Table 9-18)."""

    @property
    def encoded(self) -> bytes:
        """The PDU."""
        user = item(0x50, self.user) if self.user_items is None else self.user_items
        fixed = struct.pack(">Hxx16s16s32x", self.version, self.called, self.calling)
        return pdu(1, fixed + self.before + self.contexts + user + self.behind)


ODD = {
    "uid-8-bit": Request(context(1) + context(3, b"1.2.840.\xe9\xff.1"), results={1: 0, 3: 3}),
    "uid-8-bit-first": Request(context(3, b"1.2.840.\xe9\xff.1") + context(1), results={1: 0, 3: 3}),
    "uid-letters": Request(context(1) + context(3, b"1.2.abc"), results={1: 0, 3: 3}),
    "uid-long": Request(context(1) + context(3, b"1." * 60 + b"1"), results={1: 0, 3: 3}),
    "uid-empty": Request(context(1) + context(3, b""), results={1: 0, 3: 3}),
    "uid-space-padded": Request(context(1, CT.encode() + b" ")),
    "uid-nul-padded": Request(context(1, CT.encode() + b"\0", [EXPLICIT.encode() + b"\0"])),
    "syntax-8-bit": Request(context(1) + context(3, _MR, [b"1.2\xff"]), results={1: 0, 3: 4}),
    "syntax-8-bit-beside-a-good-one": Request(context(1, syntaxes=[b"1.2\xff", EXPLICIT.encode()])),
    "syntax-empty-beside-a-good-one": Request(context(1, syntaxes=[b"", EXPLICIT.encode()])),
    "even-id": Request(context(1) + context(2, _MR), results={1: 0, 2: 2}),
    "id-0": Request(context(1) + context(0, _MR), results={1: 0, 0: 2}),
    "only-an-even-id": Request(context(2), results={2: 2}),
    "no-transfer-syntax": Request(context(1) + context(3, _MR, []), results={1: 0, 3: 4}),
    "no-abstract-syntax": Request(context(1) + context(3, None), results={1: 0, 3: 3}),
    "context-of-4-bytes": Request(context(1) + context(3, None, []), results={1: 0, 3: 3}),
    "context-of-1-byte": Request(context(1) + item(0x20, b"\x03"), results={1: 0, 3: 3}),
    "context-of-0-bytes": Request(context(1) + item(0x20, b"")),
    "same-id-twice": Request(context(1) + context(1, _MR, [IMPLICIT.encode()])),
    "same-context-twice": Request(context(1) + context(1)),
    "two-abstract-syntaxes": Request(
        item(0x20, struct.pack(">Bxxx", 1) + item(0x30, CT.encode()) + item(0x30, _MR) + item(0x40, EXPLICIT.encode()))
    ),
    "200-contexts": Request(
        b"".join(context(number % 256) for number in range(1, 401, 2)), results=dict.fromkeys(range(1, 256, 2), 0)
    ),
    "no-context": Request(b"", results={}),
    "unknown-item-in-a-context": Request(
        item(0x20, struct.pack(">Bxxx", 1) + item(0x30, CT.encode()) + item(0x77, b"?") + item(0x40, EXPLICIT.encode()))
    ),
    "unknown-item": Request(behind=item(0x77, b"private")),
    "unknown-item-first": Request(before=item(0x99, b"") + APPLICATION_CONTEXT),
    "unknown-sub-item": Request(user=USER + item(0x5F, b"\0\1")),
    "unknown-sub-item-first": Request(user=item(0xFF, b"") + USER),
    "application-context-nul-padded": Request(before=item(0x10, b"1.2.840.10008.3.1.1.1\0")),
    "no-maximum-length": Request(user=item(0x52, b"1.2.3.4")),
    "maximum-length-of-2-bytes": Request(user=item(0x51, b"\x40\0") + item(0x52, b"1.2.3.4")),
    "maximum-length-of-0-bytes": Request(user=item(0x51, b"") + item(0x52, b"1.2.3.4")),
    "maximum-length-twice": Request(user=USER + MAXIMUM_LENGTH),
    "implementation-uid-8-bit": Request(user=MAXIMUM_LENGTH + item(0x52, b"1.2.\xff")),
    "implementation-uid-empty": Request(user=MAXIMUM_LENGTH + item(0x52, b"")),
    "implementation-uid-long": Request(user=MAXIMUM_LENGTH + item(0x52, b"1" * 90)),
    "no-implementation-uid": Request(user=MAXIMUM_LENGTH),
    "version-name-long": Request(user=USER + item(0x55, b"A VERSION NAME OF MORE THAN 16")),
    "version-name-8-bit": Request(user=USER + item(0x55, b"V\xe9RSION")),
    "version-name-empty": Request(user=USER + item(0x55, b"")),
    "no-user-sub-items": Request(user=b""),
    "no-user-information": Request(user_items=b""),
    "user-information-twice": Request(user_items=item(0x50, USER) + item(0x50, item(0x55, b"TWICE"))),
    "role-of-an-unknown-class": Request(user=USER + role(b"1.2.3.4.5")),
    "role-8-bit": Request(user=USER + role(b"1.2.\xff")),
    "role-neither": Request(user=USER + role(_MR, 0, 0)),
    "role-values": Request(user=USER + role(_MR, 7, 9)),
    "role-cut-short": Request(user=USER + role(_MR, length=90)),
    "role-twice": Request(user=USER + role(_MR) * 2),
    "role-of-2-bytes": Request(user=USER + item(0x54, b"\0\0")),
    "role-of-0-bytes": Request(user=USER + item(0x54, b"")),
    "window": Request(user=USER + item(0x53, struct.pack(">HH", 0, 0))),
    "window-of-2-bytes": Request(user=USER + item(0x53, b"\0\1")),
    "window-twice": Request(user=USER + item(0x53, struct.pack(">HH", 5, 5)) * 2),
    "extended": Request(user=USER + item(0x56, struct.pack(">H", len(CT)) + CT.encode() + b"\1\0\1")),
    "extended-of-another-class": Request(user=USER + item(0x56, b"\0\x07" + b"1.2.\xff.4" + b"\1")),
    "extended-cut-short": Request(user=USER + item(0x56, b"\0\xff1.2")),
    "extended-of-0-bytes": Request(user=USER + item(0x56, b"")),
    "common-extended": Request(
        user=USER + item(0x57, struct.pack(">H", len(CT)) + CT.encode() + b"\0\x111.2.840.10008.4.2" + b"\0\0")
    ),
    "common-extended-cut-short": Request(user=USER + item(0x57, b"\0\xff1.2")),
    "common-extended-of-0-bytes": Request(user=USER + item(0x57, b"")),
    "user-name": Request(user=USER + identity(1)),
    "user-name-and-answer": Request(user=USER + identity(1, 1)),
    "user-and-passcode": Request(user=USER + identity(2, second=b"secret")),
    "kerberos": Request(user=USER + identity(3, first=b"\0\xff\1")),
    "saml": Request(user=USER + identity(4, first=b"<saml/>")),
    "json-web-token": Request(user=USER + identity(5, first=b"a.b.c")),
    "identity-of-an-unknown-type": Request(user=USER + identity(9)),
    "identity-of-another-answer": Request(user=USER + identity(1, 7)),
    "identity-8-bit": Request(user=USER + identity(1, first=b"Mus\xe9e")),
    "identity-empty": Request(user=USER + identity(1, first=b"")),
    "identity-cut-short": Request(user=USER + item(0x58, b"\1\0\0\xff")),
    "identity-of-0-bytes": Request(user=USER + item(0x58, b"")),
    "identity-twice": Request(user=USER + identity(1) * 2),
    "user-information-first": Request(before=item(0x50, USER) + APPLICATION_CONTEXT, user_items=b""),
    "called-nul-padded": Request(called=b"PACSNODE".ljust(16, b"\0")),
    "called-nul-and-rubbish": Request(called=b"PACSNODE\0\xff\x01ABCDE"),
    "called-space-first": Request(called=b"  PACSNODE      "),
    "calling-nul-padded": Request(calling=b"RAW".ljust(16, b"\0")),
    "calling-8-bit": Request(calling="SALLE É".encode("latin-1").ljust(16)),
    "calling-backslash": Request(calling=b"A\\B".ljust(16)),
    "calling-control": Request(calling=b"A\nB\x1b[2J".ljust(16)),
    "calling-empty": Request(calling=b"".ljust(16)),
    "calling-only-nul": Request(calling=b"".ljust(16, b"\0")),
    "protocol-version-3": Request(version=3),
    "protocol-version-ffff": Request(version=0xFFFF),
}
"""Name of what is odd → the request."""
