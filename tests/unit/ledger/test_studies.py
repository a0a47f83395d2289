"""Studies, instances and facts: their rows, and what is read back."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from node.ledger import events, facts, instances, rejections, studies
from node.ledger.database import Ledger
from node.ledger.event_kinds import Severity
from node.ledger.facts import InstanceRecord, SeriesRecord
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.rejections import RejectedInstance
from node.ledger.studies import StudyStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def _received(ledger: Ledger, study: str, at: datetime, association: str = "a1") -> None:
    with ledger.transaction() as database:
        studies.received(
            database,
            at,
            study=study,
            patient_id="P1",
            issuer_of_patient_id="",
            accession_number="A1",
            association=association,
            received_at=at,
            due_at=at + timedelta(seconds=60),
        )


def _instance(receipt: str, **changes: Any) -> Instance:
    fields: dict[str, Any] = {
        "receipt": receipt,
        "sop_instance_uid": f"1.2.{receipt}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "study_instance_uid": "1.2",
        "series_instance_uid": "1.2.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "status": InstanceStatus.CURRENT,
        "digest": "d",
        "comparison": {"patient": {"PatientID": "x"}},
        "marks": {},
        "frames": 1,
        "bytes": 10,
        "calling_ae_title": "CT1",
        "called_ae_title": "PACSNODE",
        "peer_address": "127.0.0.1",
        "association": "a1",
        "origin": "received",
        "received_at": NOW,
    } | changes
    return Instance(**fields)


def _insert(ledger: Ledger, *made: Instance) -> None:
    with ledger.transaction() as database:
        studies.series_received(
            database, study="1.2", series="1.2.1", modality="CT", description="Chest", received_at=NOW
        )
        for instance in made:
            instances.insert(database, instance)


def test_a_study_is_received_complete_and_grows(ledger: Ledger) -> None:
    """New → receiving; complete → revision 1; received again → receiving, then revision 2; each with its event."""
    _received(ledger, "1.5", NOW)
    assert [study.study_instance_uid for study in studies.receiving(ledger.database)] == ["1.5"]
    with ledger.transaction() as database:
        assert studies.complete(database, NOW, "1.5") == 1
    _received(ledger, "1.5", LATER, "a2")
    study = studies.get(ledger.database, "1.5")
    assert study is not None
    assert (study.status, study.revision, study.last_association) == (StudyStatus.RECEIVING, 1, "a2")
    assert (study.first_received_at, study.last_received_at) == (NOW, LATER)
    with ledger.transaction() as database:
        assert studies.complete(database, LATER, "1.5") == 2
    kinds = [event.kind for event in events.of_study(ledger.database, "1.5")]
    assert kinds == ["study.first-received", "study.complete", "study.grows", "study.complete"]


def test_an_older_receipt_does_not_turn_time_back(ledger: Ledger) -> None:
    """Receipts of two receivers may be indexed out of order."""
    _received(ledger, "1.5", LATER)
    _received(ledger, "1.5", NOW)
    study = studies.get(ledger.database, "1.5")
    assert study is not None
    assert study.last_received_at == LATER


def test_undecided_are_complete_revisions_without_decision(ledger: Ledger) -> None:
    """Decided once a revision; a newer revision has to be decided anew."""
    assert [study.study_instance_uid for study in studies.undecided(ledger.database)] == ["1.2"]
    with ledger.transaction() as database:
        studies.decided(database, NOW, "1.2", 1)
    assert studies.undecided(ledger.database) == []
    with ledger.transaction() as database:
        studies.reopened(database, NOW, "1.2", LATER, "instances were rejected")
        assert studies.undecided(database) == []
        studies.complete(database, LATER, "1.2")
    assert [study.revision for study in studies.undecided(ledger.database)] == [2]


def test_hold_and_release(ledger: Ledger) -> None:
    """Held with an alert and a reason, released by somebody; held studies are listed."""
    with ledger.transaction() as database:
        studies.hold(database, NOW, "1.2", "why")
    assert [study.hold for study in studies.held(ledger.database)] == ["why"]
    with ledger.transaction() as database:
        studies.unhold(database, NOW, "1.2", "admin")
    assert studies.held(ledger.database) == []
    found = events.of_study(ledger.database, "1.2")[-2:]
    assert [(event.kind, event.severity) for event in found] == [
        ("study.held", Severity.WARNING),
        ("study.released", Severity.INFO),
    ]


def test_instances_are_read_back_as_written(ledger: Ledger) -> None:
    """Every field, whatever its type."""
    made = _instance("r1", marks={"truncated-pixel-data": "why"}, frames=300, bytes=2**40)
    _insert(ledger, made)
    assert instances.by_receipt(ledger.database, "r1") == made
    assert instances.current(ledger.database, "1.2.r1") == made
    assert instances.by_receipt(ledger.database, "none") is None


def test_only_one_instance_is_current_under_a_uid(ledger: Ledger) -> None:
    """The database itself refuses a second; duplicates and conflicts may stand beside it."""
    _insert(ledger, _instance("r1"), _instance("r2", sop_instance_uid="1.2.r1", status=InstanceStatus.CONFLICT))
    with pytest.raises(sqlite3.IntegrityError):
        _insert(ledger, _instance("r3", sop_instance_uid="1.2.r1"))
    with ledger.transaction() as database:
        instances.set_status(database, "r1", InstanceStatus.REJECTED)
    with pytest.raises(sqlite3.IntegrityError):
        _insert(ledger, _instance("r3", sop_instance_uid="1.2.r1"))
    receipts = [one.receipt for one in instances.of_sop_instance(ledger.database, "1.2.r1")]
    assert receipts == ["r1", "r2"]


def test_known_among_many(ledger: Ledger) -> None:
    """More receipts than SQLite takes parameters at once."""
    _insert(ledger, _instance("r1"))
    asked = [f"x{number}" for number in range(40_000)] + ["r1"]
    assert instances.known(ledger.database, asked) == {"r1"}


def test_witness_is_one_that_says_whose_study_it_is(ledger: Ledger) -> None:
    """With a Patient ID before without; quarantined ones say nothing."""
    _insert(
        ledger,
        _instance("r1", comparison={"patient": {}}),
        _instance("r2", status=InstanceStatus.CONFLICT),
        _instance("r3"),
    )
    found = instances.witness(ledger.database, "1.2")
    assert found is not None
    assert found.receipt == "r3"
    assert instances.witness(ledger.database, "none") is None


def test_sources_statuses_and_totals(ledger: Ledger) -> None:
    """Where a study came from; how many receipts count as what."""
    _insert(
        ledger, _instance("r1"), _instance("r2", calling_ae_title="PACS"), _instance("r3", status=InstanceStatus.OWN)
    )
    assert instances.sources(ledger.database, "1.2") == {("CT1", "CT", "received"), ("PACS", "CT", "received")}
    assert [one.receipt for one in instances.of_study(ledger.database, "1.2")] == ["r1", "r2"]
    assert instances.counts(ledger.database, "1.2") == {InstanceStatus.CURRENT: 2, InstanceStatus.OWN: 1}


def test_rejections_are_known_by_study_and_instance(ledger: Ledger) -> None:
    """Recorded once a note; another study's instance of that UID is not meant."""
    _insert(ledger, _instance("note"))
    with ledger.transaction() as database:
        for _ in range(2):
            rejections.add(database, [RejectedInstance("1.9", "1.2", "note", "113001")])
    assert [one.title for one in rejections.of_instance(ledger.database, "1.2", "1.9")] == ["113001"]
    assert rejections.of_instance(ledger.database, "1.3", "1.9") == []


def _record(*receipts: str, thickness: float = 1.0) -> SeriesRecord:
    header = {"Modality": ["CS", ["CT"]], "SliceThickness": ["DS", [thickness]]}
    return SeriesRecord(
        "1.2.1",
        tuple(
            InstanceRecord(
                receipt,
                f"1.2.{receipt}",
                "1.2.840",
                "1.2.840.10008.1.2.1",
                1,
                ("lossy",),
                {**header, "InstanceNumber": ["IS", [number]], **({"KVP": ["DS", []]} if number else {})},
            )
            for number, receipt in enumerate(receipts)
        ),
    )


def test_facts_are_read_back_as_they_were_at_each_revision(ledger: Ledger) -> None:
    """Columns in, headers out: absent stays absent, empty stays empty; the newest record up to a revision counts."""
    with ledger.transaction() as database:
        facts.save(database, "1.2", 1, facts.packed(_record("r1", "r2")))
        facts.save(database, "1.2", 3, facts.packed(_record("r1", "r2", "r3", thickness=2.0)))
        facts.save(database, "1.2", 4, facts.packed(SeriesRecord("1.2.1", ())))
    assert facts.of_study(ledger.database, "1.2", 1) == [_record("r1", "r2")]
    assert facts.of_study(ledger.database, "1.2", 2) == [_record("r1", "r2")]
    assert facts.of_study(ledger.database, "1.2", 3) == [_record("r1", "r2", "r3", thickness=2.0)]
    assert facts.of_study(ledger.database, "1.2", 4) == []
    assert facts.of_study(ledger.database, "1.2", 0) == []


def test_headers_wait_until_a_record_holds_them(ledger: Ledger) -> None:
    """Kept a row each from arrival to completion, found in the record afterwards."""
    _insert(ledger, _instance("r1"), _instance("r2"))
    header = {"PatientName": ["PN", ["홍^길동"]]}
    with ledger.transaction() as database:
        facts.add_header(database, "r1", "1.2", header)
        facts.add_header(database, "r2", "1.2", header)
        facts.drop_header(database, "r2")
    assert facts.headers_of(ledger.database, "1.2") == {"r1": header}
    assert facts.header_of(ledger.database, "1.2", "r1") == header
    with ledger.transaction() as database:
        facts.save(database, "1.2", 1, facts.packed(_record("r1")))
    assert facts.headers_of(ledger.database, "1.2") == {}
    kept = facts.header_of(ledger.database, "1.2", "r1")
    assert kept is not None
    assert kept["Modality"] == ["CS", ["CT"]]
    assert facts.header_of(ledger.database, "1.2", "r9") is None
