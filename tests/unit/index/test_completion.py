"""When a study is complete: nothing in flight, association released, quiet; on a clock that may jump."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from node.index import completion, keeping
from node.ledger import database as database_module
from node.ledger import events, facts, instances, studies, study_ends
from node.ledger.database import Database, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.instances import InstanceStatus
from node.ledger.studies import Study, StudyStatus
from node.store.arrival import Arrival, file_header
from node.wake import Stage as Rooms
from tests.support.images.receipts import SERIES, STUDY, arrive, ct, encoded
from tests.support.sites.index_room import Room, configuration


def _study(room: Room, uid: str = STUDY) -> Study:
    found = studies.get(room.ledger.database, uid)
    assert found is not None
    return found


def _part(room: Room, study: str | None, association: str) -> str:
    """Leave half of an object in incoming/, as it is while it streams in."""
    dataset = ct(7, StudyInstanceUID=study or STUDY)
    arrival = Arrival(
        dataset.SOPClassUID,
        dataset.SOPInstanceUID,
        "1.2.840.10008.1.2.1",
        "CT1",
        "PACSNODE",
        "127.0.0.1",
        association,
        room.clock.now(),
    )
    content = encoded(dataset)[: 600 if study else 40]
    receipt = room.data_folder.new_receipt()
    room.data_folder.part(receipt).write_bytes(file_header(arrival) + content)
    return receipt


def test_study_is_complete_after_its_quiet_period(room: Room) -> None:
    """Not at 59 s, at 60 s; routing is woken, and the event is there."""
    bell = room.signal.subscribe(Rooms.ROUTE)
    arrive(room.data_folder, ct())
    assert room.index.run_once() == 1.0
    room.clock.pass_(seconds=59.5)
    assert room.index.run_once() == pytest.approx(0.5)
    assert _study(room).status is StudyStatus.RECEIVING
    assert not bell.is_set()
    room.clock.pass_(seconds=0.5)
    room.index.run_once()
    assert (_study(room).status, _study(room).revision) == (StudyStatus.COMPLETE, 1)
    assert bell.is_set()
    assert [one.study_instance_uid for one in studies.undecided(room.ledger.database)] == [STUDY]


def test_every_object_starts_the_quiet_period_anew(room: Room) -> None:
    """A slice each 40 s: not complete before 60 s after the last."""
    for number in range(1, 4):
        arrive(room.data_folder, ct(number))
        room.index.run_once()
        room.clock.pass_(seconds=40)
        room.index.run_once()
        assert _study(room).status is StudyStatus.RECEIVING
    room.clock.pass_(seconds=20)
    room.index.run_once()
    assert _study(room).revision == 1


@pytest.mark.parametrize(
    ("modality", "calling", "seconds"), [("CT", "CT1", 60), ("MR", "MR1", 300), ("MR", "FAST", 5), ("CT", "FAST", 5)]
)
def test_quiet_period_is_the_sources_else_the_modalitys(room: Room, modality: str, calling: str, seconds: int) -> None:
    """`modalities.x.quiet` by calling AE title, else `quiet_by_modality`, else `quiet`."""
    room.index.use(configuration(modalities={"fast": {"ae_title": "FAST", "quiet": "5s"}}))
    arrive(room.data_folder, ct(Modality=modality), calling=calling)
    room.index.run_once()
    room.clock.pass_(seconds=seconds - 0.1)
    room.index.run_once()
    assert _study(room).status is StudyStatus.RECEIVING
    room.clock.pass_(seconds=0.1)
    room.index.run_once()
    assert _study(room).status is StudyStatus.COMPLETE


def test_a_study_of_several_sources_has_the_longest_quiet_period(room: Room) -> None:
    """A dose report after an MR does not shorten the MR's 300 s."""
    arrive(room.data_folder, ct(1, Modality="MR"))
    room.index.run_once()
    arrive(room.data_folder, ct(2, Modality="SR", SeriesInstanceUID=f"{STUDY}.5"))
    room.index.run_once()
    room.clock.pass_(seconds=299)
    room.index.run_once()
    assert _study(room).status is StudyStatus.RECEIVING


def test_an_open_association_holds_its_study_back(room: Room) -> None:
    """The one that last stored to the study, and no other; until it is released."""
    with ExitStack() as open_:
        open_.enter_context(room.data_folder.association("association-1"))
        arrive(room.data_folder, ct(), association="association-1")
        arrive(
            room.data_folder, ct(StudyInstanceUID="1.2.3.2", SOPInstanceUID="1.2.3.2.1"), association="association-2"
        )
        room.quiet()
        assert _study(room).status is StudyStatus.RECEIVING
        assert _study(room, "1.2.3.2").status is StudyStatus.COMPLETE
    room.index.run_once()
    assert _study(room).status is StudyStatus.COMPLETE


def test_max_wait_ends_the_wait_for_an_association_that_is_never_released(room: Room) -> None:
    """A PACS that keeps one association open for days does not keep its studies waiting."""
    with room.data_folder.association("association-1"):
        arrive(room.data_folder, ct())
        room.quiet(599)
        assert _study(room).status is StudyStatus.RECEIVING
        room.clock.pass_(seconds=1)
        room.index.run_once()
        assert _study(room).status is StudyStatus.COMPLETE


def _end(room: Room) -> None:
    with room.ledger.transaction() as database:
        study_ends.ask(database, room.clock.now(), _study(room), "os:alice")


def test_finding_o4_a_study_is_completed_at_once_where_a_person_says_so(room: Room) -> None:
    """Neither the quiet period nor an open association nor an object in flight counts; what comes later does."""
    with room.data_folder.association("association-1"):
        arrive(room.data_folder, ct(1), association="association-1")
        _part(room, STUDY, "association-1")
        room.index.run_once()
        _end(room)
        room.restart()
        room.index.run_once()
        assert (_study(room).status, _study(room).revision) == (StudyStatus.COMPLETE, 1)
        assert study_ends.asked(room.ledger.database) == {}
        arrive(room.data_folder, ct(2))
        room.index.run_once()
        assert _study(room).status is StudyStatus.RECEIVING
        room.clock.pass_(seconds=59)
        room.index.run_once()
        assert _study(room).revision == 1


def test_finding_o4_what_has_come_is_in_the_revision_that_a_person_asked_for(room: Room) -> None:
    """A slice that is stored and not indexed yet when the person asks counts; the other studies go on as they were."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, ct(StudyInstanceUID="1.2.3.2", SOPInstanceUID="1.2.3.2.1"))
    room.index.run_once()
    arrive(room.data_folder, ct(2))
    _end(room)
    room.index.run_once()
    assert [len(one.instances) for one in facts.of_study(room.ledger.database, STUDY, 1)] == [2]
    assert _study(room, "1.2.3.2").status is StudyStatus.RECEIVING


@pytest.mark.parametrize(("in_flight", "complete"), [(STUDY, False), (None, False), ("1.2.3.2", True)])
def test_an_object_in_flight_holds_its_study_back(room: Room, in_flight: str | None, complete: bool) -> None:
    """One of this study does, one of which the study is not known yet may be, one of another study does not."""
    with room.data_folder.association("association-9"):
        arrive(room.data_folder, ct())
        _part(room, in_flight, "association-9")
        room.quiet()
        assert (_study(room).status is StudyStatus.COMPLETE) is complete


def test_what_a_dead_association_left_half_written_holds_nothing_back(room: Room) -> None:
    """Its lock is gone, so nothing of it will ever come."""
    arrive(room.data_folder, ct())
    _part(room, STUDY, "association-dead")
    room.quiet()
    assert _study(room).status is StudyStatus.COMPLETE


@pytest.mark.parametrize("hours", [-1, 1])
def test_fault_57_a_jump_of_the_wall_clock_changes_no_timer(room: Room, hours: int) -> None:
    """An hour forwards or backwards while a study is received: complete after 60 s of real time, as always."""
    arrive(room.data_folder, ct())
    room.index.run_once()
    room.clock.jump(hours=hours)
    room.index.run_once()
    assert _study(room).status is StudyStatus.RECEIVING
    room.clock.pass_(seconds=59)
    room.index.run_once()
    assert _study(room).status is StudyStatus.RECEIVING
    room.clock.pass_(seconds=1)
    room.index.run_once()
    assert _study(room).status is StudyStatus.COMPLETE


def test_fault_57_a_jump_while_the_node_was_down_costs_one_quiet_period_at_most(room: Room) -> None:
    """The clock is set back an hour over a restart: due in 60 s, not in an hour."""
    arrive(room.data_folder, ct())
    room.index.run_once()
    room.clock.jump(hours=-1)
    room.restart()
    room.quiet(60)
    assert _study(room).status is StudyStatus.COMPLETE


def test_the_quiet_period_goes_on_over_a_restart(room: Room) -> None:
    """40 s before the restart and 20 s after it are 60 s."""
    arrive(room.data_folder, ct())
    room.index.run_once()
    room.clock.pass_(seconds=40)
    room.restart()
    room.quiet(19)
    assert _study(room).status is StudyStatus.RECEIVING
    room.clock.pass_(seconds=1)
    room.index.run_once()
    assert _study(room).status is StudyStatus.COMPLETE


def test_fault_49_late_instances_make_a_new_revision(room: Room) -> None:
    """Complete, one more slice, complete again: revision 2 has all, revision 1 what it had."""
    arrive(room.data_folder, ct(1))
    room.quiet()
    arrive(room.data_folder, ct(2))
    room.quiet()
    database = room.ledger.database
    assert _study(room).revision == 2
    assert room.events("study.grows")
    sizes = [len(facts.of_study(database, STUDY, revision)[0].instances) for revision in (1, 2)]
    assert sizes == [1, 2]


def test_a_study_that_cannot_be_completed_stops_no_other(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect nobody foresaw costs one study, with an alert, and is tried again later."""
    keep = completion.keep_facts  # type: ignore[attr-defined]

    def fails(database: Database, study: str, *more: Any) -> None:
        if study == STUDY:
            raise KeyError(study)
        keep(database, study, *more)

    arrive(room.data_folder, ct())
    arrive(room.data_folder, ct(StudyInstanceUID="1.2.3.2", SOPInstanceUID="1.2.3.2.1"))
    with monkeypatch.context() as patched:
        patched.setattr(completion, "keep_facts", fails)
        room.quiet()
        room.index.run_once()
    assert _study(room).status is StudyStatus.RECEIVING
    assert _study(room, "1.2.3.2").status is StudyStatus.COMPLETE
    assert len(room.events("study.not-completed")) == 1
    room.quiet(600)
    assert _study(room).revision == 1


def test_records_are_made_before_the_transaction_that_keeps_them(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other writers do not wait while headers are compressed: the ledger can be written to at that time."""
    second, pack, made = Ledger(room.ledger.path), facts.packed, []

    def packed(record: facts.SeriesRecord) -> facts.PackedSeries:
        with second.transaction() as database:
            events.record(database, room.clock.now(), EventKind.ITEM_RECOVERED)
        made.append(record.series_instance_uid)
        return pack(record)

    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(facts, "packed", packed)
    arrive(room.data_folder, ct())
    room.quiet()
    assert _study(room).status is StudyStatus.COMPLETE
    assert made == [SERIES]


def test_records_are_made_again_where_something_came_between(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process rejects an image after the records were made: what is kept is what counts."""
    prepare = keeping.prepare

    def and_then(ledger: Ledger, *of: Any) -> keeping.StudyRecords:
        prepared = prepare(ledger, *of)
        (_, last) = instances.of_study(ledger.database, STUDY)
        with ledger.transaction() as database:
            instances.set_status(database, last.receipt, InstanceStatus.REJECTED)
        return prepared

    monkeypatch.setattr(completion, "prepare", and_then)
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, ct(2))
    room.quiet()
    (record,) = facts.of_study(room.ledger.database, STUDY, 1)
    assert [one.receipt for one in record.instances] == [
        one.receipt for one in instances.of_study(room.ledger.database, STUDY)
    ]
    assert len(record.instances) == 1


def test_only_series_that_changed_are_kept_anew(room: Room) -> None:
    """A late instance of one series writes no second record of the other; both are there at revision 2."""
    arrive(room.data_folder, ct(1))
    arrive(room.data_folder, ct(2, SeriesInstanceUID=f"{STUDY}.2"))
    room.quiet()
    arrive(room.data_folder, ct(3))
    room.quiet()
    rows = room.ledger.database.query("SELECT series_instance_uid, revision FROM series_facts ORDER BY 1, 2")
    assert [(row["series_instance_uid"], row["revision"]) for row in rows] == [
        (SERIES, 1),
        (SERIES, 2),
        (f"{STUDY}.2", 1),
    ]
    records = facts.of_study(room.ledger.database, STUDY, 2)
    assert sorted(len(record.instances) for record in records) == [1, 2]


def test_facts_hold_what_the_rules_are_promised(room: Room) -> None:
    """Keyword, VR and decoded values as they were received; headers are not kept twice."""
    arrive(room.data_folder, ct(PatientName="홍^길동"))
    room.quiet()
    (record,) = facts.of_study(room.ledger.database, STUDY, 1)
    (instance,) = record.instances
    assert instance.header["PatientName"] == ["PN", ["홍^길동"]]
    assert instance.header["PixelSpacing"] == ["DS", [0.7, 0.7]]
    assert instance.header["Rows"] == ["US", [64]]
    assert instance.header["PixelData"] == ["OW", [], 1]
    assert (instance.frames, instance.marks) == (1, ())
    assert facts.headers_of(room.ledger.database, STUDY) == {}


def test_a_duplicate_while_receiving_shows_that_the_source_is_not_quiet(room: Room) -> None:
    """A scanner that starts over sends what is known first: the study waits for what follows."""
    arrive(room.data_folder, ct(1))
    room.index.run_once()
    room.clock.pass_(seconds=50)
    arrive(room.data_folder, ct(1))
    room.quiet(50)
    assert _study(room).status is StudyStatus.RECEIVING
