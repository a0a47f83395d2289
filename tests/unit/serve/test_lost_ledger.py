"""A ledger that knows less than the store: noticed at the start, indexed again, and nothing sent about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.index import reindexing
from node.index.children import HeaderReader
from node.ledger import instances, reindexings, studies
from node.ledger.database import FILE
from node.ledger.event_kinds import EventKind
from node.ledger.instances import InstanceStatus
from node.serve import lost_ledger
from node.store.layout import DataFolder
from tests.support import history
from tests.support.images.receipts import arrive, ct
from tests.support.sites.index_room import Room, room_of


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


def filled(data_folder: DataFolder, reader: HeaderReader, studies_: int, start: int = 0) -> Room:
    """A node that has stored one image of each of so many studies."""
    room = room_of(data_folder, reader)
    for number in range(start, start + studies_):
        arrive(data_folder, ct(number, StudyInstanceUID=f"1.2.{number}", SOPInstanceUID=f"1.2.{number}.1"))
        room.index.run_once()
    return room


def started(data_folder: DataFolder, reader: HeaderReader) -> Room:
    """The next start of the node on this data folder, which indexes what there is."""
    room = room_of(data_folder, reader)
    lost_ledger.check(room.ledger, data_folder, room.clock)
    again = room_of(data_folder, reader)
    for _ in range(6):
        again.index.run_once()
    return again


def counted(room: Room) -> dict[InstanceStatus, int]:
    return instances.totals(room.ledger.database)


def lose(data_folder: DataFolder, copy: Path | None) -> None:
    for path in data_folder.data.glob(f"{FILE}*"):
        path.unlink()
    if copy is not None:
        shutil.copy(copy, data_folder.data / FILE)


@pytest.mark.parametrize("how", ["lost", "emptied", "older"])
def test_finding_x7_what_is_in_the_store_is_known_again(tmp_path: Path, reader: HeaderReader, how: str) -> None:
    """Every stored image has a row, is in the store, and one alert says why; known studies stay as they were."""
    data_folder = DataFolder(tmp_path)
    room = filled(data_folder, reader, 2)
    older = tmp_path / "older.db"
    room.ledger.database.execute("VACUUM INTO ?", [str(older)])
    room = filled(data_folder, reader, 3, start=2)
    room.ledger.close()
    if how == "emptied":
        lose(data_folder, None)
        room_of(data_folder, reader).ledger.close()
    else:
        lose(data_folder, older if how == "older" else None)
    again = started(data_folder, reader)
    assert counted(again) == {InstanceStatus.CURRENT: 5}
    assert data_folder.waiting() == []
    assert len(list(data_folder.store.rglob("*.dcm"))) == 5
    assert [len(again.events(kind)) for kind in (EventKind.LEDGER_BEHIND_STORE, EventKind.LEDGER_CAUGHT_UP)] == [1, 1]
    held = [study for n in range(5) if (study := studies.get(again.ledger.database, f"1.2.{n}")) and study.hold]
    assert len(held) == (3 if how == "older" else 5), "results may be in the archive already"
    assert _open(again) == ["ledger.behind-store"], "one alert says it of all these studies"
    with again.ledger.transaction() as database:
        for study in held:
            studies.unhold(database, again.clock.now(), study.study_instance_uid, "os:alice")
    assert _open(again) == []


def _open(room: Room) -> list[str]:
    return [each.kind for each in history.open_alerts(room.ledger.database)]


def test_finding_x7_a_start_with_its_own_ledger_says_nothing(tmp_path: Path, reader: HeaderReader) -> None:
    """Nor do files that are none of ours, nor an image that waits to be moved to the store."""
    data_folder = DataFolder(tmp_path)
    filled(data_folder, reader, 2).ledger.close()
    (data_folder.store / "zz").mkdir()
    (data_folder.store / "zz" / "somebody's.dcm").touch()
    (data_folder.store / "note.txt").touch()
    again = started(data_folder, reader)
    assert again.events(EventKind.LEDGER_BEHIND_STORE) == []
    assert [studies.get(again.ledger.database, f"1.2.{n}").hold for n in (0, 1)] == [None, None]


def test_finding_x7_what_a_crash_cut_short_goes_on(
    tmp_path: Path, reader: HeaderReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while files are taken back, with new images between: the next start goes on, and holds no new study."""
    data_folder = DataFolder(tmp_path)
    filled(data_folder, reader, 4).ledger.close()
    lose(data_folder, None)
    monkeypatch.setattr(reindexing, "FEW", 0)
    room = room_of(data_folder, reader)
    lost_ledger.check(room.ledger, data_folder, room.clock)
    first = room_of(data_folder, reader)
    taken = first.index._reindexing.feed([])
    assert len(taken) == 4
    arrive(data_folder, ct(9, StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1"))
    again = started(data_folder, reader)
    assert counted(again) == {InstanceStatus.CURRENT: 5}
    assert len(again.events(EventKind.LEDGER_BEHIND_STORE)) == 1
    assert reindexings.under_way(again.ledger.database) is None
    new, old = (studies.get(again.ledger.database, uid) for uid in ("1.2.9", "1.2.1"))
    assert new is not None
    assert old is not None
    assert (new.hold, bool(old.hold)) == (None, True)
