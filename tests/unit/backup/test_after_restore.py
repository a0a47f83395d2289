"""After a restore no UID ever has two contents, and no second result is sent unasked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.backup.making import BackupRun
from node.backup.restoring import restore
from node.backup.verifying import verify
from node.desk import actions
from node.desk import earlier_results as desk
from node.desk.actor import Actor, ActorKind
from node.desk.earlier_results import EarlierResultsAnswer
from node.errors import NotFoundError, PermanentError, TransientError
from node.index.children import HeaderReader
from node.ledger import alerts, deliveries, earlier_results, objects, reindexings, studies
from node.ledger.alert_kinds import AlertKind
from node.ledger.delivery import DeliveryStatus
from node.ledger.earlier_results import EarlierResultsStatus
from node.serve import lost_ledger, upgrade
from tests.support.clocks import HandClock
from tests.support.images.receipts import arrive, ct
from tests.support.sites.earlier import RELEASES, STUDIES, rule_of, unpack
from tests.support.sites.whole_site import START, KeepingPacs, WholeSite

RULE: dict[str, Any] = {
    "name": "all-ct",
    "description": "Is the chest quiet?",
    "when": {"Modality": "CT"},
    "choose": {"where": {"Modality": "CT"}},
    "run": "quiet",
    "send": ["pacs"],
    "mode": "pilot",
}
HONG = Actor(ActorKind.OS, "hong")
Make = Callable[..., WholeSite]


@pytest.fixture
def make(tmp_path: Path, reader: HeaderReader) -> Iterator[Make]:
    """Makes sites in folders of their own, with one PACS for all of them."""
    made: list[WholeSite] = []
    pacs = KeepingPacs()

    def site(name: str, hours: float = 0.0) -> WholeSite:
        made.append(WholeSite(tmp_path / name, reader, RULE, pacs, START + timedelta(hours=hours)))
        return made[-1]

    yield site
    for each in made:
        each.close()


def receive(site: WholeSite, study: str, *numbers: int) -> None:
    """A scanner sends these images of a study."""
    for number in numbers or (1, 2):
        series = f"{study}.1"
        arrive(
            site.data_folder,
            ct(number, StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}"),
        )


def work(site: WholeSite, *, send: bool = True) -> None:
    """All that is to be done, until nothing is under way."""
    site.go_on()
    if send:
        site.outbox.run_once()


def lose_and_restore(site: WholeSite, target: Path, make: Make, name: str, hours: float = 2.0) -> WholeSite:
    """The machine burnt down: a new one goes on with the backup."""
    site.close()
    site.ledger.close()
    restore(target, target.parent / name / "data", site.clock, by="os:kim")
    found = make(name, hours)
    upgrade.check_files(found.ledger, found.data_folder, found.clock)
    lost_ledger.check(found.ledger, found.data_folder, found.clock)
    return found


def statuses(site: WholeSite, study: str) -> set[DeliveryStatus]:
    return {each.status for each in deliveries.results_of_study(site.ledger.database, study)}


def test_a_backup_ten_studies_a_loss_and_a_restore(make: Make, tmp_path: Path) -> None:
    """The scanner sends the ten studies again: each is analysed again, and none is sent a second time unasked.

    What waited at the backup and was sent since is settled without being sent again. Whatever a person answers, no UID
    ever has two contents.
    """
    site = make("first")
    receive(site, "1.9.1")
    work(site, send=False)  # its result waits
    receive(site, "1.9.2")
    site.index.run_once()  # it is being received
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    later = [f"1.9.{number}" for number in range(3, 13)]
    for study in later:
        receive(site, study)
    work(site)
    pacs = site.pacs
    assert {study: len(pacs.of_study(study)) for study in ("1.9.1", "1.9.2", *later)} == dict.fromkeys(
        ("1.9.1", "1.9.2", *later), 2
    )
    sent = len(pacs.received)

    new = lose_and_restore(site, tmp_path / "b", make, "second")
    for study in later:
        receive(new, study)
    work(new)
    for _ in range(3):
        new.clock.pass_(minutes=30)  # type: ignore[attr-defined]
        work(new)
    assert len(pacs.received) == sent, "a second result was sent unasked"
    assert statuses(new, "1.9.1") == {DeliveryStatus.DELIVERED}
    asked = desk.questions(new.ledger)
    assert {each.study_instance_uid for each in asked} == {"1.9.2", *later}
    assert all(each.status is EarlierResultsStatus.FOUND for each in asked)

    desk.answer(new.ledger, later[0], "", EarlierResultsAnswer.AS_SENT, new.clock.now(), HONG)
    desk.answer(new.ledger, later[1], "", EarlierResultsAnswer.SEND, new.clock.now(), HONG)
    work(new)
    assert statuses(new, later[0]) == {DeliveryStatus.CANCELLED}
    assert len(pacs.of_study(later[0])) == 2
    assert len(pacs.of_study(later[1])) == 4
    assert {uid for uid, contents in pacs.contents.items() if len(contents) > 1} == set()
    assert len(desk.questions(new.ledger)) == 9
    assert verify(new.data_folder.data).sound


def test_what_is_sent_instead_names_what_is_there_as_its_predecessor(make: Make, tmp_path: Path) -> None:
    """The new report replaces the old one by reference, and says that it is the second (PS3.3 C.17.2)."""
    site = make("first")
    receive(site, "1.9.2")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    work(site)
    earlier = {uid: header for uid, header in site.pacs.headers.items() if header["Modality"] == "SR"}
    new = lose_and_restore(site, tmp_path / "b", make, "second")
    work(new)
    (asked,) = desk.questions(new.ledger)
    assert sorted(each.modality for each in asked.series) == ["OT", "SR"]
    desk.answer(new.ledger, "1.9.2", "pacs", EarlierResultsAnswer.SEND, new.clock.now(), HONG)
    work(new)
    (job,) = new.jobs("1.9.2")
    sent = [each for each in new.pacs.received if each not in earlier]
    made = {each.sop_instance_uid: each for each in objects.of_job(new.ledger.database, job.id) if each.kind == "sr"}
    (uid,) = set(made) & set(sent)
    report = dcmread(new.data_folder.data / made[uid].file)
    (predecessor,) = report.PredecessorDocumentsSequence
    named = predecessor.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert {named} == set(earlier)
    assert report.SeriesDescription.endswith("r2")
    with pytest.raises(NotFoundError, match="nothing is asked"):
        desk.answer(new.ledger, "1.9.2", "", EarlierResultsAnswer.SEND, new.clock.now(), HONG)


def test_a_study_of_after_the_restore_is_not_asked_about(make: Make, tmp_path: Path) -> None:
    """Its images did not exist: its results go at once."""
    site = make("first")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    new = lose_and_restore(site, tmp_path / "b", make, "second")
    new.pacs.fails = PermanentError("refuses the C-FIND")
    arrive(new.data_folder, ct(1, StudyInstanceUID="1.9.7", SOPInstanceUID="1.9.7.1", StudyDate="20260309"))
    work(new)
    assert statuses(new, "1.9.7") == {DeliveryStatus.DELIVERED}


def test_a_destination_that_has_nothing_of_ours_gets_the_result(make: Make, tmp_path: Path) -> None:
    """Asked once, and no person is asked; what it has of others is not ours."""
    site = make("first")
    receive(site, "1.9.2")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    site.pacs.headers["1.9.2.1.1"] = {
        "StudyInstanceUID": "1.9.2",
        "SeriesInstanceUID": "1.9.2.1",
        "Modality": "CT",
        "Manufacturer": "A maker of scanners",
    }
    new = lose_and_restore(site, tmp_path / "b", make, "second")
    work(new)
    assert statuses(new, "1.9.2") == {DeliveryStatus.DELIVERED}
    found = earlier_results.get(new.ledger.database, "1.9.2", "pacs")
    assert found is not None
    assert found.status is EarlierResultsStatus.NONE
    receive(new, "1.9.2", 3)
    new.pacs.fails = PermanentError("is asked a second time")
    work(new)
    assert statuses(new, "1.9.2") == {DeliveryStatus.DELIVERED}


@pytest.mark.parametrize(("answer", "sent"), [(EarlierResultsAnswer.AS_SENT, 0), (EarlierResultsAnswer.SEND, 2)])
def test_a_destination_that_answers_no_such_question_is_for_a_person(
    make: Make, tmp_path: Path, answer: EarlierResultsAnswer, sent: int
) -> None:
    """Nobody knows: an alert that closes with the answer. What is sent goes as it was made."""
    site = make("first")
    receive(site, "1.9.2")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    new = lose_and_restore(site, tmp_path / "b", make, "second")
    new.pacs.fails = PermanentError("PACS refuses the C-FIND: A900")
    work(new)
    assert statuses(new, "1.9.2") == {DeliveryStatus.HELD}
    (asked,) = desk.questions(new.ledger)
    assert asked.question.endswith("is not known: PACS refuses the C-FIND: A900")
    open_kinds = {each.kind for each in alerts.open_ones(new.ledger.database, 20)}
    assert AlertKind.RESULTS_PERHAPS_SENT in open_kinds
    desk.answer(new.ledger, "1.9.2", "", answer, new.clock.now(), HONG)
    work(new)
    assert len(new.pacs.received) == sent
    (alert,) = [
        each for each in alerts.of_study(new.ledger.database, "1.9.2") if each.kind is AlertKind.RESULTS_PERHAPS_SENT
    ]
    assert alert.id in alerts.over(new.ledger.database)


def test_a_destination_that_is_down_is_asked_later(make: Make, tmp_path: Path) -> None:
    """The result waits, and nobody is asked meanwhile."""
    site = make("first")
    receive(site, "1.9.2")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    new = lose_and_restore(site, tmp_path / "b", make, "second")
    new.pacs.fails = TransientError("PACS does not answer")
    work(new)
    assert statuses(new, "1.9.2") == {DeliveryStatus.WAITING}
    assert desk.questions(new.ledger) == []
    new.pacs.fails = None
    new.clock.pass_(minutes=30)  # type: ignore[attr-defined]
    work(new)
    assert statuses(new, "1.9.2") == {DeliveryStatus.DELIVERED}


def test_what_came_of_a_later_job_after_taken_as_sent_is_asked_again(make: Make, tmp_path: Path) -> None:
    """The answer was about the results that were there: the destination may have those of the next revision as well."""
    site = make("first")
    receive(site, "1.9.2")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    work(site)
    new = lose_and_restore(site, tmp_path / "b", make, "second")
    work(new)
    desk.answer(new.ledger, "1.9.2", "", EarlierResultsAnswer.AS_SENT, new.clock.now(), HONG)
    sent = len(new.pacs.received)
    receive(new, "1.9.2", 3)
    work(new)
    assert len(new.pacs.received) == sent
    assert [each.study_instance_uid for each in desk.questions(new.ledger)] == ["1.9.2"]


def test_two_restores_of_one_backup_share_no_uid(make: Make, tmp_path: Path) -> None:
    """The job that was queued then is run in three lives of the node; each makes objects of its own."""
    site = make("first")
    receive(site, "1.9.2")
    site.index.run_once()
    site.clock.pass_(minutes=10)  # type: ignore[attr-defined]
    site.index.run_once()
    site.route.run_once()
    (queued,) = site.jobs("1.9.2")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    uids: list[set[str]] = []
    for life in (site, None, None):
        one = life or lose_and_restore(site, tmp_path / "b", make, f"life {len(uids)}")
        work(one, send=False)
        (job,) = one.jobs("1.9.2")
        assert job.id == queued.id
        uids.append({each.sop_instance_uid for each in objects.of_job(one.ledger.database, job.id)})
    assert [len(each) for each in uids] == [2, 2, 2]
    assert len(set.union(*uids)) == 6


@pytest.mark.parametrize("release", RELEASES)
def test_a_data_folder_of_an_earlier_release_is_backed_up_and_restored(
    release: str, tmp_path: Path, reader: HeaderReader
) -> None:
    """Before its first start under this release, with studies under way: all of them get their results."""
    old = unpack(release, tmp_path / "old")
    BackupRun(old, tmp_path / "b", HandClock(), by="os:hong").make()
    restore(tmp_path / "b", tmp_path / "new" / "data", HandClock(), by="os:kim")
    site = WholeSite(tmp_path / "new", reader, rule_of(release))
    try:
        upgrade.check_files(site.ledger, site.data_folder, site.clock)
        site.go_on()
        site.outbox.run_once()
        for study in STUDIES[:5]:
            assert statuses(site, study) == {DeliveryStatus.DELIVERED}, study
        assert verify(site.data_folder.data).sound
    finally:
        site.close()


def test_images_on_the_old_disk_are_indexed_and_held(make: Make, tmp_path: Path) -> None:
    """Copied into the store of the restored folder, as the handbook says: nobody has to send them again."""
    site = make("first")
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    receive(site, "1.9.5")
    work(site)
    site.close()
    site.ledger.close()
    data = tmp_path / "second" / "data"
    restore(tmp_path / "b", data, site.clock, by="os:kim")
    shutil.copytree(site.data_folder.store, data / "store", dirs_exist_ok=True)
    new = make("second", 2.0)
    lost_ledger.check(new.ledger, new.data_folder, new.clock)
    for _ in range(3):
        new.index.run_once()
        new.clock.pass_(minutes=10)  # type: ignore[attr-defined]
    row = studies.get(new.ledger.database, "1.9.5")
    assert row is not None
    assert row.hold == reindexings.HOLD
    sent = len(new.pacs.received)
    actions.retry(new.ledger, "1.9.5", new.clock.now(), HONG)
    work(new)
    assert len(new.pacs.received) == sent
    assert [each.study_instance_uid for each in desk.questions(new.ledger)] == ["1.9.5"]
    assert verify(data).sound
