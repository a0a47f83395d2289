"""Facts and the dictionary that the tests of the rules share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from pydicom import datadict

from node.dicom.described import indexed
from rules.facts import Element, IndexedInstance, InstanceFacts, Item, SeriesFacts, StudyFacts
from rules.model import DICTIONARY, Rule

NOW = datetime(2024, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=9)))
MODALITIES = ("CT", "MR", "CR", "DX", "MG", "US", "PT", "SR", "KO", "SEG", "OT")


class Dictionary:
    """The dictionary of the rules, from pydicom's."""

    def vr(self, keyword: str) -> str | None:
        tag = datadict.tag_for_keyword(keyword)
        return None if tag is None else datadict.dictionary_VR(tag)

    def multiple(self, keyword: str) -> bool:
        tag = datadict.tag_for_keyword(keyword)
        assert tag is not None
        return datadict.dictionary_VM(tag) != "1"

    def keyword(self, group: int, element: int) -> str | None:
        return datadict.keyword_for_tag((group, element)) or None

    def keywords(self) -> Iterable[str]:
        return datadict.keyword_dict

    def indexed(self, attributes: Item) -> IndexedInstance:
        return indexed(attributes)

    def terms(self, keyword: str) -> Iterable[str] | None:
        sides = ("R", "L", "U", "B")
        terms = {"Modality": MODALITIES, "PatientSex": ("M", "F", "O"), "ImageLaterality": sides, "Laterality": sides}
        return terms.get(keyword)


def attributes(values: dict[str, Any]) -> dict[str, Element]:
    """`{"SliceThickness": 1.0, "ImageType": ("A", "B"), "XSequence": [{…}]}` → elements."""
    made = {}
    for name, value in values.items():
        tag = None if name.startswith("(") else datadict.tag_for_keyword(name)
        vr = datadict.dictionary_VR(tag) if tag else "UN"
        several = value if isinstance(value, tuple | list) else () if value is None else (value,)
        made[name] = Element(vr, tuple(attributes(each) if isinstance(each, dict) else each for each in several))
    return made


def make_series(uid: str, modality: str, instances: Iterable[dict[str, Any]], **shared: Any) -> SeriesFacts:
    made = []
    for index, own in enumerate(instances):
        values = {**shared, **own}
        frames, marks = values.pop("frames", 1), frozenset(values.pop("marks", ()))
        made.append(InstanceFacts(f"{uid}.{index}", "1.2.3", attributes(values), frames, "1.2.840.10008.1.2.1", marks))
    return SeriesFacts(uid, modality, tuple(made))


def make_study(*series: SeriesFacts, **changed: Any) -> StudyFacts:
    facts: dict[str, Any] = {
        "study_instance_uid": "1.2",
        "revision": 1,
        "series": series,
        "origin": "received",
        "calling_ae_titles": frozenset({"PACS"}),
        "called_ae_titles": frozenset({"PACSNODE"}),
        "peer_addresses": frozenset({"10.0.0.7"}),
        "received_at": NOW - timedelta(minutes=5),
        "completed_at": NOW,
        "now": NOW,
    }
    return StudyFacts(**{**facts, **changed})


def make_rule(when: object, **changed: Any) -> Rule:
    plain = {"name": "r", "when": when, "choose": {"take": "all"}, "run": "plugin", "mode": "shadow", **changed}
    return Rule.model_validate(plain, context={DICTIONARY: Dictionary()})
