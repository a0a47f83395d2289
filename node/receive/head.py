"""The UIDs at the head of a data set, read while it streams past, and checked against the command.

This is all that is checked before the answer (cases 29 to 31): the rest is the indexer's, in a
process of its own. The scanner keeps no more than an element header and a UID, whatever stands
between, skips values by their length, and stops at the first element behind (0020,000E). Where a UID
is missing by then, because the elements are not in the order of their tags (PS3.5 7.1 wants them so, and
some senders do not write them so), it goes on, to the pixel data at most.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator

from node.dicom.uids import is_acceptable_uid
from node.dimse.contexts import BIG_ENDIAN, DEFLATED
from node.dimse.status import MismatchError, UnreadableDataSetError
from node.dimse.wire import printable, uid_text

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
_NAMES = {
    SOP_CLASS_UID: "SOP Class UID (0008,0016)",
    SOP_INSTANCE_UID: "SOP Instance UID (0008,0018)",
    STUDY_INSTANCE_UID: "Study Instance UID (0020,000D)",
    SERIES_INSTANCE_UID: "Series Instance UID (0020,000E)",
}
_IMPLICIT = "1.2.840.10008.1.2"
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""VRs whose length has two bytes (PS3.5 Table 7.1-2); every other, also any to come, has four (PS3.5 6.2.2)."""
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST = 512
"""Levels of nesting through which the scanner looks for the end of a sequence of undefined length."""
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float, Double Float and Pixel Data: no reader of headers looks behind them."""
_MOST_OUT_OF_ORDER = 100_000
"""Elements and items behind (0020,000E) that are passed in search of a missing UID."""
_LONGEST_UID_VALUE = 128
"""Bytes of a UI value that are worth reading: 64 are allowed, some senders pad."""
_MOST_INFLATED = 16 << 20
"""Bytes that are inflated in search of the UIDs (case 42)."""

_Steps = Generator[int, memoryview, None]
"""Yields how many bytes it needs next (negative: how many to skip), is sent those needed."""


class HeadScanner:
    """Feed it fragments; `uids` fills; `done` says that no more are needed.

    Raises UnreadableError where the bytes are not a data set in the transfer syntax.
    """

    def __init__(self, transfer_syntax_uid: str) -> None:
        self.uids: dict[int, str] = {}
        self.done = False
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if transfer_syntax_uid == DEFLATED else None
        self._inflated = 0
        self._explicit = transfer_syntax_uid != _IMPLICIT
        self._order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
        self._at_start = True
        self._behind = 0
        self._pending = bytearray()
        self._steps = self._elements()
        self._need = next(self._steps)

    def feed(self, fragment: memoryview) -> None:
        """The next bytes of the data set as they came."""
        if self.done:
            return
        if self._inflater is None:
            self._walk(fragment)
        else:
            self._inflate(self._inflater, fragment)

    def _inflate(self, inflater: zlib._Decompress, fragment: memoryview) -> None:
        pending: bytes | memoryview = fragment
        while len(pending) and not self.done:
            try:
                inflated = inflater.decompress(pending, 1 << 16)
            except zlib.error as error:
                raise UnreadableDataSetError(f"the deflated data set cannot be inflated: {error}") from error
            self._inflated += len(inflated)
            if self._inflated > _MOST_INFLATED:
                raise UnreadableDataSetError(f"no UIDs within the first {_MOST_INFLATED} inflated bytes")
            self._walk(memoryview(inflated))
            pending = inflater.unconsumed_tail
            if inflater.eof:  # what follows the stream's end is none of it, and zlib would keep all of that
                self.done = True

    def _walk(self, content: memoryview) -> None:
        position = 0
        while not self.done and position < len(content):
            if self._need < 0:
                skipped = min(-self._need, len(content) - position)
                position += skipped
                self._need += skipped
                if self._need == 0:
                    self._step(memoryview(b""))
                continue
            if not self._pending and self._need <= len(content) - position:  # nearly always: no copy
                chunk = content[position : position + self._need]
                position += self._need
                self._step(chunk)
                continue
            taken = min(self._need - len(self._pending), len(content) - position)
            self._pending += content[position : position + taken]
            position += taken
            if len(self._pending) == self._need:
                collected, self._pending = self._pending, bytearray()
                self._step(memoryview(collected))

    def _step(self, chunk: memoryview) -> None:
        try:
            self._need = self._steps.send(chunk)
        except StopIteration:
            self.done = True
        except UnreadableDataSetError:
            if not self._behind:
                raise
            self.done = True  # what is behind the usual place of the UIDs is the indexer's to judge

    def _elements(self) -> _Steps:
        """Walk the elements of the data set until the last UID is behind us."""
        while True:
            tag, vr, length = yield from self._header(self._explicit)
            self._at_start = False
            if self._ends_search(tag):
                return
            if tag < 0x00010000:  # other groups below 0008 are wrong too (PS3.5 7.8), but real files have them
                raise UnreadableDataSetError("data set with an element of a command's group 0000")
            if length == _UNDEFINED:
                yield from self._undefined(self._explicit and vr != b"UN")
            elif tag in _NAMES and length <= _LONGEST_UID_VALUE:
                value = (yield length) if length else memoryview(b"")
                self.uids.setdefault(tag, uid_text(bytes(value)))  # the first counts, as for the indexer
            elif length:
                yield -length

    def _ends_search(self, tag: int) -> bool:
        """Whether this element of the data set itself is behind all UIDs that will be found."""
        if tag <= SERIES_INSTANCE_UID and not self._behind:
            return False
        self._behind = max(self._behind, 1)
        return self.uids.keys() >= _NAMES.keys() or tag in _PIXELS

    def _header(self, explicit: bool) -> Generator[int, memoryview, tuple[int, bytes, int]]:
        """Tag, VR (empty for implicit and for items) and length of the next element (PS3.5 7.1)."""
        if self._behind:
            self._behind += 1
            if self._behind > _MOST_OUT_OF_ORDER:
                raise UnreadableDataSetError(f"no UIDs within {_MOST_OUT_OF_ORDER} elements")
        first = yield 8
        group, element = struct.unpack_from(self._order + "HH", first)
        tag = group << 16 | element
        if not explicit or group == 0xFFFE:
            return tag, b"", struct.unpack_from(self._order + "L", first, 4)[0]
        vr = bytes(first[4:6])
        if not (vr.isalpha() and vr.isupper() and vr.isascii()):
            if self._at_start and self._order == "<":
                self._explicit = False  # Implicit VR under another's name: seen in the field, and readers cope
                return tag, b"", struct.unpack_from("<L", first, 4)[0]
            raise UnreadableDataSetError(f"element ({group:04X},{element:04X}) has no value representation")
        if vr in _SHORT_VRS:
            return tag, vr, struct.unpack_from(self._order + "H", first, 6)[0]
        rest = yield 4
        return tag, vr, struct.unpack(self._order + "L", rest)[0]

    def _undefined(self, explicit: bool) -> _Steps:
        """Pass a sequence of undefined length: to its delimiter, through its items (PS3.5 7.5).

        Each level is a sequence or an item of undefined length, with the encoding inside it: UN of
        undefined length is Implicit VR inside (PS3.5 6.2.2, note 2).
        """
        levels = [explicit]
        while levels:
            tag, vr, length = yield from self._header(levels[-1])
            if tag in (_ITEM_END, _SEQUENCE_END):
                levels.pop()
            elif length == _UNDEFINED:
                if len(levels) >= _DEEPEST:
                    raise UnreadableDataSetError(f"sequences nested deeper than {_DEEPEST} levels")
                levels.append(levels[-1] and vr != b"UN")
            elif length:
                yield -length


def check_uids(found: dict[int, str], sop_class_uid: str, sop_instance_uid: str) -> None:
    """Hold the UIDs of a data set against its command's.

    Raises MismatchError where one is missing, empty or another than the command's.
    """
    for tag, name in _NAMES.items():
        if not found.get(tag):
            raise MismatchError(f"the data set has no {name}, or not before its pixel data")
    for tag, announced in ((SOP_CLASS_UID, sop_class_uid), (SOP_INSTANCE_UID, sop_instance_uid)):
        if found[tag] != announced:
            raise MismatchError(f"{_NAMES[tag]} {printable(found[tag])} is not the command's {printable(announced)}")


def check_command_uids(sop_class_uid: str, sop_instance_uid: str) -> None:
    """Raises UnreadableError where a UID of the command is none (PS3.5 9.1), whatever else it may be: a path, say."""
    for name, uid in (("Class", sop_class_uid), ("Instance", sop_instance_uid)):
        if not is_acceptable_uid(uid):
            raise UnreadableDataSetError(f"Affected SOP {name} UID {printable(uid)!r} is not a UID")
