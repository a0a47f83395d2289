"""A restored data folder is the one of the backup, goes on under another identity, and is never half of one."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from node.backup import manifest, restoring
from node.backup.folder import BackupFolder
from node.backup.making import BackupRun
from node.backup.restoring import restore
from node.backup.verifying import verify
from node.errors import DataFolderInUseError, LedgerError, PermanentError, TransientError
from node.ledger import attempts, backups, identity, instances, jobs, restorations
from node.ledger.attempts import AttemptState
from node.ledger.backups import BackupStatus
from node.ledger.database import FILE, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.job import JobStatus
from node.store import unfinished
from node.store.durable import sha256_of
from node.store.layout import DataFolder
from node.store.lock import take_lock
from tests.support import history
from tests.support.images.receipts import arrive, ct
from tests.support.sites.job_site import Site


def back_up(site: Site, target: Path) -> manifest.BackupHeader:
    return BackupRun(site.data_folder.data, target, site.clock, by="os:hong").make()


@pytest.fixture
def target(site: Site, tmp_path: Path) -> Path:
    """A folder with a backup of the site."""
    back_up(site, tmp_path / "b")
    return tmp_path / "b"


def put_back(site: Site, target: Path, data: Path, name: str = "") -> restoring.RestoreOutcome:
    return restore(target, data, site.clock, by="os:kim", name=name)


def test_every_file_is_there_with_its_content(site: Site, tmp_path: Path) -> None:
    """On another data folder; what was not indexed waits for the indexer there, and all is whole."""
    waiting = arrive(site.data_folder, ct(7))
    back_up(site, tmp_path / "b")
    outcome = put_back(site, tmp_path / "b", tmp_path / "new")
    assert (outcome.damaged_count, outcome.files) == (0, 6)
    there = DataFolder(tmp_path / "new")
    assert there.waiting() == [waiting]
    for receipt in instances.receipts(site.ledger.database):
        assert there.find(receipt).read_bytes() == site.data_folder.find(receipt).read_bytes()
    serial = "device-serial-number"
    assert (there.data / serial).read_text() == (site.data_folder.data / serial).read_text()
    assert verify(there.data).sound


def test_secrets_are_for_the_nodes_user_alone(site: Site, target: Path, tmp_path: Path) -> None:
    """Whatever umask the person has who restores."""
    put_back(site, target, tmp_path / "new")
    for path, mode in (("", 0o700), ("keys", 0o700), ("keys/pseudonyms.key", 0o600)):
        assert stat.S_IMODE((tmp_path / "new" / path).stat().st_mode) == mode, path


def test_the_ledger_goes_on_under_another_identity(site: Site, target: Path, tmp_path: Path) -> None:
    """Each time another one, also from the same backup: nothing derived later is what was derived before."""
    before = identity.of(site.ledger.database)
    seen = {before.id}
    for name in ("one", "two"):
        outcome = put_back(site, target, tmp_path / name)
        ledger = Ledger(tmp_path / name / FILE)
        now = identity.of(ledger.database)
        assert now.generation == before.generation + 1
        assert now.id not in seen
        seen.add(now.id)
        assert outcome.restoration == restorations.last(ledger.database)
        assert outcome.restoration is not None
        assert (outcome.restoration.earlier_ledger, outcome.restoration.by) == (before.id, "os:kim")
        (told,) = history.of_kind(ledger.database, EventKind.LEDGER_RESTORED)
        assert told.actor == "os:kim"
        ledger.close()


def test_no_attempt_is_taken_up_and_the_job_runs_again(site: Site, tmp_path: Path) -> None:
    """One in another place, known by a handle: what runs it knows the ledger that was lost. It costs no try."""
    receipts = [*instances.receipts(site.ledger.database)]
    site.complete()
    job = site.job("quiet", receipts)
    with site.ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {"name": "quiet"}, "python")
        attempt = attempts.open_of(database, job.id)
        attempts.running(database, site.clock.now(), attempt, "1.2.3", "box/17")
        database.execute("UPDATE attempts SET place='vendor-box'")
    back_up(site, tmp_path / "b")
    put_back(site, tmp_path / "b", tmp_path / "new")
    ledger = Ledger(tmp_path / "new" / FILE)
    assert attempts.all_open(ledger.database) == []
    (old,) = attempts.of_job(ledger.database, job.id)
    assert (old.state, old.counted) == (AttemptState.CANCELLED, False)
    assert jobs.get(ledger.database, job.id).status is JobStatus.QUEUED
    with ledger.transaction() as database:
        jobs.started(database, site.clock.now(), job.id, {"name": "quiet"}, "python")
    with site.ledger.transaction() as database:  # meanwhile the first node went on
        jobs.interrupted(database, site.clock.now(), job.id, "stopped")
        jobs.started(database, site.clock.now(), job.id, {"name": "quiet"}, "python")
    ours, theirs = (attempts.open_of(each.database, job.id) for each in (ledger, site.ledger))
    assert ours.number == theirs.number
    assert ours.id != theirs.id


def test_the_backup_that_was_being_made_is_over(site: Site, target: Path, tmp_path: Path) -> None:
    """By its row in the copied ledger it is still under way, for ever."""
    put_back(site, target, tmp_path / "new")
    ledger = Ledger(tmp_path / "new" / FILE)
    last = backups.last(ledger.database)
    assert last is not None
    assert last.status is BackupStatus.ABANDONED


def test_a_folder_that_is_not_empty_is_refused(site: Site, target: Path, tmp_path: Path) -> None:
    """Nothing in it is touched."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "ledger.db").write_text("mine")
    with pytest.raises(PermanentError, match=r"is not empty \(ledger.db\).*Move the old one aside"):
        put_back(site, target, tmp_path / "new")
    assert os.listdir(tmp_path / "new") == ["ledger.db"]


def test_a_folder_in_use_is_refused(site: Site, target: Path, tmp_path: Path) -> None:
    """A node was started on it, and has made nothing yet but its lock."""
    lock = take_lock(tmp_path / "new")
    try:
        with pytest.raises(DataFolderInUseError):
            put_back(site, target, tmp_path / "new")
    finally:
        os.close(lock)


def test_a_mount_point_is_empty(site: Site, target: Path, tmp_path: Path) -> None:
    """A new disk has a folder of its own."""
    (tmp_path / "new" / "lost+found").mkdir(parents=True)
    put_back(site, target, tmp_path / "new")


def test_a_restore_that_was_cut_short_keeps_the_node_from_starting_and_goes_on(
    site: Site, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command finishes it; one of another backup is refused, and so is a backup of the half folder."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(restoring, "_ledger", killed)
    with pytest.raises(KeyboardInterrupt):
        put_back(site, target, tmp_path / "new")
    monkeypatch.undo()
    with pytest.raises(PermanentError, match="half restored"):
        unfinished.check(tmp_path / "new")
    site.receive(1)
    site.clock.pass_(days=1)  # type: ignore[attr-defined]
    later = back_up(site, target)
    with pytest.raises(PermanentError, match="half restored"):
        put_back(site, target, tmp_path / "new", later.name)
    put_back(site, target, tmp_path / "new", BackupFolder(target).names()[0])
    unfinished.check(tmp_path / "new")
    assert verify(tmp_path / "new").sound


def test_a_half_backup_is_never_restored(site: Site, target: Path, tmp_path: Path) -> None:
    """Neither by name nor as the newest."""
    half = BackupFolder(target).find()
    (half / manifest.HEADER).unlink()
    for name in ("", half.name):
        with pytest.raises(PermanentError, match="there is no backup there"):
            put_back(site, target, tmp_path / "new", name)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", [manifest.LEDGER, manifest.FILES])
def test_a_damaged_ledger_or_list_is_refused_and_an_earlier_backup_named(
    site: Site, target: Path, tmp_path: Path, name: str
) -> None:
    """Nothing is made of it."""
    earlier = BackupFolder(target).names()[0]
    site.clock.pass_(days=1)  # type: ignore[attr-defined]
    newest = back_up(site, target)
    path = target / "backups" / newest.name / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=f"damaged.*restore an earlier one with --name: {earlier}"):
        put_back(site, target, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    put_back(site, target, tmp_path / "new", earlier)


def test_a_damaged_image_is_left_out_and_the_rest_restored(site: Site, target: Path, tmp_path: Path) -> None:
    """A person is told which, and the node looks for all files when it first starts."""
    folder = BackupFolder(target)
    images = [each for each in manifest.lines(folder.find()) if each.path.startswith("store")]
    damaged, missing = (folder.pooled(each.sha256) for each in images[:2])
    content = damaged.read_bytes()
    damaged.unlink()  # it is a link to the file of the node
    damaged.write_bytes(content[:-1] + b"x")
    missing.unlink()
    outcome = put_back(site, target, tmp_path / "new")
    assert (outcome.damaged_count, set(outcome.damaged)) == (2, {each.path for each in images[:2]})
    assert {each.path for each in verify(tmp_path / "new").faults} == {each.path for each in images[:2]}
    assert [path.name for path in (tmp_path / "new").rglob("*.part")] == []


def test_a_backup_of_a_newer_release_is_refused(site: Site, target: Path, tmp_path: Path) -> None:
    """Before anything is copied, with the release to install."""
    backup = BackupFolder(target).find()
    said = json.loads((backup / manifest.HEADER).read_text())
    said["schema"].append("9999_from_the_future")
    said["release"] = "9.9"
    (backup / manifest.HEADER).write_text(json.dumps(said))
    with pytest.raises(LedgerError, match=r"made by a newer pacsnode \(9.9; schema 9999_from_the_future"):
        put_back(site, target, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_list_that_names_files_elsewhere_is_refused(site: Site, target: Path, tmp_path: Path) -> None:
    """A backup is data from another disk: it writes nothing outside of the data folder."""
    backup = BackupFolder(target).find()
    first = next(iter(manifest.lines(backup)))
    (backup / manifest.FILES).write_text(f"{first.sha256} {first.size} 1 ../evil\n")
    said = json.loads((backup / manifest.HEADER).read_text())
    said["files_sha256"] = sha256_of(backup / manifest.FILES)
    (backup / manifest.HEADER).write_text(json.dumps(said))
    with pytest.raises(PermanentError, match="outside of the data folder"):
        put_back(site, target, tmp_path / "new")
    assert not (tmp_path / "evil").exists()


def test_a_disk_that_fills_is_named_and_the_same_command_goes_on(
    site: Site, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied already is not copied again."""
    copied: list[str] = []
    real, room = BackupFolder.copy_out, [3]

    def copy_out(source: Path, to: Path) -> str:
        if len(copied) == room[0]:
            raise OSError(28, "No space left on device", str(to))
        copied.append(to.name)
        return real(source, to)

    monkeypatch.setattr(BackupFolder, "copy_out", staticmethod(copy_out))
    with pytest.raises(TransientError, match=r"No space left on device\. Give the same command again"):
        put_back(site, target, tmp_path / "new")
    monkeypatch.setattr(
        BackupFolder, "copy_out", staticmethod(lambda source, to: (copied.append(to.name), real(source, to))[1])
    )
    put_back(site, target, tmp_path / "new")
    assert len(copied) == len(set(copied))
    assert verify(tmp_path / "new").sound
