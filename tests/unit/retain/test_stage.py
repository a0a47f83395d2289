"""What goes when, seen on the disk and in the ledger: a stage that is driven by hand."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import time, timedelta
from pathlib import Path

import pytest

from node.ledger import (
    alerts,
    backups,
    commitments,
    deliveries,
    instances,
    job_files,
    jobs,
    purges,
    retention_runs,
    studies,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.commitment import NewCommitment
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job_files import JobFiles
from node.ledger.purges import PurgeKind
from node.ledger.studies import StudyImages
from node.retain.stage import RetainStage, begin
from tests.support import history
from tests.support.sites import retained
from tests.support.sites.outcomes import deliver, queue_job
from tests.support.sites.retained import RetainSite, configured, run

GiB = 2**30


@pytest.fixture
def site(tmp_path: Path) -> RetainSite:
    return RetainSite(tmp_path)


def test_without_the_section_nothing_is_deleted(site: RetainSite) -> None:
    """However old it is, and whatever asks for it."""
    site.study("1.1")
    site.hand.pass_(days=4000)
    site.go()
    assert len(site.stored()) == 3
    ran = retention_runs.last(site.ledger.database)
    assert ran is not None
    assert dict(ran.done) == {}


def test_each_class_goes_at_its_own_age(site: RetainSite) -> None:
    """What no rule wanted after 2 days, what was fetched after 3, the others' images after 30."""
    site.study("1.1")
    site.study("1.2", origin="retrieved")
    site.reported("1.3", site.study("1.3"))
    ages = {"unmatched": "2d", "fetched": "3d", "images": "30d"}
    found = []
    for days in (1.9, 0.2, 1, 26, 1):
        site.hand.pass_(days=days)
        site.go(**ages)
        found.append([uid for uid in ("1.1", "1.2", "1.3") if site.images(uid) is StudyImages.HERE])
    assert found == [["1.1", "1.2", "1.3"], ["1.2", "1.3"], ["1.3"], ["1.3"], []]
    kinds = [each.kind for uid in ("1.1", "1.2", "1.3") for each in purges.of_study(site.ledger.database, uid)]
    assert kinds == [PurgeKind.UNMATCHED, PurgeKind.FETCHED, PurgeKind.IMAGES]
    assert site.stored() == []
    assert len(list(site.data_folder.store.iterdir())) == 1  # the folder that the next image goes to


def test_results_go_after_all_are_delivered_and_their_rows_stay(site: RetainSite) -> None:
    """The folder of the job is gone, the delivery still says what was sent where."""
    job = site.reported("1.3", site.study("1.3"))
    waiting = site.reported("1.4", site.study("1.4"))
    deliver(site.ledger, site.clock.now(), "1.4", waiting, "2.25.9")
    site.hand.pass_(days=91)
    site.go(results="90d")
    database = site.ledger.database
    assert (job_files.state(database, job), job_files.state(database, waiting)) == (JobFiles.GONE, JobFiles.HERE)
    assert [path.name for path in site.data_folder.results.iterdir()] == [waiting]
    (kept,) = deliveries.of_job(database, job)
    assert (kept.status, kept.destination) == (DeliveryStatus.DELIVERED, "pacs")
    (event,) = history.of_kind(database, "job.files-gone")
    assert event.detail == {"files": 1, "bytes": 100}


def test_folders_from_which_all_has_gone_are_removed(site: RetainSite) -> None:
    """One for each 18 minutes would add up; what is not the node's, and what is not empty, stays."""
    old, not_ours, full = (site.data_folder.store / name for name in ("000001", "notes", "000002"))
    for folder in (old, not_ours, full):
        folder.mkdir()
    (full / "x").touch()
    site.go(unmatched="2d")
    assert [folder.exists() for folder in (old, not_ours, full)] == [False, True, True]


def test_files_that_somebody_else_deleted_are_counted_and_hold_nothing_up(site: RetainSite) -> None:
    """ENOENT is no failure: the study is gone, and its event says how many were missing."""
    receipts = site.study("1.1")
    site.data_folder.find(receipts[1]).unlink()
    site.hand.pass_(days=3)
    site.go(unmatched="2d")
    assert site.images("1.1") is StudyImages.GONE
    (event,) = history.of_kind(site.ledger.database, "study.gone")
    assert (event.detail["missing"], event.detail["instances"]) == (1, 3)


def test_a_file_that_cannot_be_deleted_costs_its_study_alone(site: RetainSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO: one alert; the study stays `purging` with all its rows, and goes when it can; others go meanwhile."""
    receipts = site.study("1.1")
    site.study("1.2")
    site.hand.pass_(days=3)
    broken = [True]
    unlink = Path.unlink

    def fail(path: Path, missing_ok: bool = False) -> None:
        if broken and path.stem == receipts[1] and path.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    site.go(unmatched="2d")
    assert (site.images("1.1"), site.images("1.2")) == (StudyImages.PURGING, StudyImages.GONE)
    assert len(instances.of_study(site.ledger.database, "1.1")) == 3
    assert [each.kind for each in history.open_alerts(site.ledger.database)] == [AlertKind.ITEM_FAILED]
    broken.clear()
    site.hand.pass_(hours=1)
    run(RetainStage(site.node, configured()))
    assert site.images("1.1") is StudyImages.GONE
    assert site.stored() == []
    assert history.open_alerts(site.ledger.database) == []


def test_a_read_only_disk_is_no_fault_of_the_study(site: RetainSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """EROFS goes through: the stage as a whole is tried again, and no study is given up for it."""
    site.study("1.1")
    site.hand.pass_(days=3)
    stage = RetainStage(site.node, configured(unmatched="2d"))
    begin(site.node)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as context:
        context.setattr(Path, "unlink", refuse)
        with pytest.raises(OSError, match="Read-only"):
            run(stage)
    assert history.open_alerts(site.ledger.database) == []
    run(stage)
    assert site.images("1.1") is StudyImages.GONE


def test_a_run_goes_on_after_a_restart(site: RetainSite) -> None:
    """It is a row, and begins again with what is left."""
    for number in range(5):
        site.study(f"1.{number}")
    site.hand.pass_(days=3)
    stage = RetainStage(site.node, configured(unmatched="2d"))
    begin(site.node)
    for _ in range(4):
        stage.run_once()
    assert 0 < len(site.stored()) < 15
    run(RetainStage(site.node, configured(unmatched="2d")))
    assert site.stored() == []
    ran = retention_runs.last(site.ledger.database)
    assert ran is not None
    assert ran.ended_at is not None


def test_nothing_goes_while_a_backup_is_being_made(site: RetainSite) -> None:
    """Neither by age nor for space, nor what had begun to go; afterwards it goes on. A dead one's lease ends."""
    job = site.reported("1.3", site.study("1.3"))
    site.study("1.1")
    site.hand.pass_(days=3)
    with site.ledger.transaction() as database:
        purges.begin(database, site.hand.now(), "1.1", PurgeKind.UNMATCHED, "x")
        backups.begin(database, site.hand.now(), folder="/b", name="n", by="node")
    stage = RetainStage(
        site.node, configured(images="1d", results="1d", below="1GiB", first=["images"]), free=lambda: 0
    )
    begin(site.node)
    assert stage.run_once() > 0
    assert len(site.stored()) == 6
    assert (site.data_folder.results / job).exists()
    site.hand.pass_(seconds=backups.LEASE.total_seconds() + 1)
    run(stage)
    assert site.stored() == []
    assert not (site.data_folder.results / job).exists()


def test_a_clock_that_is_years_ahead_deletes_nothing(site: RetainSite) -> None:
    """The night after it jumped nothing begins, and a person is asked; whoever says that it is right has it done."""
    begin(site.node)
    stage = RetainStage(site.node, configured(unmatched="2d"))
    run(stage)
    site.study("1.1")
    site.hand.pass_(days=4000)
    begin(site.node)
    run(stage)
    assert len(site.stored()) == 3
    (alert,) = history.open_alerts(site.ledger.database)
    assert (alert.kind, alert.detail["days"]) == (AlertKind.RETENTION_CLOCK, 4000)
    with site.ledger.transaction() as database:
        assert retention_runs.begin(database, site.hand.now(), "os:kim")
    run(stage)
    assert site.stored() == []
    assert history.open_alerts(site.ledger.database) == []


class Diary:
    """A calendar that only notes."""

    def __init__(self) -> None:
        self.at: list[time | None] = []

    def daily(self, name: str, at: time, work: Callable[[], None], *, make_up_since: object = None) -> None:
        self.at.append(at)

    def forget(self, name: str) -> None:
        self.at.append(None)


def test_it_runs_at_the_sites_hour_and_a_reload_moves_it(site: RetainSite) -> None:
    """The calendar has the time of the configuration; none where nothing is ever deleted."""
    diary = Diary()
    stage = RetainStage(site.node, configured(), diary)
    stage.use(configured(images="30d", at="03:15"))
    stage.use(configured(images="30d", at="04:00"))
    stage.use(configured(at="04:00"))
    assert diary.at == [None, time(3, 15), time(4), None]


@pytest.mark.parametrize(("hour", "goes"), [(2, True), (5.9, True), (6, False), (13, False)])
def test_it_stops_when_its_time_is_over(site: RetainSite, hour: float, goes: bool) -> None:
    """Between `at` and `until` of the site; what a person asks for goes at any time."""
    site.study("1.1")
    site.hand.pass_(days=2, hours=15 + hour)  # from nine o'clock
    site.go(unmatched="2d", at="02:00", until="06:00")
    assert (site.images("1.1") is StudyImages.GONE) == goes
    with site.ledger.transaction() as database:
        retention_runs.begin(database, site.clock.now(), "os:kim")
    run(RetainStage(site.node, configured(unmatched="2d", at="02:00", until="06:00")))
    assert site.images("1.1") is StudyImages.GONE


class Disk:
    """Free space that grows by a GiB with each file that is deleted."""

    def __init__(self, site: RetainSite, full: int) -> None:
        self._site, self._full = site, full

    def free(self) -> int:
        return (self._full - len(self._site.stored())) * GiB


def test_where_space_is_short_the_classes_go_in_order_and_no_more_than_needed(site: RetainSite) -> None:
    """Unmatched before fetched before images, the oldest first, until enough is free; ages do not matter."""
    site.reported("1.1", site.study("1.1"))
    for uid in ("1.2", "1.3"):
        site.study(uid, origin="retrieved")
        site.hand.pass_(minutes=1)
    site.study("1.4")
    site.hand.pass_(minutes=1)
    disk = Disk(site, 12)
    run(RetainStage(site.node, configured(below="5GiB", images="30d"), free=disk.free))
    left = [uid for uid in ("1.1", "1.2", "1.3", "1.4") if site.images(uid) is StudyImages.HERE]
    assert left == ["1.1", "1.3"]
    (purge,) = purges.of_study(site.ledger.database, "1.4")
    assert purge.why == "less than 5.0 GiB were free"


def test_where_nothing_may_go_nothing_goes_and_an_alert_names_the_holders(site: RetainSite) -> None:
    """The alert says why things stay and which studies are the largest; it closes when there is space again."""
    receipts = site.study("1.1")
    job = queue_job(site.ledger, site.clock.now(), "1.1", receipts)
    site.study("1.2")
    with site.ledger.transaction() as database:
        studies.hold(database, site.clock.now(), "1.2", "a correction", alert=False)
    site.hand.pass_(minutes=1)
    free = [GiB]
    stage = RetainStage(site.node, configured(below="5GiB"), free=lambda: free[0])
    run(stage)
    assert len(site.stored()) == 6
    (alert,) = history.open_alerts(site.ledger.database)
    assert alert.kind is AlertKind.RETENTION_NO_SPACE
    assert {each["why"] for each in alert.detail["holds"]} == {
        "a job is not finished",
        "it is held until a person decides",
    }
    assert {each["study"] for each in alert.detail["largest"]} == {"1.1", "1.2"}
    assert jobs.get(site.ledger.database, job.id).inputs[0].receipts == tuple(receipts)
    free[0] = 9 * GiB
    run(stage)
    assert history.open_alerts(site.ledger.database) == []


def test_the_alert_is_renewed_and_the_next_try_waits(site: RetainSite) -> None:
    """It costs a look at every study: not each minute."""
    site.study("1.1")
    with site.ledger.transaction() as database:
        studies.hold(database, site.clock.now(), "1.1", "x", alert=False)
    stage = RetainStage(site.node, configured(below="5GiB"), free=lambda: 0)
    site.hand.pass_(minutes=1)
    for _ in range(3):
        run(stage)
    (alert,) = alerts.open_ones(site.ledger.database, 9)
    assert alert.times == 1
    site.hand.pass_(minutes=11)
    run(stage)
    (alert,) = alerts.open_ones(site.ledger.database, 9)
    assert alert.times == 2


def test_leftovers_of_crashes_go_and_what_is_in_use_stays(site: RetainSite) -> None:
    """Old working files, copies and results without a job; not those of a running attempt, nor of workers."""
    data, now = site.data_folder, site.clock.now()
    job = queue_job(site.ledger, now, "1.1", site.study("1.1"))
    with site.ledger.transaction() as database:
        jobs.started(database, now, job.id, {})
    stay = [data.work / job.id, data.work / ".warm", data.results / job.id]
    go_ = [data.work / "dead-job", data.outgoing / "pacs" / "17.dcm", data.results / "no-job"]
    young = data.work / "young"
    for path in [*stay, *go_, young]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
        os.utime(path, (now.timestamp(), now.timestamp()))
    site.hand.pass_(days=2)
    os.utime(young, (site.clock.now().timestamp(),) * 2)
    site.go(work="1d")
    assert [path for path in [*stay, *go_, young] if path.exists()] == [*stay, young]


def test_files_of_no_study_go_by_the_age_of_images(site: RetainSite) -> None:
    """Our own objects that came back, and what was unreadable once somebody has seen to its alert."""
    own, unreadable, promised = (site.data_folder.new_receipt() for _ in range(3))
    for receipt, study_uid, status in (
        (own, "1.9", InstanceStatus.OWN),
        (unreadable, None, InstanceStatus.UNREADABLE),
        (promised, "1.9", InstanceStatus.OWN),
    ):
        site.data_folder.stored(receipt).parent.mkdir(exist_ok=True)
        site.write(receipt, "1", b"x")
        with site.ledger.transaction() as database:
            row = retained.instance(receipt, study_instance_uid=study_uid, status=status, received_at=site.hand.now())
            instances.insert(database, row)
    with site.ledger.transaction() as database:
        alerts.met(database, site.hand.now(), AlertKind.INSTANCE_UNREADABLE, "")
        new = NewCommitment("e", "1.9", "CT1", "NODE", "", site.hand.now(), [("1", f"1.2.1.{promised}")], None)
        number = commitments.take(database, site.hand.now(), new, 0x0131)
        assert number is not None
        commitments.judged(database, site.hand.now(), number, {0: (0, "1.9")}, 0x0110)
        commitments.reported(database, site.hand.now(), number, 0, "on a test")
    site.hand.pass_(days=31)
    site.go(images="30d")
    assert site.stored() == sorted([unreadable, promised])
    with site.ledger.transaction() as database:
        database.execute("UPDATE alerts SET acknowledged_at='x', acknowledged_by='os:a'")
    site.go(images="30d")
    assert site.stored() == [promised]
    assert [event.detail["instances"] for event in history.of_kind(site.ledger.database, "instances.gone")] == [1, 1]


def test_the_ledger_gives_space_back_while_the_node_runs(site: RetainSite) -> None:
    """The file shrinks without a VACUUM: what the rows of images took is not kept as free pages."""
    for number in range(20):
        site.receive(100, study=f"1.{number}")
        site.complete(f"1.{number}")
        with site.ledger.transaction() as database:
            studies.decided(database, site.clock.now(), f"1.{number}", 1)
    before = _pages(site, "page_count")
    site.hand.pass_(days=3)
    site.go(unmatched="2d")
    assert _pages(site, "freelist_count") < 20
    assert _pages(site, "page_count") < before * 3 / 4


def _pages(site: RetainSite, which: str) -> int:
    ((pages,),) = site.ledger.database.execute(f"PRAGMA {which}").fetchall()
    return int(pages)


def test_what_somebody_came_to_need_meanwhile_stays(site: RetainSite) -> None:
    """It is asked again in the transaction in which it would begin to go."""
    site.study("1.1")
    site.hand.pass_(days=3)
    stage = RetainStage(site.node, configured(unmatched="2d"))
    young, old = site.hand.now(), site.hand.now() - timedelta(days=9)
    assert stage._begin("1.1", PurgeKind.IMAGES, young, "") is False  # it is of another class by now
    assert stage._begin("1.1", PurgeKind.UNMATCHED, old, "") is False  # more of it arrived
    with site.ledger.transaction() as database:
        database.execute("INSERT INTO pins (study_instance_uid, why, by, since) VALUES ('1.1', 'pilot', 'os:a', '')")
    assert stage._begin("1.1", PurgeKind.UNMATCHED, young, "") is False
    assert len(site.stored()) == 3
