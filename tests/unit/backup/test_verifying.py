"""What is wrong with a data folder or a backup is found and named; what can be proved is repaired, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.backup import manifest
from node.backup.folder import BackupFolder
from node.backup.making import BackupRun
from node.backup.verifying import VerifyReport, repair, verify, verify_backup
from node.errors import LedgerError, NotFoundError
from node.index.children import HeaderReader
from node.ledger import consistency, instances, objects, reindexings, studies, tallies
from node.ledger.database import FILE
from node.ledger.objects import ResultObject
from tests.support.images.receipts import arrive, ct
from tests.support.sites.index_room import Room, room_of
from tests.support.sites.job_site import Site
from tests.support.sites.retained import RetainSite


def check(site: Site) -> VerifyReport:
    return verify(site.data_folder.data)


def receipts(site: Site) -> list[str]:
    return [*instances.receipts(site.ledger.database)]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_sound_folder_is_said_to_be_sound(site: Site) -> None:
    """With the number of files that were read."""
    report = check(site)
    assert (report.sound, report.files) == (True, 3)


def test_missing_and_damaged_files_are_named(site: Site) -> None:
    """One that is gone, and one with a flipped bit; a quick look finds the first only."""
    one, other, _ = receipts(site)
    site.data_folder.find(one).unlink()
    damage(site.data_folder.find(other))
    found = {each.path.split("/")[-1][:32]: each.reason for each in check(site).faults}
    assert found == {one: "missing", other: "its SHA-256 is not the one of what was received"}
    assert [each.reason for each in verify(site.data_folder.data, read_files=False).faults] == ["missing"]


def test_images_that_retention_removed_are_not_missing(site: Site) -> None:
    """The study says that they are gone."""
    for receipt in receipts(site):
        site.data_folder.find(receipt).unlink()
    with site.ledger.transaction() as database:
        database.execute("UPDATE studies SET images='gone'")
    assert check(site).sound


@pytest.mark.parametrize(("files", "sound"), [("here", False), ("purging", True), ("gone", True)])
def test_results_that_retention_removed_are_not_missing(tmp_path: Path, files: str, sound: bool) -> None:
    """Their rows stay, and say what was sent; a file that somebody else deleted is missing."""
    site = RetainSite(tmp_path)
    job = site.reported("1.1", site.study("1.1"))
    made = ResultObject(
        "2.25.1.1", "1.2.840.10008.5.1.4.1.1.88.33", "2.25.2", "1.1", job, "sr", "p", "results/x", "d", site.clock.now()
    )
    with site.ledger.transaction() as database:
        objects.insert(database, made)
        database.execute("UPDATE jobs SET files=?", [files])
    assert check(site).sound == sound


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE tallies SET n=n+1", consistency.TALLIES),
        ("UPDATE jobs SET status='running'", "jobs are running without an open attempt"),
        ("UPDATE jobs SET status='ended'", "jobs are over without an outcome"),
        ("UPDATE jobs SET status='asleep'", "jobs are in a state that does not exist"),
        ("UPDATE studies SET revision=0", "studies are complete in no revision"),
        ("UPDATE studies SET decided_revision=9", "studies are decided beyond their revision"),
        ("UPDATE jobs SET study_instance_uid='9.9'", "jobs are of a study that is not there"),
        ("UPDATE jobs SET decision=77", "rows name others that are not there (foreign_key_check)"),
    ],
)
def test_states_that_cannot_be_are_named(site: Site, change: str, sentence: str) -> None:
    """By hand or by a defect: verify says which rows, and repairs none of them but numbers."""
    site.complete()
    site.job("quiet", receipts(site))
    assert check(site).sound
    site.ledger.database.execute("PRAGMA foreign_keys=OFF")
    with site.ledger.transaction() as database:
        database.execute(change)
    report = check(site)
    assert sentence in [each.sentence for each in report.ledger]
    repair(site.data_folder.data, report, site.clock)
    assert check(site).sound is (sentence == consistency.TALLIES)


def test_a_damaged_page_of_the_ledger_is_named(site: Site) -> None:
    """One page of an index was overwritten: all rows can still be read, and the file's own check finds it."""
    [(page,)] = site.ledger.database.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name='sqlite_autoindex_instances_1'"
    ).fetchall()
    site.ledger.close()
    path = site.data_folder.data / FILE
    content = bytearray(path.read_bytes())
    content[page * 4096 - 40 : page * 4096] = b"z" * 40  # the last bytes of its page: the text of a key
    path.write_bytes(content)
    assert [each.sentence for each in check(site).ledger] == ["the file is damaged (integrity_check)"]


def test_a_damaged_ledger_is_named(site: Site) -> None:
    """It cannot be opened: what to do is said."""
    site.ledger.close()
    path = site.data_folder.data / FILE
    content = bytearray(path.read_bytes())
    content[100:200] = b"\xff" * 100  # of the schema's first page
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged"):
        check(site)


@pytest.fixture
def room(site: Site, reader: HeaderReader) -> Room:
    """A running indexer over a data folder."""
    return room_of(site.data_folder, reader)


def test_a_stored_image_without_a_row_is_indexed_again_by_the_running_node(room: Room) -> None:
    """A hole below the newest row, which no start notices: found, indexed, its study held; the others go on."""
    for number in (1, 2):
        arrive(room.data_folder, ct(number, StudyInstanceUID=f"1.5.{number}", SOPInstanceUID=f"1.5.{number}.1"))
        room.index.run_once()
    (lost,) = instances.of_study(room.ledger.database, "1.5.1")
    with room.ledger.transaction() as database:
        database.execute("PRAGMA defer_foreign_keys=ON")
        for table in ("headers", "instances"):
            database.execute(f"DELETE FROM {table} WHERE receipt=?", [lost.receipt])
    report = verify(room.data)
    assert (report.unknown, report.sound) == ([lost.receipt], False)
    assert verify(room.data).unknown == [lost.receipt]  # looking changes nothing
    repair(room.data, report, room.clock)
    for _ in range(3):
        room.index.run_once()
    assert [each.receipt for each in instances.of_study(room.ledger.database, "1.5.1")] == [lost.receipt]
    assert [hold_of(room, "1.5.1"), hold_of(room, "1.5.2")] == [reindexings.HOLD, None]
    assert verify(room.data).sound


def hold_of(room: Room, study: str) -> str | None:
    """Why a study is held."""
    row = studies.get(room.ledger.database, study)
    assert row is not None
    return row.hold


def test_a_lost_file_is_taken_from_a_backup_that_has_the_recorded_digest(site: Site, tmp_path: Path) -> None:
    """And not from one whose copy is damaged, too: then it stays missing."""
    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make()
    folder = BackupFolder(tmp_path / "b")
    one, other, _ = receipts(site)
    for receipt in (one, other):  # the pool has links: part them from the node's files
        entry = next(each for each in manifest.lines(folder.find()) if receipt in each.path)
        content = folder.pooled(entry.sha256).read_bytes()
        site.data_folder.find(receipt).unlink()
        folder.pooled(entry.sha256).unlink()
        folder.pooled(entry.sha256).write_bytes(content if receipt == one else content[:-1] + b"x")
    report = check(site)
    assert len(report.faults) == 2
    repair(site.data_folder.data, report, site.clock, tmp_path / "b")
    assert [each.path.split("/")[-1] for each in report.faults] == [f"{other}.dcm"]
    assert [each.path.split("/")[-1] for each in check(site).faults] == [f"{other}.dcm"]


def test_numbers_are_counted_again(site: Site) -> None:
    """The one repair of the ledger that cannot be wrong."""
    with site.ledger.transaction() as database:
        database.execute("UPDATE tallies SET n=n+1")
    report = check(site)
    repair(site.data_folder.data, report, site.clock)
    assert tallies.wrong(site.ledger.database) == []
    assert report.repaired != []


def test_a_backup_is_read_and_what_is_wrong_is_named(site: Site, tmp_path: Path) -> None:
    """A file with a flipped bit, in each backup that names it; a missing header; a sound one."""
    target = tmp_path / "b"
    for _ in range(2):
        BackupRun(site.data_folder.data, target, site.clock, by="node").make()
        site.clock.pass_(days=1)  # type: ignore[attr-defined]
    report = verify_backup(target)
    assert (report.sound, report.files) == (True, 5)
    folder = BackupFolder(target)
    entry = next(each for each in manifest.lines(folder.find()) if each.path.startswith("keys"))
    damage(folder.pooled(entry.sha256))
    expected = [f"{name}: keys/pseudonyms.key is missing or damaged" for name in folder.names()]
    assert verify_backup(target).backup == expected
    assert verify_backup(target, folder.names()[0]).backup == expected[:1]
    with pytest.raises(NotFoundError, match="there is no backup there"):
        verify_backup(tmp_path / "elsewhere")
