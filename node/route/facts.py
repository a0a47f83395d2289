"""What the ledger knows of a study, as the facts that rules see (`rules/facts.py`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Literal, overload
from zoneinfo import ZoneInfo

from node.dicom.as_facts import element
from node.ledger.facts import SeriesColumns, unpacked
from node.ledger.instances import Arrivals
from node.ledger.studies import Study
from rules.facts import (
    ABSENT,
    DistinctElements,
    Element,
    Groups,
    History,
    InstanceFacts,
    SeriesFacts,
    StudyFacts,
    Trait,
)

RETRIEVED, UPLOADED = "retrieved", "uploaded"


def study_facts(
    study: Study,
    records: Sequence[SeriesColumns],
    current: Arrivals,
    now: datetime,
    zone: ZoneInfo,
    history: Mapping[str, History] = MappingProxyType({}),
    growing: Collection[str] | None = None,
) -> StudyFacts:
    """The facts of one revision; `records` are those of `ledger.facts.columns_of_study`.

    `current` are the instances that count now: one that was rejected or replaced since the records were
    kept is left out. `growing`: series of which more is expected, where the study is not complete. A study is
    `retrieved` where this node fetched every instance of it, `uploaded` where people gave the others.
    """
    assert study.completed_at is not None, study.study_instance_uid
    every = [_series_facts(record, current, growing or ()) for record in records]
    return StudyFacts(
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        series=tuple(series for series in every if len(series.instances)),
        origin=_origin(frozenset(source.origin for source in current.sources)),
        calling_ae_titles=frozenset(source.calling_ae_title for source in current.sources),
        called_ae_titles=frozenset(source.called_ae_title for source in current.sources),
        peer_addresses=frozenset(source.peer_address for source in current.sources),
        received_at=study.first_received_at.astimezone(zone),
        completed_at=study.completed_at.astimezone(zone),
        now=now.astimezone(zone),
        complete=growing is None,
        history=history,
    )


def _origin(found: frozenset[str]) -> Literal["received", "retrieved", "uploaded"]:
    """Of a study whose instances came in these ways; what a modality sent counts first, then what a person did."""
    if found == {RETRIEVED}:
        return "retrieved"
    return "uploaded" if UPLOADED in found and found <= {RETRIEVED, UPLOADED} else "received"


def _series_facts(kept: SeriesColumns, current: Arrivals, growing: Collection[str]) -> SeriesFacts:
    counting, receipts = current.receipts, kept.spelled_out("receipt")
    whole = counting.issuperset(receipts)
    places = None if whole else [place for place, receipt in enumerate(receipts) if receipt in counting]
    columns = _UnpackedColumns(kept, places, current)
    modality = _InstanceAttributes(columns, 0).get("Modality") if columns.size else None
    return SeriesFacts(
        series_instance_uid=kept.series_instance_uid,
        modality=str(modality.values[0]) if modality and modality.values else "",
        instances=_Instances(columns),
        spread=columns.spread,
        shared=columns.shared,
        complete=kept.series_instance_uid not in growing,
    )


class _UnpackedColumns:
    """What is known of a series' instances, column by column; what no rule asks for is never unpacked."""

    def __init__(self, kept: SeriesColumns, places: Sequence[int] | None, current: Arrivals) -> None:
        self._kept = kept
        self._current = current
        self._places = places
        self.size = kept.size if places is None else len(places)
        self._known: dict[str, DistinctElements] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept.keywords)

    def spread(self, keyword: str) -> DistinctElements:
        """The distinct elements of an attribute, and which instance has which."""
        known = self._known.get(keyword)
        if known is None:
            packed = self._kept.packed(keyword)
            known = self._known[keyword] = ABSENT if packed is None else self._counting(_spread(packed))
        return known

    def _counting(self, spread: DistinctElements) -> DistinctElements:
        """Of the instances that count."""
        if spread.at is None or self._places is None:
            return spread
        return DistinctElements(spread.elements, [spread.at[place] for place in self._places])

    def field(self, name: str) -> Sequence[Any]:
        """What every instance states of one kind beside its attributes."""
        every = self._kept.spelled_out(name)
        return every if self._places is None else [every[place] for place in self._places]

    def shared(self, trait: Trait) -> Groups:
        """The distinct values of a trait with the masks of their instances."""
        if trait == "calling_ae_title":
            return self._by_sender()
        name, convert = _TRAITS[trait]
        found, at = self._kept.field(name)
        if at is None:
            return tuple((convert(value), (1 << self.size) - 1) for value in found)
        masks: dict[Any, int] = {}
        for bit, value in enumerate(map(convert, self.field(name))):
            masks[value] = masks.get(value, 0) | 1 << bit
        return tuple(masks.items())

    def senders(self) -> list[str]:
        """The calling AE title of every instance."""
        return [self._current.sender(receipt) for receipt in self.field("receipt")]

    def _by_sender(self) -> Groups:
        if not self._current.senders:
            return ((self._current.sender(""), (1 << self.size) - 1),)
        masks: dict[str, int] = {}
        for bit, title in enumerate(self.senders()):
            masks[title] = masks.get(title, 0) | 1 << bit
        return tuple(masks.items())


_TRAITS: Mapping[Trait, tuple[str, Callable[[Any], Any]]] = {
    "sop_instance_uid": ("sop_instance_uid", str),
    "sop_class_uid": ("sop_class_uid", str),
    "number_of_frames": ("frames", int),
    "transfer_syntax_uid": ("transfer_syntax_uid", str),
    "marks": ("marks", frozenset),
}
"""Under which name the node keeps a trait, and as what rules see it."""


def _spread(packed: str) -> DistinctElements:
    """A column as it is kept; the short ones, which are alike in many series, are read once."""
    return _short_spread(packed) if len(packed) < _SHORT else _read_spread(packed)


def _read_spread(packed: str) -> DistinctElements:
    elements, at = unpacked(packed)
    return DistinctElements(tuple(element(*each) for each in elements), at)


_SHORT = 300
_short_spread = lru_cache(maxsize=8192)(_read_spread)


class _Instances(Sequence[InstanceFacts]):
    """The instances of a series, made when one is looked at: most decisions need none of them."""

    def __init__(self, columns: _UnpackedColumns) -> None:
        self._columns = columns

    @cached_property
    def _made(self) -> tuple[InstanceFacts, ...]:
        fields = zip(*(self._columns.field(name) for name in _FIELDS), self._columns.senders(), strict=True)
        return tuple(
            InstanceFacts(
                uid, sop_class, _InstanceAttributes(self._columns, bit), frames, syntax, frozenset(marks), title
            )
            for bit, (uid, sop_class, frames, syntax, marks, title) in enumerate(fields)
        )

    def __len__(self) -> int:
        return self._columns.size

    @overload
    def __getitem__(self, index: int) -> InstanceFacts: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[InstanceFacts, ...]: ...
    def __getitem__(self, index: int | slice) -> InstanceFacts | tuple[InstanceFacts, ...]:
        return self._made[index]

    def __iter__(self) -> Iterator[InstanceFacts]:
        return iter(self._made)


_FIELDS = ("sop_instance_uid", "sop_class_uid", "frames", "transfer_syntax_uid", "marks")


class _InstanceAttributes(Mapping[str, Element]):
    """One instance's attributes, read from the columns of its series."""

    __slots__ = ("_bit", "_columns")

    def __init__(self, columns: _UnpackedColumns, bit: int) -> None:
        self._columns = columns
        self._bit = bit

    def __getitem__(self, keyword: str) -> Element:
        elements, at = self._columns.spread(keyword)
        index = 0 if at is None else at[self._bit] if at else -1
        if index < 0:
            raise KeyError(keyword)
        return elements[index]

    def __iter__(self) -> Iterator[str]:
        return (keyword for keyword in self._columns if keyword in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
