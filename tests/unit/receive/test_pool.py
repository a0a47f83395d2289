"""Files that lie ready: as many as the last burst needed, made while nothing arrives, each given out once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.receive import pool as module
from node.receive.pool import SIZES, Pool
from node.store.layout import Spool
from tests.support.wait import until

SMALL, MIDDLE, LARGE = SIZES


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "data")


def lying_ready(spool: Spool) -> list[int]:
    return sorted(path.stat().st_size for path in spool.incoming.glob("*.slot"))


def made(spool: Spool, sizes: list[int]) -> None:
    until(lambda: lying_ready(spool) == sizes, what=f"slots of {sizes}")


def test_as_many_slots_are_made_as_the_last_burst_needed(spool: Spool) -> None:
    """None before the first object; then one for each object, of the smallest size that holds it; a used one anew."""
    pool = Pool(spool, 0, durable=True)
    assert pool.take(None) is None
    for length in (100, SMALL, SMALL + 1):
        pool.brought(length)
    made(spool, [SMALL, SMALL, MIDDLE])
    until(lambda: pool.has_one(MIDDLE), what="them to be given out")
    slot = pool.take(None)
    assert slot is not None
    assert slot.path.stat().st_size == MIDDLE
    slot.discard()
    assert not pool.has_one(MIDDLE)
    pool.brought(SMALL)  # the next burst
    made(spool, [SMALL, SMALL, MIDDLE])


def test_an_object_that_no_slot_holds_takes_the_plain_way(spool: Spool) -> None:
    """Nothing is made for it, and the slots of other sizes stay."""
    pool = Pool(spool, 0, durable=True)
    pool.brought(LARGE)
    made(spool, [LARGE])
    pool.brought(LARGE + 1)
    assert pool.take(None) is None
    assert pool.take(LARGE + 1) is None
    until(lambda: pool.has_one(LARGE), what="the slot of the other size")


def test_nothing_is_made_where_space_is_scarce(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots are a convenience: what is free belongs to the objects."""
    looks: list[Path] = []

    def usage(path: Path) -> os.stat_result:
        looks.append(path)
        return real(path)

    real = module.shutil.disk_usage  # type: ignore[attr-defined]
    monkeypatch.setattr(module.shutil, "disk_usage", usage)  # type: ignore[attr-defined]
    pool = Pool(spool, real(spool.incoming).free, durable=True)
    pool.brought(SMALL)
    until(lambda: looks, what="the thread to look")
    assert lying_ready(spool) == []


def test_a_slot_that_somebody_removed_is_none(spool: Spool) -> None:
    """The object then takes the plain way."""
    pool = Pool(spool, 0, durable=True)
    pool.brought(SMALL)
    until(lambda: pool.has_one(SMALL), what="a slot")
    for path in spool.incoming.glob("*.slot"):
        path.unlink()
    assert pool.take(SMALL) is None


def test_the_slots_of_a_dead_receiver_are_removed_and_those_of_a_living_one_are_not(spool: Spool) -> None:
    """A process tells by its number whose they are; 999999999 is none."""
    (spool.incoming / "999999999-1.slot").touch()
    (spool.incoming / f"{os.getppid()}-1.slot").touch()
    Pool(spool, 0, durable=True)
    assert [path.name for path in spool.incoming.iterdir()] == [f"{os.getppid()}-1.slot"]


def test_without_synchronisation_what_lies_ready_is_empty_and_holds_any_length(spool: Spool) -> None:
    """As many as the last burst had objects, and the one that is taken can be written and gets its own length."""
    pool = Pool(spool, 0, durable=False)
    pool.brought(100)
    pool.brought(LARGE + 1)
    made(spool, [0, 0])
    until(lambda: pool.has_one(1 << 40), what="them to be given out")
    part = pool.take(None)
    assert part is not None
    part.write(b"whole")
    assert not part.is_named
    part.close()
    assert part.path.read_bytes() == b"whole"
