"""A study in few lines, as tests beside rules write it.

    Modality: CT                 # of every image
    calling_ae_title: CT1
    received: 2024-03-01 09:30
    series:
      - {SliceThickness: 1.0, images: 120}
      - {SeriesNumber: 7, images: [{ImageType: [ORIGINAL, PRIMARY, LOCALIZER], count: 2}]}

Without `series` the whole is one series, without `images` that is one image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rules import names, values
from rules.facts import AnswerFacts, Element, IndexedInstance, InstanceFacts, Item, SeriesFacts, StudyFacts
from rules.names import Dictionary
from rules.operators import OperandError, read_code
from rules.reading import Place, RuleProblem, closest, shown

MOST_IMAGES = 20_000
ANSWER_KEYS = ("answered_by", "answer_modality", "answer_present", "answer_unknown")
STUDY_KEYS = ("calling_ae_title", "called_ae_title", "peer_address", "origin", "revision", "received", *ANSWER_KEYS)
IMAGE_KEYS = ("frames", "marks", "count")
_MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d))?")
_ORIGINS: Mapping[str, Literal["received", "retrieved", "answer", "uploaded"]] = {
    "retrieved": "retrieved",
    "answer": "answer",
    "uploaded": "uploaded",
}
_ROOT = "1.2.3"
_FIRST = 10_000
"""The UIDs of series sort in the order of the list."""


def read(plain: object, dictionary: Dictionary | None) -> tuple[StudyFacts | None, list[RuleProblem]]:
    """The facts that `plain` stands for; None and every problem where it is wrong."""
    reading = _StudyReader(dictionary)
    facts = reading.study(plain)
    return (None, reading.problems) if reading.problems else (facts, [])


def series_number(series: SeriesFacts) -> int:
    """How a test calls a series: by its SeriesNumber, else by its place in the list, from 1."""
    element = series.instances[0].attributes.get("SeriesNumber")
    number = element.values[0] if element and element.values else None
    known = None if number is None or isinstance(number, Mapping) else values.number(number)
    return int(series.series_instance_uid.rpartition(".")[2]) - _FIRST if known is None else int(known)


@dataclass
class _StudyReader:
    """One study being read: collects problems instead of stopping at the first."""

    dictionary: Dictionary | None
    problems: list[RuleProblem] = field(default_factory=list)
    images: int = 0
    sender: str = ""
    """The calling AE title, if there is only one."""

    def wrong(self, place: Place, message: str, suggestion: str | None = None) -> None:
        self.problems.append(RuleProblem(place, message, suggestion))

    def study(self, plain: object) -> StudyFacts | None:
        if not isinstance(plain, Mapping) or not plain:
            self.wrong((), f"a study is written as in {{Modality: CT, images: 120}}, this is {shown(plain)}")
            return None
        parts = plain.get("series")
        if parts is not None and (not isinstance(parts, list | tuple) or not parts):
            self.wrong(("series",), "series is a list, one series to a line, each after a dash")
            return None
        own = {key: value for key, value in plain.items() if key in STUDY_KEYS}
        shared = {key: value for key, value in plain.items() if key not in (*STUDY_KEYS, "series")}
        senders = self.texts(own, "calling_ae_title")
        self.sender = next(iter(senders)) if len(senders) == 1 else ""
        if parts is None:
            series = [self.series(shared, {}, (), 0)]
        else:
            attributes = self.attributes(shared, (), ())
            series = [self.series(each, attributes, ("series", index), index) for index, each in enumerate(parts)]
        received = self.moment(own.get("received"), series)
        return StudyFacts(
            study_instance_uid=_ROOT,
            revision=own.get("revision", 1) if isinstance(own.get("revision", 1), int) else 1,
            series=tuple(each for each in series if each is not None),
            origin=_ORIGINS.get(str(own.get("origin")), "received"),
            answer=self.answer(own),
            calling_ae_titles=self.texts(own, "calling_ae_title"),
            called_ae_titles=self.texts(own, "called_ae_title"),
            peer_addresses=self.texts(own, "peer_address"),
            received_at=received,
            completed_at=received + timedelta(minutes=5),
            now=received + timedelta(minutes=5),
        )

    def answer(self, own: Mapping[str, Any]) -> AnswerFacts | None:
        """What a vendor's box has answered; None where none did."""
        if own.get("origin") != "answer":
            return None
        named = [tuple(sorted(self.texts(own, key))) for key in ANSWER_KEYS[1:]]
        return AnswerFacts(str(own.get("answered_by", "")), *named)

    def texts(self, own: Mapping[str, Any], key: str) -> frozenset[str]:
        found = own.get(key, ())
        return frozenset(str(each) for each in (found if isinstance(found, list | tuple) else (found,)))

    def moment(self, plain: object, series: Sequence[SeriesFacts | None]) -> datetime:
        """When it was received: as given, else at noon on the day of the study."""
        if plain is not None:
            found = _MOMENT.fullmatch(str(plain))
            try:
                if found:
                    year, month, on, hour, minute = (int(part) for part in found.groups(default="0"))
                    return datetime(year, month, on, hour if found[4] else 12, minute, tzinfo=UTC)
            except ValueError:
                pass  # no such day: told below
            self.wrong(("received",), f"{plain!r} is not a moment: write it as in 2024-03-01 09:30")
        first = next((each.instances[0] for each in series if each and each.instances), None)
        element = first.attributes.get("StudyDate") if first else None
        stated = values.day(element.values[0]) if element and isinstance(element.values[0], str) else None
        day = stated or datetime(2024, 1, 1, tzinfo=UTC).date()
        return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)

    def series(self, plain: object, shared: Item, place: Place, index: int) -> SeriesFacts | None:
        if not isinstance(plain, Mapping):
            self.wrong(place, f"a series is written as in {{Modality: CT, images: 120}}, this is {shown(plain)}")
            return None
        images = plain.get("images", 1)
        own = {key: value for key, value in plain.items() if key != "images"}
        if isinstance(images, int) and not isinstance(images, bool):
            groups: list[tuple[Mapping[str, Any], Place]] = [({"count": images}, (*place, "images"))]
        elif isinstance(images, list | tuple) and all(isinstance(each, Mapping) for each in images) and images:
            groups = [(each, (*place, "images", number)) for number, each in enumerate(images)]
        else:
            self.wrong((*place, "images"), f"images is a number, or a list of images, not {shown(images)}")
            return None
        attributes = {**shared, **self.attributes(own, place, IMAGE_KEYS)}
        uid = f"{_ROOT}.{_FIRST + index + 1}"
        instances = tuple(self.instances(groups, own, attributes, uid))
        modality = instances[0].attributes.get("Modality") if instances else None
        return SeriesFacts(uid, str(modality.values[0]) if modality and modality.values else "", instances)

    def instances(
        self, groups: Sequence[tuple[Mapping[str, Any], Place]], series: Mapping[str, Any], shared: Item, uid: str
    ) -> Iterator[InstanceFacts]:
        number = 0
        for plain, place in groups:
            seen = self.indexed({**shared, **self.attributes(plain, place, IMAGE_KEYS)})
            frames = plain.get("frames", series.get("frames", seen.number_of_frames))
            count = plain.get("count", 1)
            if not _natural(count) or not _natural(frames) or (self.images + count) > MOST_IMAGES:
                self.wrong(place, f"count and frames are whole numbers, and {MOST_IMAGES} images are the most")
                return
            self.images += count
            said = plain.get("marks", series.get("marks", ()))
            marks = seen.marks.union(said if isinstance(said, list | tuple) else (said,))
            for _ in range(count):
                number += 1
                yield InstanceFacts(
                    sop_instance_uid=_first(seen.attributes, "SOPInstanceUID", f"{uid}.{number}"),
                    sop_class_uid=seen.sop_class_uid,
                    attributes=seen.attributes,
                    number_of_frames=frames,
                    transfer_syntax_uid=seen.transfer_syntax_uid,
                    marks=marks,
                    calling_ae_title=self.sender,
                )

    def indexed(self, attributes: Item) -> IndexedInstance:
        """The attributes as the node would read them: the same way as those of a received image."""
        if self.dictionary is None or self.problems:
            return IndexedInstance(attributes, "", "", 1, frozenset())
        return self.dictionary.indexed(attributes)

    def attributes(self, plain: Mapping[Any, Any], place: Place, besides: Sequence[str]) -> dict[str, Element]:
        """Attributes by their canonical names, as the indexer would have kept them."""
        made = {}
        for key, value in plain.items():
            if key in besides:
                continue
            name = self.name(key, (*place, str(key)))
            if name is not None:
                made[name] = self.element(name, value, (*place, str(key)))
        return made

    def name(self, key: object, place: Place) -> str | None:
        """The canonical name of an attribute; what is none is reported."""
        if isinstance(key, str) and (key[:1].isupper() or key.startswith("(")):
            try:
                name = names.parse(key, self.dictionary, closest)
            except names.NameProblem as problem:
                self.wrong(place, str(problem), problem.suggestion)
                return None
            if len(name.path) == 1:
                return name.text
            self.wrong(place, f"{key}: write the items of a sequence as a list after {name.path[0]}")
            return None
        known = [*STUDY_KEYS, "series", "images", *IMAGE_KEYS, *(self.dictionary.keywords() if self.dictionary else ())]
        if key in STUDY_KEYS or key == "series":
            self.wrong(place, f"{key} is said of the study, not of a series or an image")
        elif key in names.FACTS:
            self.wrong(place, f"{key} is worked out by the node: give the attributes that it comes from")
        else:
            self.wrong(place, f"there is no {key!r} here: write a DICOM keyword", closest(str(key), known))
        return None

    def element(self, name: str, value: object, place: Place) -> Element:
        vr = (self.dictionary.vr(name) if self.dictionary and not name.startswith("(") else None) or "UN"
        if value == values.NOT_KEPT:
            return Element(vr, (), kept=False)
        several = value if isinstance(value, list | tuple) else () if value is None else (value,)
        return Element(vr, tuple(self.value(vr, each, place) for each in several))

    def value(self, vr: str, value: object, place: Place) -> Any:
        if isinstance(value, Mapping):
            return self.attributes(value, place, ())
        if vr == "SQ":
            return self.code(value, place)
        return value if isinstance(value, str | int | float) else str(value)

    def code(self, value: object, place: Place) -> Item:
        try:
            scheme, code = read_code(value)
        except OperandError:
            self.wrong(place, f"{shown(value)} is not an item: write keys and values, or a code as in SCT:51185008")
            return {}
        return {"CodeValue": Element("SH", (code,)), "CodingSchemeDesignator": Element("SH", (scheme,))}


def _natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _first(attributes: Item, keyword: str, otherwise: str) -> str:
    element = attributes.get(keyword)
    return str(element.values[0]) if element and element.values else otherwise


# -- the other way: a recorded study written down


def write(facts: StudyFacts, wanted: frozenset[str]) -> dict[str, Any]:
    """The study in the form that `read` reads, with the attributes `wanted` and no others."""
    series = [_series(each, wanted) for each in facts.series]
    shared = _shared(series, facts.series)
    titles = {"calling_ae_title": facts.calling_ae_titles, "called_ae_title": facts.called_ae_titles}
    study = {
        **{key: sorted(found - {""}) for key, found in titles.items() if found - {""}},
        "received": f"{facts.received_at:%Y-%m-%d %H:%M}",
        **({"origin": facts.origin} if facts.origin != "received" else {}),
        **({"revision": facts.revision} if facts.revision != 1 else {}),
    }
    rest = [{key: value for key, value in each.items() if key not in shared} for each in series]
    return {**study, **shared, "series": rest}


def _series(series: SeriesFacts, wanted: frozenset[str]) -> dict[str, Any]:
    """One series: what all its images share, then the images that differ, equal ones in a row together."""
    groups: list[dict[str, Any]] = []
    for instance in series.instances:
        kept = instance.attributes.items()
        found = ((key, each) for key, each in kept if key in wanted and (each.values or not each.kept))
        image: dict[str, Any] = {key: _plain(element) for key, element in found}
        image |= {"frames": instance.number_of_frames} if instance.number_of_frames != 1 else {}
        image |= {"marks": sorted(instance.marks)} if instance.marks else {}
        if groups and {**groups[-1], "count": 0} == {**image, "count": 0}:
            groups[-1]["count"] += 1
        else:
            groups.append({**image, "count": 1})
    shared = {key: value for key, value in groups[0].items() if all(each.get(key, each) == value for each in groups)}
    if len(groups) == 1:
        return {**{key: value for key, value in shared.items() if key != "count"}, "images": groups[0]["count"]}
    shared.pop("count", None)
    return {**shared, "images": [{key: each[key] for key in each if key not in shared} for each in groups]}


def _shared(series: Sequence[Mapping[str, Any]], whole: Sequence[SeriesFacts]) -> dict[str, Any]:
    """What every series says alike; the node's own words and numbers of images stay where they are."""
    if len(whole) < 2:
        return {}
    own = ("images", *IMAGE_KEYS)
    return {
        key: value
        for key, value in series[0].items()
        if key not in own and all(each.get(key, each) == value for each in series)
    }


def _plain(element: Element) -> Any:
    if not element.kept:
        return values.NOT_KEPT
    several = [_plain_item(each) if isinstance(each, Mapping) else each for each in element.values]
    return several[0] if len(several) == 1 and not isinstance(several[0], dict) else several


def _plain_item(item: Item) -> dict[str, Any]:
    return {key: _plain(part) for key, part in item.items()}
