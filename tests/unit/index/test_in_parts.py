"""Corrections of thousands of images: held and exchanged some at a time, and nobody uses what is done by half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.desk import actions
from node.desk.actor import Actor, ActorKind
from node.errors import PermanentError
from node.index import corrections
from node.index.children import HeaderReader
from node.index.stage import IndexStage
from node.index.stopping import stop_study
from node.ledger import exchanges, facts, hold_parts, image_turns, studies, turns
from node.ledger.database import Database
from node.ledger.due_times import MANY
from node.ledger.exchanges import CorrectionExchange
from node.route.stage import RouteStage
from rules.model import Rule
from tests.support import transactions
from tests.support.images.receipts import STUDY as RECEIVED
from tests.support.images.receipts import arrive, ct
from tests.support.sites.configurations import ruled
from tests.support.sites.index_room import Room, configuration
from tests.support.sites.job_site import STUDY, Site
from tests.unit.index.test_many_withdrawals import ARCHIVE

IMAGES = 2 * MANY + 100
CORRECTED: dict[str, Any] = {"PatientID": "P2", "PatientName": "Kim^Cheolsu"}
HONG = Actor(ActorKind.OS, "hong")
ON = Rule.model_validate({"name": "on", "when": {"Modality": "CT"}, "forward": {"to": ["archive"]}, "mode": "clinical"})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """All images of a study wait to be forwarded to an archive."""
    site = Site(tmp_path)
    site.receive(IMAGES)
    site.complete()
    stage = RouteStage(site.node, ruled([ON], destinations={"archive": ARCHIVE}), lambda _: site.catalogue())
    stage.run_once()
    assert not hold_parts.are_left(site.ledger.database, STUDY)
    return site


def stop(site: Site) -> None:
    """The study turns out wrong."""
    with site.ledger.transaction() as database:
        stop_study(database, site.clock.now(), STUDY, "it was sent again", for_good=True)


def held(site: Site) -> tuple[int, int]:
    """How many images of it are held, and how many the outbox may send."""
    database, now = site.ledger.database, site.clock.now()
    ((count,),) = database.execute("SELECT count(*) FROM deliveries WHERE status='held'").fetchall()
    return count, len(image_turns.of_study(database, "archive", now, STUDY, IMAGES))


def test_thousands_of_waiting_images_are_held_in_short_transactions_and_none_is_sent(
    site: Site, reader: HeaderReader
) -> None:
    """From the first transaction on none of them is due; the index stage holds the others, also after a crash."""
    assert held(site) == (0, IMAGES)
    with transactions.counted(site.ledger) as rows:
        stop(site)
        database = site.ledger.database
        assert held(site) == (MANY, 0)
        assert image_turns.next_study(database, "archive", site.clock.now()) is None
        assert turns.next_due_at(database, "archive") is None
        stop(site)  # each batch of a correction stops it again
        IndexStage(site.node, configuration(), reader).run_once()
    assert held(site) == (IMAGES, 0)
    assert not hold_parts.are_left(site.ledger.database, STUDY)
    assert max(rows) <= transactions.MOST


def test_what_is_being_sent_is_held_at_once(site: Site) -> None:
    """Where it arrives, a person is alerted, however many images come before it."""
    with site.ledger.transaction() as database:
        database.execute("UPDATE deliveries SET status='sending' WHERE id=(SELECT max(id) FROM deliveries)")
    stop(site)
    (found,) = site.ledger.database.execute("SELECT hold FROM deliveries WHERE status='sending'").fetchall()
    assert found == ("it was sent again",)


def test_a_study_that_is_released_leaves_nothing_to_be_held_behind_a_person(site: Site, reader: HeaderReader) -> None:
    """What is still to be held is held first: then all of it is released."""
    with site.ledger.transaction() as database:
        studies.hold(database, site.clock.now(), STUDY, "odd")
    stop(site)
    actions.release(site.ledger, STUDY, site.clock.now(), HONG)
    IndexStage(site.node, configuration(), reader).run_once()
    assert held(site) == (0, IMAGES)


def copied(site: Site) -> None:
    """Each image came again, as a correction."""
    with site.ledger.transaction() as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(instances)").fetchall()]
        stated = """json_set(comparison, '$.patient', json('{"PatientID": "P2"}'))"""
        values = {"receipt": "receipt || '-again'", "status": "'correction'", "comparison": stated}
        chosen = ",".join(values.get(each, each) for each in columns)
        database.execute(f"INSERT INTO instances ({','.join(columns)}) SELECT {chosen} FROM instances")
        for (receipt,) in database.execute("SELECT receipt FROM instances").fetchall():
            facts.add_header(database, receipt, STUDY, {})


def test_thousands_of_corrected_images_are_taken_in_short_transactions(site: Site) -> None:
    """In the end all that came last counts, and of what it replaced no header is kept."""
    copied(site)
    with site.ledger.transaction() as database:
        studies.hold(database, site.clock.now(), STUDY, "corrected")
    with transactions.counted(site.ledger) as rows:
        actions.release(site.ledger, STUDY, site.clock.now(), HONG, take_newest=True)
    database = site.ledger.database
    counted = database.execute("SELECT status, count(*) FROM instances GROUP BY status ORDER BY status").fetchall()
    assert counted == [("corrected", IMAGES), ("current", IMAGES)]
    assert database.execute("SELECT count(*) FROM headers").fetchone() == (IMAGES,)
    assert max(rows) <= transactions.MOST


@pytest.fixture
def corrected(room: Room, monkeypatch: pytest.MonkeyPatch) -> Room:
    """A held study of five images that came again under another patient; the exchange breaks off after two of them."""
    for changes in ({}, CORRECTED):
        for number in range(1, 6):
            arrive(room.data_folder, ct(number, **changes))
        room.quiet()
    monkeypatch.setattr(exchanges, "PART", 2)
    whole = exchanges.exchange_some
    calls = []

    def breaking_off(database: Database, exchange: CorrectionExchange) -> bool:
        calls.append(exchange)
        if len(calls) == 2:
            raise OSError("the process ends here")
        return whole(database, exchange)

    monkeypatch.setattr(exchanges, "exchange_some", breaking_off)
    with pytest.raises(OSError, match="ends here"):
        actions.release(room.ledger, RECEIVED, room.clock.now(), HONG, take_newest=True)
    assert sorted(room.statuses()) == ["corrected"] * 2 + ["correction"] * 3 + ["current"] * 5
    study = studies.get(room.ledger.database, RECEIVED)
    assert study is not None
    assert study.hold is not None  # nothing of it runs or is sent meanwhile
    return room


def release(room: Room, *, take_newest: bool) -> None:
    actions.release(room.ledger, RECEIVED, room.clock.now(), HONG, take_newest=take_newest)


FINISH: dict[str, Callable[[Room], object]] = {
    "the node starts again": Room.restart,
    "the same command again": lambda room: release(room, take_newest=True),
    "release alone": lambda room: release(room, take_newest=False),
}


@pytest.mark.parametrize("way", FINISH)
def test_an_exchange_that_was_cut_short_is_finished(corrected: Room, way: str) -> None:
    """By the node or the next command: the corrected patient counts, once, in a new revision, and it is released."""
    FINISH[way](corrected)
    corrected.quiet()
    study = studies.get(corrected.ledger.database, RECEIVED)
    assert study is not None
    assert (study.hold, study.patient_id, study.revision) == (None, "P2", 2)
    assert sorted(corrected.statuses()) == ["corrected"] * 5 + ["current"] * 5
    (event,) = corrected.events("study.corrected")
    assert (event.actor, event.detail["instances"]) == ("os:hong", 5)


def test_what_comes_again_meanwhile_keeps_the_study_held(corrected: Room) -> None:
    """A third patient, while the second one's images are taken: a person decides again."""
    arrive(corrected.data_folder, ct(1, PatientID="P3", PatientName="Lee^Younghee"))
    corrected.quiet()
    study = studies.get(corrected.ledger.database, RECEIVED)
    assert study is not None
    assert (study.hold is not None, study.patient_id) == (True, "P2")
    with pytest.raises(PermanentError, match="two patients"):
        release(corrected, take_newest=True)


def test_of_two_corrections_the_earlier_one_never_comes_back(room: Room) -> None:
    """The one that came last counts, and no later completion takes what it has replaced."""
    for changes in ({}, CORRECTED, {"PatientID": "P3", "PatientName": "Lee^Younghee"}):
        arrive(room.data_folder, ct(1, **changes))
        room.index.run_once()
    assert corrections.take_newest(room.ledger, room.clock.now(), RECEIVED)
    assert room.statuses() == ["corrected", "corrected", "current"]
    assert not corrections.take_newest(room.ledger, room.clock.now(), RECEIVED)
