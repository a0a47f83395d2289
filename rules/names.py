"""What a condition can ask for: DICOM attributes by path, and facts that no attribute holds.

DICOM keywords begin with a capital letter (PS3.6), the node's own facts with a small one: the two can
never clash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Literal, Protocol

from rules import derived, origin, values
from rules.derived import code_of
from rules.facts import (
    MARKS,
    AnswerFacts,
    Datum,
    Element,
    FromAttributes,
    FromSeries,
    FromTrait,
    IndexedInstance,
    Item,
    Reader,
    StudyFacts,
    UnkeptValue,
)

_LOOSE_TAG = re.compile(r"[(\[]?(?:0x)?([0-9a-f]{4})[,|:; ]*([0-9a-f]{4})[)\]]?", re.IGNORECASE)
"""A tag as other programs write it."""
_TAG = re.compile(r"\(([0-9a-f]{4}),([0-9a-f]{4})\)", re.IGNORECASE)
_PRIVATE = re.compile(r"\(([0-9a-f]{4}),(.{1,64}),([0-9a-f]{2})\)", re.IGNORECASE)
_REPEATING_GROUPS = (0x50, 0x60)
"""Curves and overlays (PS3.5 7.6): one keyword stands for many tags, so they are asked for by tag."""
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]*")
_STEP = re.compile(r"(\([^)]*\)|[^.()]+)(?:\.|$)")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class ValueKind(StrEnum):
    """How values compare."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    TIME = "time of day"
    AGE = "age"
    SEQUENCE = "sequence"
    BULK = "bulk data"


_KINDS = {
    ValueKind.TEXT: "AE AS CS LO LT PN SH ST UC UI UR UT",
    ValueKind.NUMBER: "DS FD FL IS SL SS SV UL US UV",
    ValueKind.DATE: "DA DT",
    ValueKind.TIME: "TM",
    ValueKind.SEQUENCE: "SQ",
    ValueKind.BULK: "AT OB OD OF OL OV OW",
}
_KIND_OF_VR = {vr: kind for kind, vrs in _KINDS.items() for vr in vrs.split()}


class Dictionary(Protocol):
    """What the rules need of the DICOM data dictionary (PS3.6); the node passes it in."""

    def vr(self, keyword: str) -> str | None:
        """Value representation, as in `DS` or `US or SS`; None where there is no such keyword."""

    def multiple(self, keyword: str) -> bool:
        """Whether the attribute may hold more than one value."""

    def keyword(self, group: int, element: int) -> str | None:
        """The keyword of a public tag, if it has one."""

    def keywords(self) -> Iterable[str]:
        """Every keyword, to suggest from."""

    def indexed(self, attributes: Item) -> IndexedInstance:
        """What the node would read of an instance with these attributes."""

    def terms(self, keyword: str) -> Iterable[str] | None:
        """Every value that the attribute can sensibly hold (modalities, …); None where any text may stand."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact that is not a DICOM attribute."""

    name: str
    kind: ValueKind
    meaning: str
    of: Literal["study", "image", "view"]
    """`view`: depends on the images in view, so it is counted where it is asked."""
    read: Callable[[StudyFacts], tuple[Datum, ...]] | None = None
    terms: tuple[str, ...] | None = None
    derived: Reader | None = None
    """How it is read of an image; of facts of images only."""
    flag: bool = False
    """`true` and `false` ask whether there is a value: the value says why."""


def _fact(
    name: str, kind: ValueKind, meaning: str, read: Callable[[StudyFacts], tuple[Datum, ...]], *terms: str
) -> Fact:
    return Fact(name, kind, meaning, "study", read, terms or None)


def _answer(read: Callable[[AnswerFacts], tuple[str, ...]]) -> Callable[[StudyFacts], tuple[Datum, ...]]:
    """Of what a vendor's box answered; missing where none did."""
    return lambda study: read(study.answer) if study.answer else ()


def _of_image(
    name: str, meaning: str, read: Reader, *terms: str, kind: ValueKind = ValueKind.TEXT, flag: bool = False
) -> Fact:
    return Fact(name, kind, meaning, "image", None, terms or None, read, flag)


FACTS: Mapping[str, Fact] = {
    fact.name: fact
    for fact in (
        _fact(
            "calling_ae_title", ValueKind.TEXT, "AE titles that sent it", lambda s: tuple(sorted(s.calling_ae_titles))
        ),
        _fact(
            "called_ae_title", ValueKind.TEXT, "AE titles it was sent to", lambda s: tuple(sorted(s.called_ae_titles))
        ),
        _fact("peer_address", ValueKind.TEXT, "addresses it came from", lambda s: tuple(sorted(s.peer_addresses))),
        _fact(
            "origin",
            ValueKind.TEXT,
            "how it came",
            lambda s: (s.origin,),
            "received",
            "retrieved",
            "uploaded",
            "answer",
        ),
        _fact("answered_by", ValueKind.TEXT, "plugin of the box that has answered", _answer(lambda a: (a.plugin,))),
        _fact("answer_modality", ValueKind.TEXT, "modalities of what it sent", _answer(lambda a: a.modalities)),
        _fact("answer_present", ValueKind.TEXT, "its findings that are present", _answer(lambda a: a.present)),
        _fact("answer_unknown", ValueKind.TEXT, "its findings that may be present", _answer(lambda a: a.unknown)),
        _fact("revision", ValueKind.NUMBER, "1, and one more each time it grew", lambda s: (s.revision,)),
        _fact("received_date", ValueKind.DATE, "day of its first instance", lambda s: (f"{s.received_at:%Y%m%d}",)),
        _fact("received_time", ValueKind.TIME, "time of its first instance", lambda s: (f"{s.received_at:%H%M%S}",)),
        _fact(
            "received_weekday",
            ValueKind.TEXT,
            "weekday of its first instance",
            lambda s: (WEEKDAYS[s.received_at.weekday()],),
            *WEEKDAYS,
        ),
        _fact("series_count", ValueKind.NUMBER, "series of the study", lambda s: (len(s.series),)),
        Fact("image_count", ValueKind.NUMBER, "images of the series or study; frames count", "view"),
        _of_image(
            "patient_age", "PatientBirthDate and StudyDate, or PatientAge", derived.PATIENT_AGE, kind=ValueKind.AGE
        ),
        _of_image("laterality", "side of the image or its frames", derived.LATERALITY, *derived.SIDES.values()),
        _of_image("view", "view of a mammogram, or ViewPosition", derived.VIEW),
        _of_image("view_modifiers", "modifiers of a mammogram's view", derived.VIEW_MODIFIERS),
        _of_image("breast_image", "kind of a breast image", derived.BREAST_IMAGE, *derived.BREAST_IMAGES),
        _of_image(
            "slice_plane", "plane of the slices, by ImageOrientationPatient", derived.SLICE_PLANE, *derived.PLANES
        ),
        _of_image("made_by_ai", "true: a program of recognition made it", origin.MADE_BY_AI, flag=True),
        _of_image("marks", "what the node noticed: lossy, …", derived.MARKS, *MARKS),
    )
}


@dataclass(frozen=True, slots=True)
class Name:
    """What a clause asks for: a fact, or the path of an attribute."""

    text: str
    """Canonical: parts joined by a dot."""
    path: tuple[str, ...]
    fact: Fact | None
    kind: ValueKind | None
    """None where the value representation is not known (private attributes, no dictionary)."""


class NameProblem(ValueError):  # noqa: N818 - it becomes a Problem with a place, not a failure
    """A name that means nothing; `suggestion` is what was probably meant."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def parse(written: str, dictionary: Dictionary | None, suggest: Callable[[str, Iterable[str]], str | None]) -> Name:
    """The name that `written` stands for; NameProblem where there is none."""
    if written in FACTS:
        return Name(written, (written,), FACTS[written], FACTS[written].kind)
    path = tuple(_part(step, dictionary) for step in _steps(written, dictionary))
    known = [_vr(part, dictionary, suggest) for part in path]
    for part, vr in zip(path[:-1], known[:-1], strict=True):
        if vr not in (None, "SQ"):
            raise NameProblem(f"{part} is not a sequence ({vr}), so nothing can follow it after a dot")
    return Name(".".join(path), path, None, _kind(known[-1]))


def looks_like_a_tag(written: str) -> bool:
    """Whether it is a tag, perhaps as other programs write it."""
    return _LOOSE_TAG.fullmatch(written.strip()) is not None


def _steps(written: str, dictionary: Dictionary | None) -> list[str]:
    if not _TAG.fullmatch(written) and (tag := _LOOSE_TAG.fullmatch(written.strip())):
        keyword = dictionary.keyword(int(tag[1], 16), int(tag[2], 16)) if dictionary else None
        meant = keyword or f"({tag[1].lower()},{tag[2].lower()})"
        raise NameProblem(f"{written!r} is not an attribute: a tag is written in parentheses", meant)
    steps, end = [], 0
    for found in _STEP.finditer(written):
        if found.start() != end:
            break
        steps.append(found[1])
        end = found.end()
    if not steps or end != len(written) or written.endswith("."):
        raise NameProblem(f"{written!r} is not an attribute: write a DICOM keyword, (gggg,eeee) or (gggg,CREATOR,ee)")
    return steps


def _part(step: str, dictionary: Dictionary | None) -> str:
    if tag := _TAG.fullmatch(step):
        if int(tag[1], 16) >> 8 in _REPEATING_GROUPS:
            return step.lower()
        if int(tag[1], 16) % 2:
            raise NameProblem(f"{step} is private and means nothing without its creator: write (gggg,CREATOR,ee)")
        keyword = dictionary.keyword(int(tag[1], 16), int(tag[2], 16)) if dictionary else None
        return keyword or step.lower()
    if private := _PRIVATE.fullmatch(step):
        if int(private[1], 16) % 2 == 0:
            raise NameProblem(f"{step}: the group of a private attribute is odd")
        return f"({private[1].lower()},{private[2].strip()},{private[3].lower()})"
    return step


def _vr(part: str, dictionary: Dictionary | None, suggest: Callable[[str, Iterable[str]], str | None]) -> str | None:
    if part.startswith("("):
        if not (_TAG.fullmatch(part) or _PRIVATE.fullmatch(part)):
            raise NameProblem(f"{part!r} is not a tag: write (gggg,eeee) or (gggg,CREATOR,ee)")
        return None
    vr = dictionary.vr(part) if dictionary else None
    if vr is None and (dictionary or not _KEYWORD.fullmatch(part)):
        if part.startswith(("Overlay", "Curve")):
            raise NameProblem(f"{part} is in several groups: write its tag, as in (6000,0010) for the first overlay")
        candidates = [*FACTS, *(dictionary.keywords() if dictionary else ())]
        said = f"there is no DICOM keyword {part}" if part[:1].isupper() else f"{part} is not a fact of this node"
        raise NameProblem(said, suggest(part, candidates))
    return vr


def _kind(vr: str | None) -> ValueKind | None:
    kinds = {_KIND_OF_VR.get(each) for each in vr.split(" or ")} if vr else {None}
    return kinds.pop() if len(kinds) == 1 else None


def reader(name: Name) -> Reader:
    """How `name` is read; empty values are left out."""
    if name.fact and name.fact.derived:
        return name.fact.derived
    return _OWN.get(name.text) or FromAttributes(name.path[:1], partial(_attribute, name.path))


_OWN: Mapping[str, Reader] = {
    "SOPInstanceUID": FromTrait("sop_instance_uid", lambda uid: (uid,)),
    "SOPClassUID": FromTrait("sop_class_uid", lambda uid: (uid,)),
    "TransferSyntaxUID": FromTrait("transfer_syntax_uid", lambda uid: (uid,)),
    "SeriesInstanceUID": FromSeries(lambda series: (series.series_instance_uid,)),
    "Modality": FromSeries(lambda series: (series.modality,) if not values.blank(series.modality) else ()),
}


def _attribute(path: tuple[str, ...], attributes: Item) -> tuple[Datum, ...]:
    items: list[Item] = [attributes]
    cut: list[Element] = []
    for step in path[:-1]:
        through = [element for item in items if (element := item.get(step))]
        items = [value for element in through for value in element.values if isinstance(value, Mapping)]
        cut += [element for element in through if not element.kept]
    elements = [element for item in items if (element := item.get(path[-1]))]
    found: tuple[Datum, ...] = tuple(
        code_of(value) if isinstance(value, Mapping) else value
        for element in elements
        for value in element.values
        if not values.blank(value)
    )
    cut += [element for element in elements if not element.kept]
    return (*found, UnkeptValue(cut[0].vr)) if cut else found
