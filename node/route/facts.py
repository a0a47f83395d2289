"""What the ledger knows of a study, as the facts that rules see (`rules/facts.py`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

from node.ledger.facts import SeriesColumns
from node.ledger.instances import Arrived
from node.ledger.studies import Study
from rules.facts import ABSENT, Element, History, InstanceFacts, SeriesFacts, Spread, StudyFacts

RETRIEVED = "retrieved"


def study_facts(
    study: Study, records: Sequence[SeriesColumns], current: Sequence[Arrived], now: datetime, zone: ZoneInfo,
    history: Mapping[str, History] = MappingProxyType({}),
) -> StudyFacts:  # fmt: skip
    """The facts of one revision; `records` are those of `ledger.facts.columns_of_study`.

    `current` are the instances that count now: one that was rejected or replaced since the records were
    kept is left out. A study is `retrieved` where this node fetched every instance of it.
    """
    assert study.completed_at is not None, study.study_instance_uid
    counting = {instance.receipt for instance in current}
    every = [_series_facts(record, counting) for record in records]
    origin: Literal["received", "retrieved"] = (
        "retrieved" if current and all(instance.origin == RETRIEVED for instance in current) else "received"
    )
    return StudyFacts(
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        series=tuple(series for series in every if series.instances),
        origin=origin,
        calling_ae_titles=frozenset(instance.calling_ae_title for instance in current),
        called_ae_titles=frozenset(instance.called_ae_title for instance in current),
        peer_addresses=frozenset(instance.peer_address for instance in current),
        received_at=study.first_received_at.astimezone(zone),
        completed_at=study.completed_at.astimezone(zone),
        now=now.astimezone(zone),
        history=history,
    )


def _series_facts(kept: SeriesColumns, counting: Collection[str]) -> SeriesFacts:
    receipts = kept.fields["receipt"]
    places = [place for place, receipt in enumerate(receipts) if receipt in counting]
    columns = _Columns(kept, None if len(places) == len(receipts) else places)
    uids, classes, frames, syntaxes, marks = (kept.fields[name] for name in _FIELDS)
    facts = tuple(
        InstanceFacts(uids[at], classes[at], _Row(columns, bit), frames[at], syntaxes[at], frozenset(marks[at]))
        for bit, at in enumerate(places)
    )
    modality = facts[0].attributes.get("Modality") if facts else None
    return SeriesFacts(
        series_instance_uid=kept.series_instance_uid,
        modality=str(modality.values[0]) if modality and modality.values else "",
        instances=facts,
        spread=columns.spread,
    )


_FIELDS = ("sop_instance_uid", "sop_class_uid", "frames", "transfer_syntax_uid", "marks")


class _Columns:
    """The attributes of a series' instances; what no rule asks for is never unpacked."""

    def __init__(self, kept: SeriesColumns, places: Sequence[int] | None) -> None:
        self._kept = kept
        self._places = places
        self._known: dict[str, Spread] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept.keywords)

    def spread(self, keyword: str) -> Spread:
        """The distinct elements of an attribute, and which instance has which."""
        known = self._known.get(keyword)
        if known is None:
            known = self._known[keyword] = self._read(keyword)
        return known

    def _read(self, keyword: str) -> Spread:
        column = self._kept.column(keyword)
        if column is None:
            return ABSENT
        elements, at = column
        if at is not None and self._places is not None:
            at = [at[place] for place in self._places]
        return Spread(tuple(_element(*each) for each in elements), at)


class _Row(Mapping[str, Element]):
    """One instance's attributes, read from the columns of its series."""

    __slots__ = ("_bit", "_columns")

    def __init__(self, columns: _Columns, bit: int) -> None:
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


def _element(vr: str, values: Sequence[Any]) -> Element:
    return Element(vr, tuple(map(_value, values)))


def _value(value: Any) -> Any:
    return {name: _element(*element) for name, element in value.items()} if isinstance(value, Mapping) else value
