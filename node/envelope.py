"""Whether images are like those that a plugin was validated on: what its [envelope] states, compared with headers.

It needs no image, only what the ledger keeps of it, so that `explain` and `replay` say the same as a job does.
Attributes in functional groups of enhanced images are among those of the header (`rules.facts`). Objects without
pixels are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from node.config.envelope import EnvelopeUse
from node.dicom.as_facts import element
from node.own_notes import OwnNote
from plugins.envelope import ATTRIBUTES, CONTRAST, PATIENT_AGE, ContrastUse, Envelope, EnvelopeLimit, shown
from rules import derived, values
from rules.decision import PlannedRun
from rules.facts import Age, Datum, FromAttributes, Item, SeriesFacts, StudyFacts, UnkeptValue

_AGENTS = ("ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusAgentAdministered")
_NO_AGENT = frozenset({"", "NO", "NONE", "N", "0", "WITHOUT", "NO CONTRAST", "NON CONTRAST", "NON-CONTRAST", "OFF"})
"""What scanners and people write into Contrast/Bolus Agent where there was none."""
_YEARS = 2
"""From this age on completed years count; below it months."""
_SHOWN = 40
_Values = tuple[Datum, ...]


class EnvelopeReason(NamedTuple):
    """Why images are outside of an envelope, or perhaps are."""

    words: str
    """Of the limit."""
    is_known: bool
    """False where images do not state it."""
    sentence: str
    """For readers: an `OwnNote`."""


@dataclass(frozen=True, slots=True)
class EnvelopeVerdict:
    """What becomes of a job by its plugin's envelope."""

    reasons: tuple[EnvelopeReason, ...] = ()
    is_refused: bool = False
    """The plugin does not run."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """For readers: of a job that is refused only why it is."""
        return tuple(each.sentence for each in self.reasons)

    @property
    def limits(self) -> list[str]:
        """In words, for the admin."""
        return [f"{each.words}{'' if each.is_known else ': not known'}" for each in self.reasons]


class RunOutside(NamedTuple):
    """That the images of a run are not known to be like those that its plugin was validated on."""

    scanner: str
    """Manufacturer and model; empty where the images do not say."""
    limits: tuple[str, ...]
    """What they are outside of, or do not state."""
    is_refused: bool
    """The plugin would not run."""


def of_headers(
    envelope: Envelope, use: EnvelopeUse, headers: Sequence[Mapping[str, Any]], roles: Sequence[str] = ()
) -> EnvelopeVerdict:
    """What becomes of a job with these images, by their headers as the ledger keeps them; `roles`: of each image."""
    of_images = zip(headers, roles or [""] * len(headers), strict=True)
    images = [(header, role) for header, role in of_images if "Rows" in header]

    def groups(reader: FromAttributes, wanted: str) -> Iterator[_Values]:
        for header in (header for header, role in images if wanted in ("", role)):
            yield reader.read({name: element(*header[name]) for name in reader.keywords if name in header})

    return _verdict(envelope, use, groups)


def of_run(envelope: Envelope, use: EnvelopeUse, facts: StudyFacts, run: PlannedRun) -> EnvelopeVerdict:
    """What would become of a run that a rule asks for; what it gets of earlier studies is not looked at."""

    def groups(reader: FromAttributes, role: str) -> Iterator[_Values]:
        for series, mask in [(each, mask) for each in facts.series if (mask := _chosen(each, run, role))]:
            column = series.column(f"envelope {reader.keywords}", reader)
            yield from (found for found, having in column.groups if having & mask)
            if column.missing & mask:
                yield ()

    return _verdict(envelope, use, groups)


def scanner_of(facts: StudyFacts, run: PlannedRun) -> str:
    """What made the first images of a run: manufacturer and model; empty where they do not say."""
    for series in facts.series:
        mask = _chosen(series, run)
        if mask:
            first = series.instances[(mask & -mask).bit_length() - 1].attributes
            names = (derived.text_of(first, keyword) for keyword in ("Manufacturer", "ManufacturerModelName"))
            return " ".join(filter(None, names))
    return ""


def _chosen(series: SeriesFacts, run: PlannedRun, role: str = "") -> int:
    """The mask of a series' images that a run gets, under a role where one is named."""
    uids = {
        uid
        for each in run.inputs
        if each.series_instance_uid == series.series_instance_uid and role in ("", each.role)
        for uid in each.sop_instance_uids
    }
    if not uids:
        return 0
    images = sum(mask for frames, mask in series.groups("number_of_frames") if frames > 0)
    if len(uids) == len(series.instances):
        return images
    return images & sum(mask for uid, mask in series.groups("sop_instance_uid") if uid in uids)


def _verdict(
    envelope: Envelope, use: EnvelopeUse, groups: Callable[[FromAttributes, str], Iterable[_Values]]
) -> EnvelopeVerdict:
    found = [reason for limit in envelope if (reason := _reason(limit, groups(reader_of(limit.attribute), limit.role)))]
    refusing = [each for each in found if (use.outside if each.is_known else use.unknown) == "not_applicable"]
    return EnvelopeVerdict(tuple(refusing or found), is_refused=bool(refusing))


def _reason(limit: EnvelopeLimit, images: Iterable[_Values]) -> EnvelopeReason | None:
    """What a limit says of images: outside before unknown."""
    unknown, outside = False, list[str]()
    for read in images:
        if limit.attribute == PATIENT_AGE or ATTRIBUTES[limit.attribute].is_number:
            numbers = [_number(value) for value in read]
            unknown |= not numbers or None in numbers
            outside += [f"{each:.4g}" for each in numbers if each is not None and not limit.has_number(each)]
        else:
            texts = [text for value in read if (text := _text(value))]
            unknown |= not texts or any(isinstance(value, UnkeptValue) for value in read)
            if texts and not limit.has_texts(texts):
                outside.append("\\".join(texts)[:_SHOWN])
    if outside:
        return EnvelopeReason(limit.words, True, _sentence(limit, shown(dict.fromkeys(outside))))
    said = OwnNote.ENVELOPE_UNKNOWN.format(what=limit.words)
    return EnvelopeReason(limit.words, False, said) if unknown else None


def _sentence(limit: EnvelopeLimit, found: str) -> str:
    if limit.attribute == CONTRAST:
        return str(OwnNote.ENVELOPE_CONTRAST if found == ContrastUse.GIVEN else OwnNote.ENVELOPE_NO_CONTRAST)
    if limit.values:
        return OwnNote.ENVELOPE_LIST.format(what=limit.words, found=found, names=limit.listed)
    note = (
        OwnNote.ENVELOPE_MOST
        if limit.minimum is None
        else OwnNote.ENVELOPE_LEAST
        if limit.maximum is None
        else OwnNote.ENVELOPE_RANGE
    )
    low, high = (None if bound is None else f"{bound:g}" for bound in (limit.minimum, limit.maximum))
    unit = limit.unit
    last = {"low": low, "high": f"{high}{unit}"} if high else {"low": f"{low}{unit}"}
    return note.format(what=limit.words, found=f"{found}{unit}", **last)


def _number(value: Datum) -> float | None:
    if isinstance(value, Age):
        return value.years if value.years >= _YEARS else value.months / 12
    return None if isinstance(value, UnkeptValue) else values.number(value)


def _text(value: Datum) -> str:
    return "" if isinstance(value, UnkeptValue) else values.shown(value)


@lru_cache(maxsize=64)
def reader_of(attribute: str) -> FromAttributes:
    """How an attribute of an envelope is read from an image; nothing where it is not stated."""
    if attribute == PATIENT_AGE:
        return derived.PATIENT_AGE
    if attribute == CONTRAST:
        return FromAttributes(_AGENTS, _contrast)
    if attribute == "ViewPosition":
        return derived.VIEW
    other = ATTRIBUTES[attribute].of_frames
    return FromAttributes((attribute, other) if other else (attribute,), lambda image: _stated(image, attribute, other))


def _stated(image: Item, attribute: str, other: str) -> _Values:
    """The values of the attribute, else of the one that frames have in its place."""
    for keyword in filter(None, (attribute, other)):
        found = image.get(keyword)
        if found and not found.kept:
            return (UnkeptValue(found.vr),)
        if found:
            stated = tuple(each for each in found.values if not isinstance(each, Mapping) and not values.blank(each))
            if stated:
                return stated
    return ()


def _contrast(image: Item) -> _Values:
    """Whether an agent is stated: images without contrast have no Contrast/Bolus module (PS3.3 C.7.6.4)."""
    agent, administered = (
        {_text(each).upper() for each in _stated(image, keyword, "")} for keyword in (_AGENTS[0], _AGENTS[2])
    )
    coded = image.get(_AGENTS[1])
    if administered:
        given = administered != {"NO"}
    else:
        given = bool(agent - _NO_AGENT) or bool(coded and (coded.values or not coded.kept))
    return (str(ContrastUse.GIVEN if given else ContrastUse.NONE),)
