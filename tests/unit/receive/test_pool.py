"""Files that lie ready: as many as the last burst needed, made while nothing arrives, each given out once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.receive import pool as module
from node.receive.pool import SIZES, FilePool
from node.store.layout import DataFolder
from tests.support.wait import until

SMALL, MIDDLE, LARGE = SIZES


@pytest.fixture
def data_folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def lying_ready(data_folder: DataFolder) -> list[int]:
    return sorted(path.stat().st_size for path in data_folder.incoming.glob("*.slot"))


def made(data_folder: DataFolder, sizes: list[int]) -> None:
    until(lambda: lying_ready(data_folder) == sizes, what=f"slots of {sizes}")


def test_as_many_slots_are_made_as_the_last_burst_needed(data_folder: DataFolder) -> None:
    """None before the first object; then one for each object, of the smallest size that holds it; a used one anew."""
    pool = FilePool(data_folder, 0, durable=True)
    assert pool.take(None) is None
    for length in (100, SMALL, SMALL + 1):
        pool.brought(length)
    made(data_folder, [SMALL, SMALL, MIDDLE])
    until(lambda: pool.has_one(MIDDLE), what="them to be given out")
    slot = pool.take(None)
    assert slot is not None
    assert slot.path.stat().st_size == MIDDLE
    slot.discard()
    assert not pool.has_one(MIDDLE)
    pool.brought(SMALL)  # the next burst
    made(data_folder, [SMALL, SMALL, MIDDLE])


def test_an_object_that_no_slot_holds_takes_the_plain_way(data_folder: DataFolder) -> None:
    """Nothing is made for it, and the slots of other sizes stay."""
    pool = FilePool(data_folder, 0, durable=True)
    pool.brought(LARGE)
    made(data_folder, [LARGE])
    pool.brought(LARGE + 1)
    assert pool.take(None) is None
    assert pool.take(LARGE + 1) is None
    until(lambda: pool.has_one(LARGE), what="the slot of the other size")


def test_nothing_is_made_where_space_is_scarce(data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots are a convenience: what is free belongs to the objects."""
    looks: list[Path] = []

    def usage(path: Path) -> os.stat_result:
        looks.append(path)
        return real(path)

    real = module.shutil.disk_usage  # type: ignore[attr-defined]
    monkeypatch.setattr(module.shutil, "disk_usage", usage)  # type: ignore[attr-defined]
    pool = FilePool(data_folder, real(data_folder.incoming).free, durable=True)
    pool.brought(SMALL)
    until(lambda: looks, what="the thread to look")
    assert lying_ready(data_folder) == []


def test_a_slot_that_somebody_removed_is_none(data_folder: DataFolder) -> None:
    """The object then takes the plain way."""
    pool = FilePool(data_folder, 0, durable=True)
    pool.brought(SMALL)
    until(lambda: pool.has_one(SMALL), what="a slot")
    for path in data_folder.incoming.glob("*.slot"):
        path.unlink()
    assert pool.take(SMALL) is None


def test_the_slots_of_a_dead_receiver_are_removed_and_those_of_a_living_one_are_not(data_folder: DataFolder) -> None:
    """A process tells by its number whose they are; 999999999 is none."""
    (data_folder.incoming / "999999999-1.slot").touch()
    (data_folder.incoming / f"{os.getppid()}-1.slot").touch()
    FilePool(data_folder, 0, durable=True)
    assert [path.name for path in data_folder.incoming.iterdir()] == [f"{os.getppid()}-1.slot"]


def test_without_synchronisation_what_lies_ready_is_empty_and_holds_any_length(data_folder: DataFolder) -> None:
    """As many as the last burst had objects, and the one that is taken can be written and gets its own length."""
    pool = FilePool(data_folder, 0, durable=False)
    pool.brought(100)
    pool.brought(LARGE + 1)
    made(data_folder, [0, 0])
    until(lambda: pool.has_one(1 << 40), what="them to be given out")
    part = pool.take(None)
    assert part is not None
    part.write(b"whole")
    assert not part.is_named
    part.close()
    assert part.path.read_bytes() == b"whole"
