"""One Specific Character Set for all objects of a job, decided before the first is made (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from pydicom import Dataset

from node.dicom.character_sets import are_defined_terms
from node.dicom.charset import can_encode
from node.dicom.vr import CHARACTER_SET
from node.results.request import EncodingRequest
from node.results.texts import Texts

UTF_8 = "ISO_IR 192"
_NOT_WRITTEN = frozenset({"intended_use", "sources", "time_zone", "assumed_character_set", "not_drawable"})
"""Fields of requests, manifests and catalogues that no object holds."""


@dataclass(frozen=True)
class CharacterSet:
    """What Specific Character Set says in every object of a set."""

    labels: tuple[str, ...]
    """Its values; (""): the attribute is absent."""
    change: str = ""
    """For the site admin: that the images' own set is not used, though the destination asks for it, and why."""

    def state(self, dataset: Dataset) -> None:
        """Set the attribute."""
        if self.labels == ("",):
            dataset.pop("SpecificCharacterSet", None)
        else:
            dataset.SpecificCharacterSet = list(self.labels) if len(self.labels) > 1 else self.labels[0]


def character_set_of(
    request: EncodingRequest, of_images: list[str], copied: list[Dataset], texts: Texts
) -> CharacterSet:
    """The images' own (`of_images`) where the destination asks for it and every text fits, else ISO_IR 192.

    `copied`: what is taken from the images. A reader who compares names byte by byte must find one set in all objects
    of a job, so one text that does not fit decides for all.
    """
    if request.profile.character_set != "source":
        return CharacterSet((UTF_8,))
    if not are_defined_terms(of_images):
        return CharacterSet((UTF_8,), _told("that of the images is not one that can be written"))
    everything = [*_texts(request), *_texts(texts), *(text for dataset in copied for text in _texts_of(dataset))]
    if not all(can_encode(text, of_images) for text in dict.fromkeys(everything)):
        return CharacterSet((UTF_8,), _told("a text of the result cannot be written in that of the images"))
    return CharacterSet(tuple(of_images))


def _told(why: str) -> str:
    return f"SpecificCharacterSet (0008,0005): {UTF_8} in all objects of the result: {why}"


def _texts(value: object) -> Iterator[str]:
    """Every text in it, arrays aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, tuple | list | frozenset):
        for part in value:
            yield from _texts(part)
    elif is_dataclass(value):
        for each in fields(value):
            if each.name not in _NOT_WRITTEN:
                yield from _texts(getattr(value, each.name))


def _texts_of(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts_of(item)
        elif element.VR in CHARACTER_SET:
            yield str(element.value)
