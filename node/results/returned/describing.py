"""What the returned objects of a result are, in the words of report and pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID

from node.dicom.charset import UndecodableTextError, decode_text
from node.dicom.elements import Elements, RawElement, text_of
from node.dicom.object_file import SERIES, SOP_CLASS, SOP_INSTANCE, ObjectFile, read_mapped
from node.results.source.marking import ascii_name
from plugins.contract import ReturnedObject

_CHARACTER_SET, _MODALITY, _DESCRIPTION = 0x00080005, 0x00080060, 0x0008103E
_MANUFACTURER, _MODEL, _VERSIONS = 0x00080070, 0x00081090, 0x00181020
_SERIES_NUMBER, _INSTANCE_NUMBER = 0x00200011, 0x00200013
_SAY_WHAT = (
    *(SOP_CLASS, SOP_INSTANCE, SERIES, _CHARACTER_SET, _MODALITY, _DESCRIPTION),
    *(_MANUFACTURER, _MODEL, _VERSIONS, _SERIES_NUMBER, _INSTANCE_NUMBER),
)
_MOST = 1024
"""Bytes of one of these."""


@dataclass(frozen=True, slots=True)
class ObjectToSend:
    """One returned object, with its UIDs as it was kept; what it is, not what it holds: there may be a thousand."""

    number: int
    """Which of the result's objects it is, from 1."""
    path: Path
    head: Elements
    """Those of its root's elements that say what it is; long ones are cut."""

    def read(self) -> ObjectFile:
        """All of it. Raises PermanentError, OSError."""
        with self.path.open("rb") as file:
            return read_mapped(file)

    @property
    def sop_class_uid(self) -> str:
        """SOP Class UID."""
        return text_of(self.head, SOP_CLASS)

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID, of the object as it came."""
        return text_of(self.head, SOP_INSTANCE)

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID, of the object as it came."""
        return text_of(self.head, SERIES)

    @property
    def kind(self) -> str:
        """Such as "Segmentation"."""
        name = str(UID(self.sop_class_uid).name).removesuffix(" Storage")
        modality = text_of(self.head, _MODALITY)
        return name if name != self.sop_class_uid else f"{modality} of SOP class {self.sop_class_uid}"

    @property
    def what(self) -> str:
        """Kind and maker."""
        stated = (self.text(tag) for tag in (_MANUFACTURER, _MODEL, _VERSIONS))
        maker = " ".join(dict.fromkeys(each for each in stated if each))[:64]
        return f"{self.kind}, {maker}" if maker else self.kind

    @property
    def description(self) -> str:
        """Series Description in ASCII, else the kind."""
        return ascii_name(self.text(_DESCRIPTION)) or self.kind

    @property
    def numbers(self) -> tuple[int, int]:
        """Series Number and Instance Number; 0 where there is none."""
        series, instance = (text_of(self.head, tag).strip("+") for tag in (_SERIES_NUMBER, _INSTANCE_NUMBER))
        return (int(series) if series.isdecimal() else 0), (int(instance) if instance.isdecimal() else 0)

    def text(self, tag: int) -> str:
        """The first value of a text, in printable ASCII; "" where it cannot be decoded."""
        raw = self.head.get(tag)
        if raw is None or isinstance(raw.value, list):
            return ""
        labels = text_of(self.head, _CHARACTER_SET).split("\\")
        try:
            return ascii_name(decode_text(bytes(raw.value).strip(b" \0"), labels).split("\\")[0])
        except UndecodableTextError:
            return ""


def objects_of(objects: Iterable[ReturnedObject]) -> Iterator[ObjectToSend]:
    """The objects of a result that was kept. Raises PermanentError, OSError."""
    for number, each in enumerate(objects, start=1):
        with each.file.open("rb") as file:
            yield ObjectToSend(number, each.file, _head(read_mapped(file).contents.elements))


def _head(elements: Elements) -> Elements:
    """Copies: a view would keep the whole file."""
    head: Elements = {}
    for tag in _SAY_WHAT:
        raw = elements.get(tag)
        if raw is not None and not isinstance(raw.value, list):
            head[tag] = RawElement(raw.vr, memoryview(bytes(raw.value[:_MOST])))
    return head


def grouped(objects: Iterable[ObjectToSend]) -> list[str]:
    """Kind and maker of each, alike ones once with their number."""
    counts = Counter(each.what for each in objects)
    return [f"{count} x {what}" if count > 1 else what for what, count in counts.items()]
