"""A backup has all that was answered with success before it, is made beside a running node, and costs what is new."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
import zlib
from pathlib import Path

import pytest

from node.backup import manifest
from node.backup.contents import DataFolderState
from node.backup.folder import BackupFolder
from node.backup.making import BackupCancelledError, BackupRun
from node.clock import SystemClock
from node.errors import NotFoundError, PermanentError, TransientError
from node.ledger import backups, copies, instances
from node.ledger.backups import BackupStatus
from node.ledger.event_kinds import EventKind
from node.ledger.schema.versions import VERSIONS
from node.store import seal
from node.store.arrival import Arrival, file_header
from tests.support import history
from tests.support.images.receipts import arrive, ct
from tests.support.sites.job_site import Site


def back_up(site: Site, target: Path, keep: int | None = None) -> manifest.BackupHeader:
    return BackupRun(site.data_folder.data, target, site.clock, by="os:hong").make(keep)


def paths(target: Path, name: str = "") -> set[str]:
    return {each.path for each in manifest.lines(BackupFolder(target).find(name))}


def test_everything_that_a_restore_needs_is_in_it(site: Site, tmp_path: Path) -> None:
    """Images, the key, the serial number, what waits for the indexer; by digest, and the ledger as it was."""
    waiting = arrive(site.data_folder, ct(7))
    made = back_up(site, tmp_path / "b")
    stored = {
        f"store/{each.receipt[:6]}/{each.receipt}.dcm" for each in instances.of_study(site.ledger.database, "1.2.3")
    }
    assert paths(tmp_path / "b") == {
        "device-serial-number",
        f"incoming/{waiting}.dcm",
        "keys/pseudonyms.key",
        *stored,
    }
    folder = BackupFolder(tmp_path / "b")
    for each in manifest.lines(folder.find()):
        assert hashlib.sha256(folder.pooled(each.sha256).read_bytes()).hexdigest() == each.sha256
    assert (made.files, made.copied, made.missing_count, made.schema[-1]) == (6, 6, 0, VERSIONS[-1])
    with copies.reading(folder.find() / manifest.LEDGER) as database:
        assert [*instances.receipts(database)] == [*instances.receipts(site.ledger.database)]


def test_the_second_one_copies_what_is_new_and_no_more(site: Site, tmp_path: Path) -> None:
    """Files that the newest backup has are neither copied nor read again, and each backup is whole by itself."""
    first = back_up(site, tmp_path / "b")
    (new,) = site.receive(1)
    for receipt in instances.receipts(site.ledger.database):
        if receipt != new:
            site.data_folder.find(receipt).unlink()  # whoever read it again would miss it
    second = back_up(site, tmp_path / "b")
    assert (second.copied, second.missing_count, second.files) == (1, 0, first.files + 1)
    assert paths(tmp_path / "b", second.name) - paths(tmp_path / "b", first.name) == {f"store/{new[:6]}/{new}.dcm"}


def test_an_image_that_moves_to_the_store_meanwhile_is_not_lost(site: Site, tmp_path: Path) -> None:
    """It was answered, and is not in the copied ledger: the indexer records and moves it after the copy is made."""
    receipt = arrive(site.data_folder, ct(7))
    staging = tmp_path / "staging"
    staging.mkdir()
    state = DataFolderState(site.data_folder, staging)
    copies.copy(site.ledger.path, tmp_path / "copy.db", state.look)
    site.data_folder.move_all_to_store([receipt])
    with copies.reading(tmp_path / "copy.db") as database:
        found = {each.path: each.file for each in state.sources(database)}
    assert found[f"incoming/{receipt}.dcm"] == site.data_folder.stored(receipt)


def test_a_message_that_the_node_takes_meanwhile_is_not_lost(site: Site, tmp_path: Path) -> None:
    """A request for storage commitment was answered, and leaves the journal after the ledger was copied."""
    journal = site.data_folder.data / "journal"
    journal.mkdir()
    (journal / "0001.json").write_text("{}")
    (journal / "0002.json.7-7.part").write_text("{")
    staging = tmp_path / "staging"
    staging.mkdir()
    state = DataFolderState(site.data_folder, staging)
    copies.copy(site.ledger.path, tmp_path / "copy.db", state.look)
    (journal / "0001.json").unlink()
    with copies.reading(tmp_path / "copy.db") as database:
        found = {each.path: each.file.read_text() for each in state.sources(database) if "journal" in each.path}
    assert found == {"journal/0001.json": "{}"}


def test_a_sealed_object_without_its_name_is_in_it_and_a_torn_one_is_not(site: Site, tmp_path: Path) -> None:
    """The receiver answered for it and died before the rename; nothing was answered for the other."""
    whole, torn = site.data_folder.new_receipt(), site.data_folder.new_receipt()
    arrival = Arrival("1.2", "1.2.3", "1.2.840.10008.1.2.1", "CT1", "PACSNODE", "::1", "a", site.clock.now())
    content = bytearray(file_header(arrival) + b"data set")
    checksum = zlib.crc32(content[seal.PREAMBLE :])
    head = seal.encode(whole, len(content), checksum)
    content[: len(head)] = head
    site.data_folder.part(whole).write_bytes(content + bytes(100))
    site.data_folder.part(torn).write_bytes(content[:-4])
    back_up(site, tmp_path / "b")
    assert {each for each in paths(tmp_path / "b") if each.startswith("incoming")} == {f"incoming/{whole}.dcm"}


def test_files_of_the_store_are_linked_where_the_disk_is_the_same(site: Site, tmp_path: Path) -> None:
    """A copy would take the space twice; what may still change is copied."""
    receipt = arrive(site.data_folder, ct(7))
    back_up(site, tmp_path / "b")
    folder = BackupFolder(tmp_path / "b")
    pooled = {each.path: folder.pooled(each.sha256) for each in manifest.lines(folder.find())}
    stored = next(each for each in pooled if each.startswith("store"))
    assert os.path.samefile(pooled[stored], site.data_folder.data / stored)
    assert not os.path.samefile(pooled[f"incoming/{receipt}.dcm"], site.data_folder.arrived(receipt))


def test_nobody_else_may_read_it(site: Site, tmp_path: Path) -> None:
    """Images and secrets: the folders are the node's alone, whatever its umask is."""
    back_up(site, tmp_path / "b")
    for each in ("files", "backups"):
        assert stat.S_IMODE((tmp_path / "b" / each).stat().st_mode) == 0o700


def test_writers_go_on_while_the_ledger_is_copied(site: Site, tmp_path: Path) -> None:
    """The copy shows one moment: of two rows that are always written together, it has both or neither."""
    with site.ledger.transaction() as database:
        database.execute("CREATE TABLE pairs (a INTEGER, filler BLOB)")
        database.execute("CREATE TABLE mates (a INTEGER)")
        for _ in range(2000):
            database.execute("INSERT INTO pairs VALUES (0, zeroblob(4000))")
            database.execute("INSERT INTO mates VALUES (0)")
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            with site.ledger.transaction() as database:
                database.execute("INSERT INTO pairs VALUES (1, zeroblob(4000))")
                database.execute("INSERT INTO mates VALUES (1)")
            written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not written:
            pass
        before = len(written)
        for number in range(5):
            copies.copy(site.ledger.path, tmp_path / f"{number}.db", lambda: None)
            with copies.reading(tmp_path / f"{number}.db") as database:
                [(pairs, mates)] = database.execute(
                    "SELECT (SELECT count(*) FROM pairs), (SELECT count(*) FROM mates)"
                ).fetchall()
                assert pairs == mates
        assert len(written) > before
    finally:
        stop.set()
        writer.join()


def test_a_full_disk_leaves_the_last_good_one_and_says_why(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half is left behind, and the failure is an alert until the next backup succeeds."""
    first = back_up(site, tmp_path / "b")
    site.receive(1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr("node.backup.folder.os.link", full)
    with pytest.raises(TransientError, match=r"no backup was made in .*: somewhere: No space left on device"):
        back_up(site, tmp_path / "b")
    assert BackupFolder(tmp_path / "b").names() == [first.name]
    assert [*(tmp_path / "b" / "backups").glob(".*/*")] == []
    last = backups.last(site.ledger.database)
    assert last is not None
    assert last.status is BackupStatus.FAILED
    assert len(history.of_kind(site.ledger.database, EventKind.BACKUP_FAILED)) == 1
    monkeypatch.undo()
    assert back_up(site, tmp_path / "b").copied == 1


def test_a_half_backup_counts_for_nothing_and_is_swept(site: Site, tmp_path: Path) -> None:
    """A process was killed in the midst: the next backup removes what it left, and what no backup names."""
    first = back_up(site, tmp_path / "b")
    half = tmp_path / "b" / "backups" / ".20990101T000000Z.part"
    shutil.copytree(tmp_path / "b" / "backups" / first.name, half)
    (half / manifest.HEADER).unlink()
    left = tmp_path / "b" / "files" / "aa" / ("aa" * 32)
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"of the half one")
    assert BackupFolder(tmp_path / "b").names() == [first.name]
    second = back_up(site, tmp_path / "b")
    assert BackupFolder(tmp_path / "b").names() == [first.name, second.name]
    assert (half.exists(), left.exists()) == (False, False)


def test_the_newest_are_kept_with_all_that_they_name(site: Site, tmp_path: Path) -> None:
    """Older backups go, and the files that they alone named."""
    for _ in range(3):
        site.receive(1)
        site.clock.pass_(days=1)  # type: ignore[attr-defined]
        back_up(site, tmp_path / "b")
    gone = next(iter(instances.receipts(site.ledger.database)))
    with site.ledger.transaction() as database:
        database.execute("PRAGMA defer_foreign_keys=ON")
        database.execute("DELETE FROM headers WHERE receipt=?", [gone])
        database.execute("DELETE FROM instances WHERE receipt=?", [gone])
    site.clock.pass_(days=1)  # type: ignore[attr-defined]
    back_up(site, tmp_path / "b", keep=1)
    folder = BackupFolder(tmp_path / "b")
    assert len(folder.names()) == 1
    named = {each.sha256 for each in manifest.lines(folder.find())}
    assert {path.name for path in (tmp_path / "b" / "files").glob("*/*")} == named


def test_two_backups_of_one_second_have_two_names_in_order(site: Site, tmp_path: Path) -> None:
    """Also where the clock was set back: the newest is the one that was made last."""
    first = back_up(site, tmp_path / "b")
    site.clock.pass_(days=-3)  # type: ignore[attr-defined]
    second = back_up(site, tmp_path / "b")
    assert second.name > first.name


def test_another_nodes_folder_is_refused(site: Site, tmp_path: Path) -> None:
    """Its backups would be dropped by our `keep`."""
    back_up(site, tmp_path / "b")
    other = Site(tmp_path / "other")
    with pytest.raises(PermanentError, match="has backups of another node"):
        back_up(other, tmp_path / "b")


def test_only_one_is_made_at_a_time(site: Site, tmp_path: Path) -> None:
    """The second is refused at once."""
    serial_number = "PN1"
    with BackupFolder(tmp_path / "b").held(serial_number), pytest.raises(PermanentError, match="another backup"):
        back_up(site, tmp_path / "b")


@pytest.mark.parametrize("where", ["data", "data/backups", "."])
def test_it_is_not_made_inside_the_data_folder_nor_around_it(site: Site, where: str) -> None:
    """It would back up itself, or go with the folder."""
    with pytest.raises(PermanentError, match="cannot be inside the data folder"):
        back_up(site, site.data_folder.data.parent / where)


def test_a_folder_without_a_ledger_is_none(tmp_path: Path) -> None:
    """A slip in the path makes no empty backup."""
    with pytest.raises(NotFoundError, match="there is no ledger to back up"):
        BackupRun(tmp_path / "nothing", tmp_path / "b", SystemClock(), by="os:hong").make()


def test_it_can_be_stopped_and_nobody_is_alarmed(site: Site, tmp_path: Path) -> None:
    """The node stops: the backup is abandoned, and the next one is made."""
    with pytest.raises(BackupCancelledError):
        BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make(cancelled=lambda: True)
    last = backups.last(site.ledger.database)
    assert last is not None
    assert last.status is BackupStatus.ABANDONED
    assert history.of_kind(site.ledger.database, EventKind.BACKUP_FAILED) == []
    back_up(site, tmp_path / "b")


def test_what_was_copied_before_it_was_cut_short_is_not_copied_again(site: Site, tmp_path: Path) -> None:
    """The first backup of a large store takes days: one that is stopped is taken up by the next."""
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(BackupCancelledError):
        BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make(cancelled=cancelled)
    made = back_up(site, tmp_path / "b")
    assert made.copied < made.files
    assert [*(tmp_path / "b" / "backups").glob(".*")] == []


def test_while_it_is_made_nothing_may_be_removed(site: Site, tmp_path: Path) -> None:
    """Retention can ask; a backup that was killed holds it up for its lease, and no longer."""
    seen: list[bool] = []

    def cancelled() -> bool:
        seen.append(backups.under_way(site.ledger.database, site.clock.now()) is not None)
        return False

    BackupRun(site.data_folder.data, tmp_path / "b", site.clock, by="node").make(cancelled=cancelled)
    assert seen
    assert all(seen)
    assert backups.under_way(site.ledger.database, site.clock.now()) is None
    with site.ledger.transaction() as database:
        backups.begin(database, site.clock.now(), folder="/b", name="n", by="node")
    site.clock.pass_(minutes=11)  # type: ignore[attr-defined]
    assert backups.under_way(site.ledger.database, site.clock.now()) is None


def test_a_file_that_is_missing_is_counted_and_named(site: Site, tmp_path: Path) -> None:
    """The rest is backed up; a person reads how many the data folder lacked."""
    receipt = next(iter(instances.receipts(site.ledger.database)))
    site.data_folder.find(receipt).unlink()
    made = back_up(site, tmp_path / "b")
    assert (made.missing_count, made.missing) == (1, (f"store/{receipt[:6]}/{receipt}.dcm",))
