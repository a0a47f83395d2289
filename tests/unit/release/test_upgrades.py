"""An upgrade ends in one of two ways, whatever happens in between: the later release, or the one before as it was."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node import __version__ as NOW  # noqa: N812 - beside LATER
from node.errors import NodeError, PermanentError, TransientError
from node.ledger import copies, restorations
from node.ledger.database import FILE, Ledger
from node.release import foretelling, ledgers, recovering, upgrading
from node.release.node_control import holder
from node.release.releases import CURRENT, Release, Releases
from node.release.upgrading import UpgradeFailedError, UpgradeSite
from node.store import upgrade_record
from node.store.journal import Journal
from node.store.layout import DataFolder
from node.store.lock import take_lock
from node.store.upgrade_record import UpgradeRecord, UpgradeStep
from tests.unit.ledger.test_schemas import EARLIER, made

LATER = "9.1.0"


class KilledError(BaseException):
    """kill -9: nothing of the program runs after it."""


def make_later(data: Path) -> None:
    """The ledger as a later release leaves it: with a migration that this one does not know."""
    Ledger(data / FILE).close()
    with closing(sqlite3.connect(data / FILE)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('pacsnode', '9999', '')"
        )


def schema(file: Path) -> tuple[str, ...]:
    with copies.reading(file) as database:
        return copies.describe(database).schema


@dataclass
class FakeNode:
    """Notes which release was started."""

    runs: list[str] = field(default_factory=list)
    broken: str = ""

    def stop(self) -> None:
        """It stops at once."""

    def start(self, command: Path) -> None:
        """The name of its release is in the path of its command."""
        self.runs.append(command.parts[-4])


class Room:
    """A data folder, two releases, and what an upgrade does with them in this process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.node = folder / "data", FakeNode()
        self.store = DataFolder(self.data)
        Ledger(self.data / FILE).close()
        self.releases = Releases(folder / "root")
        for version in (NOW, LATER):
            (folder / "root" / "releases" / version).mkdir(parents=True)
            self.releases.finish(version, "0")
        self.now, self.later = self.releases.get(NOW), self.releases.get(LATER)
        self.releases.switch(self.now)
        self.fails: Callable[[str, Release], None] = lambda _step, _release: None
        self.site = UpgradeSite(folder / "config.yaml", self.data, self.releases, self.node, "os:kim")
        monkeypatch.setattr(upgrading, "run_ledgers", self.step)
        monkeypatch.setattr(upgrading, "check", lambda _site, release: self.fails("check", release))
        monkeypatch.setattr(upgrading, "run_as_owner", lambda *_: "")
        monkeypatch.setattr(upgrading, "answers", self.answers)
        monkeypatch.setattr(upgrading, "_STARTS_WITHIN", 0.0)

    def step(self, _site: UpgradeSite, release: Release, step: str, *more: str) -> str:
        """As a process of that release would do it."""
        self.fails(step, release)
        match step:
            case "copy":
                ledgers.copy(self.data, upgrade_record.make_folder(self.data))
            case "migrate":
                make_later(self.data)
                self.fails("migrated", release)
            case "back":
                return ledgers.put_back(self.data, more[0], take_images_back=len(more) == 1)
        return ""

    def answers(self, _data: Path) -> str | None:
        version = self.node.runs[-1]
        self.fails("start", self.releases.get(version))
        return "it does not listen" if version == self.node.broken else None

    def receive(self, data_folder: DataFolder) -> str:
        """An image that the later release has received and indexed."""
        receipt = data_folder.new_receipt()
        data_folder.arrived(receipt).write_bytes(b"an image")
        data_folder.move_all_to_store([receipt])
        return receipt

    def is_as_before(self) -> bool:
        """This release is in use and running, with a ledger that it can read, and no upgrade is open."""
        Ledger.existing(self.data / FILE).close()
        return (
            self.releases.linked(CURRENT) == self.now
            and self.node.runs[-1:] in ([NOW], [])
            and upgrade_record.read(self.data) is None
        )


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(tmp_path, monkeypatch)


def raising(at: str, version: str, error: BaseException) -> Callable[[str, Release], None]:
    """What fails in one step of one release."""

    def fails(step: str, release: Release) -> None:
        if (step, release.version) == (at, version):
            raise error

    return fails


def test_an_upgrade_ends_with_the_later_release_in_use(room: Room) -> None:
    """It says how long each step took; the copy of the ledger of before is kept."""
    record = upgrading.upgrade(room.site, room.later)
    assert (room.node.runs, room.releases.linked(CURRENT)) == ([LATER], room.later)
    assert list(record.seconds) == ["stopping", "copying", "migrating", "starting"]
    assert record.outcome == f"upgraded from {NOW} to {LATER}"
    assert upgrade_record.last(room.data) == record
    assert "9999" in schema(room.data / FILE)
    assert "9999" not in schema(room.data / "upgrade" / FILE)


FAILURES = {
    "copying": ("copy", NOW, "a full disk"),
    "migrating": ("migrate", LATER, "a row that it cannot read"),
    "starting": ("start", LATER, "the port is taken"),
}


@pytest.mark.parametrize("step", FAILURES)
def test_where_a_step_fails_the_release_before_serves_again(room: Room, step: str) -> None:
    """By itself, with its own ledger; the error says why."""
    at, version, reason = FAILURES[step]
    room.fails = raising(at, version, TransientError(reason))
    with pytest.raises(UpgradeFailedError, match=f"gone back to {NOW} \\({reason}\\)"):
        upgrading.upgrade(room.site, room.later)
    assert room.is_as_before()
    assert room.node.runs[-1] == NOW


def test_a_release_that_refuses_the_configuration_is_refused_while_the_node_runs(room: Room) -> None:
    """Nothing is stopped for it."""
    room.fails = raising("check", LATER, PermanentError("rules.0: no such key"))
    with pytest.raises(PermanentError, match="no such key"):
        upgrading.upgrade(room.site, room.later)
    assert (room.is_as_before(), room.node.runs) == (True, [])


def test_a_release_that_never_answers_is_gone_back_from(room: Room) -> None:
    """What it received meanwhile waits for the indexer of the release before; a message that it took is there again."""
    room.node.broken = LATER
    receipts: list[str] = []

    def receives(step: str, release: Release) -> None:
        if (step, release.version) == ("start", LATER):
            receipts.append(room.receive(room.store))
            journal = Journal(room.data)
            (journal.folder / "m1.json").write_text("{}")
            journal.taken("m1")
            assert journal.waiting() == []

    room.fails = receives
    with pytest.raises(UpgradeFailedError, match=f"{LATER} does not serve.*1 images received since"):
        upgrading.upgrade(room.site, room.later)
    assert room.is_as_before()
    assert room.store.waiting() == receipts
    assert Journal(room.data).waiting() == ["m1"]
    with closing(Ledger.existing(room.data / FILE)) as ledger:
        assert restorations.last(ledger.database).by == "os:kim"
    assert "9999" in schema(room.data / "upgrade" / "newer-ledger.db")


KILLS = [("copy", NOW), ("migrate", LATER), ("migrated", LATER), ("start", LATER)]


def kill(room: Room, at: str, version: str) -> None:
    room.fails = raising(at, version, KilledError())
    with pytest.raises(KilledError):
        upgrading.upgrade(room.site, room.later)
    room.fails = lambda _step, _release: None


@pytest.mark.parametrize(("at", "version"), KILLS)
def test_an_upgrade_that_was_killed_is_gone_back_from_by_resume(room: Room, at: str, version: str) -> None:
    """Before that no other one begins."""
    kill(room, at, version)
    with pytest.raises(TransientError, match="pacsnode upgrade --resume"):
        upgrading.roll_back(room.site, room.later) if at == "start" else upgrading.upgrade(room.site, room.later)
    record = upgrading.resume(room.site)
    assert record is not None
    assert record.outcome.startswith(f"gone back to {NOW} (the upgrade was cut short while ")
    assert room.is_as_before()
    assert upgrading.resume(room.site) is None


@pytest.mark.parametrize(("at", "version"), KILLS)
def test_the_next_start_ends_an_upgrade_that_was_killed_and_says_how(
    room: Room, at: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever release `current` names then starts: this one goes back, the later one has nothing left to do."""
    kill(room, at, version)
    started = room.releases.linked(CURRENT)
    monkeypatch.setattr(recovering, "__version__", started.version)
    (said,) = recovering.at_start(room.data)
    says = {
        "copy": f"the upgrade to {LATER} was cut short before anything was changed: this is {NOW}",
        "migrate": f"the upgrade to {LATER} was cut short: gone back to {NOW}; the ledger stays",
        "migrated": f"the upgrade to {LATER} was cut short: gone back to {NOW}; the ledger is as it was at ",
        "start": f"the upgrade from {NOW} was cut short: finished by this start of {LATER}",
    }
    assert said.startswith(says[at])
    assert upgrade_record.last(room.data).outcome == said
    assert recovering.at_start(room.data) == []


def test_a_kill_in_the_midst_of_going_back_is_gone_on_from(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each file that is moved: the same step again ends it."""
    upgrading.upgrade(room.site, room.later)
    record = UpgradeRecord(NOW, LATER, UpgradeStep.GOING_BACK, str(room.now.command), "")
    whole = shutil.copytree(room.data, room.data.with_name("whole"))
    rename, moves = Path.rename, 0
    for allowed in range(9):
        shutil.rmtree(room.data)
        shutil.copytree(whole, room.data)
        upgrade_record.write(room.data, record)
        moves = 0

        def counted(path: Path, target: Path, allowed: int = allowed) -> Path:
            nonlocal moves
            moves += 1
            if moves > allowed:
                raise KilledError
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", counted)
        try:
            ledgers.put_back(room.data, "node")
            over = True
        except KilledError:
            over = False
        monkeypatch.setattr(Path, "rename", rename)
        recovering.at_start(room.data)
        assert "9999" not in schema(room.data / FILE), allowed
        if over:
            return
    pytest.fail("it never came to an end")


def test_a_start_of_the_later_release_while_it_goes_back_starts_the_one_before(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same arguments: it would migrate the ledger again."""
    upgrade_record.make_folder(room.data)
    record = UpgradeRecord(NOW, LATER, UpgradeStep.GOING_BACK, str(room.now.command), "")
    upgrade_record.write(room.data, record)
    ran: list[str] = []
    monkeypatch.setattr(
        os, "execv", lambda command, _arguments: ran.append(command) or (_ for _ in ()).throw(KilledError)
    )
    monkeypatch.setattr(recovering, "__version__", LATER)
    with pytest.raises(KilledError):
        recovering.at_start(room.data)
    assert ran == [str(room.now.command)]


def test_a_start_by_the_upgrade_itself_leaves_it_alone(room: Room) -> None:
    """The process that carries it out is alive."""
    upgrade_record.make_folder(room.data)
    upgrade_record.write(room.data, UpgradeRecord(NOW, LATER, UpgradeStep.STARTING, "", ""))
    with upgrade_record.held(room.data):
        assert recovering.at_start(room.data) == []
    assert upgrade_record.is_open(room.data)


def test_rollback_leaves_later_images_to_the_next_start(room: Room) -> None:
    """That finds them and holds their studies: their results may have been sent."""
    upgrading.upgrade(room.site, room.later)
    receipt = room.receive(room.store)
    record = upgrading.roll_back(room.site, room.now)
    assert record.outcome.startswith(f"gone back to {NOW} (os:kim wants it); the ledger is as it was at ")
    assert (room.is_as_before(), room.store.waiting()) == (True, [])
    assert room.store.newest_stored() == receipt


def test_without_a_migration_the_ledger_stays(room: Room) -> None:
    """Nothing that happened since is lost then."""
    ledgers.copy(room.data, upgrade_record.make_folder(room.data))
    before = (room.data / FILE).stat().st_ino
    assert ledgers.put_back(room.data, "node") == "the ledger stays: this release knows its schema"
    assert (room.data / FILE).stat().st_ino == before


SOME_SCHEMAS = [*EARLIER][:1] + [*EARLIER][2::12]


@pytest.mark.parametrize("name", SOME_SCHEMAS)
def test_a_ledger_of_an_earlier_schema_is_copied_as_it_is_and_migrated(tmp_path: Path, name: str) -> None:
    """`make installs` does so for every one (tests/installs/upgrades.py)."""
    DataFolder(tmp_path)
    made(tmp_path / FILE, name)
    before = schema(tmp_path / FILE)
    ledgers.copy(tmp_path, upgrade_record.make_folder(tmp_path))
    ledgers.migrate(tmp_path)
    assert schema(tmp_path / "upgrade" / FILE) == before
    Ledger.existing(tmp_path / FILE).close()


def test_who_holds_a_data_folder_is_known(tmp_path: Path) -> None:
    """By its lock, not by a file that a dead node left."""
    assert holder(tmp_path) is None
    lock = take_lock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    os.close(lock)
    assert holder(tmp_path) is None


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """Nobody guesses how far an upgrade had come."""
    (upgrade_record.make_folder(tmp_path) / "record.json").write_text("{")
    with pytest.raises(NodeError, match=r"record\.json: damaged"):
        upgrade_record.read(tmp_path)


def test_the_keys_of_a_schema_are_listed_by_their_paths() -> None:
    """Through references, lists and names that the site chooses; one that refers to itself ends."""
    said = {
        "properties": {
            "node": {"$ref": "#/definitions/N"},
            "boxes": {"additionalProperties": {"$ref": "#/definitions/N"}},
        },
        "definitions": {"N": {"properties": {"port": {}, "inner": {"allOf": [{"$ref": "#/definitions/N"}]}}}},
    }
    assert set(foretelling.keys_of(said)) == {
        "node",
        "node.port",
        "node.inner",
        "boxes",
        "boxes.*.port",
        "boxes.*.inner",
    }
