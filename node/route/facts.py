"""What the ledger knows of a study, as the facts that rules see (`rules/facts.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from node.ledger.facts import InstanceRecord, SeriesRecord
from node.ledger.instances import Instance
from node.ledger.studies import Study
from rules.facts import Element, InstanceFacts, Item, SeriesFacts, StudyFacts

RETRIEVED = "retrieved"


def study_facts(
    study: Study, records: Sequence[SeriesRecord], current: Sequence[Instance], now: datetime, zone: ZoneInfo
) -> StudyFacts:
    """The facts of one revision.

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
    )


def _series_facts(record: SeriesRecord, counting: set[str]) -> SeriesFacts:
    facts = tuple(_instance_facts(instance) for instance in record.instances if instance.receipt in counting)
    modality = facts[0].attributes.get("Modality") if facts else None
    return SeriesFacts(
        series_instance_uid=record.series_instance_uid,
        modality=str(modality.values[0]) if modality and modality.values else "",
        instances=facts,
    )


def _instance_facts(instance: InstanceRecord) -> InstanceFacts:
    return InstanceFacts(
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        attributes=_attributes(instance.header),
        number_of_frames=instance.frames,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        marks=frozenset(instance.marks),
    )


def _attributes(header: Mapping[str, Any]) -> Item:
    return {keyword: Element(vr, tuple(map(_value, values))) for keyword, (vr, values) in header.items()}


def _value(value: Any) -> Any:
    return _attributes(value) if isinstance(value, Mapping) else value
