"""A DICOM file (PS3.10) of another program, mapped: its data set as elements, and written again with some changed."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Literal

from pydicom import filereader
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from node.dicom import writing
from node.dicom.confidentiality.part10 import meta_information, pixels_as_written
from node.dicom.deflated import inflate
from node.dicom.elements import PIXELS, Contents, Elements, parse, text_of
from node.errors import PermanentError
from node.own_notes import OwnNote

SOP_CLASS, SOP_INSTANCE, SERIES, STUDY = 0x00080016, 0x00080018, 0x0020000E, 0x0020000D
_OF_PATIENTS = "1.2.840.10008."
_MOST_INFLATED = 256 * 2**20
"""Bytes of a deflated data set, which is in memory as a whole: such are reports and masks."""
_NOT_STORED = ("Commitment", "Directory", "Management")


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """One object, as its file has it."""

    file: memoryview
    """All of it."""
    syntax: str
    """Transfer syntax of the data set."""
    contents: Contents

    def text(self, tag: int) -> str:
        """An ASCII value of the data set; "" where it is absent."""
        return text_of(self.contents.elements, tag)

    def with_elements(self, elements: Elements) -> Iterator[bytes | memoryview]:
        """The file with these elements before its pixels, piece by piece; what comes after the pixels is left out.

        A deflated data set is inflated then: its elements are those of Explicit VR Little Endian.
        """
        head = {tag: raw for tag, raw in elements.items() if tag not in PIXELS}
        deflated = self.syntax == DeflatedExplicitVRLittleEndian
        syntax = "1.2.840.10008.1.2.1" if deflated else self.syntax
        yield meta_information(text_of(head, SOP_CLASS), text_of(head, SOP_INSTANCE), syntax)
        yield writing.encoded(head, implicit=self.is_implicit, little=self.contents.little)
        yield from self._pixels()

    @property
    def is_implicit(self) -> bool:
        """Whether its transfer syntax is that of implicit VR; some writers announce another one than they write."""
        return self.syntax == ImplicitVRLittleEndian

    def _pixels(self) -> Iterator[bytes | memoryview]:
        """The element of the pixel data, in the form that is announced."""
        if not self.contents.pixels or self.is_implicit == self.contents.implicit:
            yield pixels_as_written(self.contents)
            return
        pixels, little = self.contents.pixels, self.contents.little
        order: Literal["little", "big"] = "little" if little else "big"
        group, element = (int.from_bytes(pixels[at : at + 2], order) for at in (0, 2))
        vr = "OB" if self.contents.fragments is not None else "OW"
        old = 8 if self.contents.implicit else 12
        length = int.from_bytes(pixels[old - 4 : old], order)
        yield writing.header(group << 16 | element, vr, length, implicit=self.is_implicit, little=little)
        yield pixels[old:]


def read_mapped(file: BinaryIO) -> ObjectFile:
    """Read an open file. PermanentError, which says why, where it is not a whole DICOM object."""
    found = read_as_far_as_possible(file)
    if problem := next(iter(found.contents.defects), found.contents.cut_pixels):
        raise PermanentError(OwnNote.NOT_WHOLE.format(problem=problem))
    return found


def read_as_far_as_possible(file: BinaryIO) -> ObjectFile:
    """Read an open file, whose data set may be broken: its `contents` say so. PermanentError where it is not DICOM."""
    if not os.fstat(file.fileno()).st_size:
        raise PermanentError(OwnNote.EMPTY)
    whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    syntax, offset = _begins(file)
    data = whole[offset:]
    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = BytesIO()
        inflate(BytesIO(data), inflated, _MOST_INFLATED)
        data = inflated.getbuffer()
    contents = parse(data, implicit=syntax == ImplicitVRLittleEndian, little=syntax != ExplicitVRBigEndian)
    return ObjectFile(whole, syntax, contents)


def is_storage_class(uid: str) -> bool:
    """Whether objects of this SOP class are stored with a patient: those of the Standard's registry (PS3.6 A) that are
    called so, and what it does not know, private classes and newer ones.
    """
    name, kind, *_ = UID_dictionary.get(uid, ("", ""))
    if not name:
        return not uid.startswith(_OF_PATIENTS) or uid.startswith(f"{_OF_PATIENTS}5.1.4.1.1.")
    return kind == "SOP Class" and "Storage" in name and not any(word in name for word in _NOT_STORED)


def _begins(file: BinaryIO) -> tuple[str, int]:
    """Transfer syntax, and where the data set begins."""
    try:
        filereader.read_preamble(file, force=False)
        meta = filereader.read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
        syntax = str(meta.get("TransferSyntaxUID", "")).strip(" \0")
    except Exception as error:  # pydicom fails in many ways on what is not a DICOM file
        raise PermanentError(OwnNote.NOT_DICOM) from error
    if not syntax:
        raise PermanentError("does not say its transfer syntax")
    return syntax, file.tell()
