"""How images are handed over: batch by batch, each with the time that it may take."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from node.dicom.confidentiality.key import Key
from node.dicom.confidentiality.profile import Action
from node.run import laying_out
from node.run.laying_out import Copy, Images, Report

KEY = Key.of(b"s" * 32, "P1", "")


class _Pool:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, float]] = []

    def call(self, _function: Any, images: Images, *, deadline: float, **_: Any) -> Report:
        self.calls.append((len(images.copies), deadline))
        return Report([], Counter({Action.REMOVE: len(images.copies)}))


def _laid_out(sizes: list[int], key: Key | None) -> tuple[list[tuple[int, float]], Report]:
    pool = _Pool()
    instance: Any = lambda size: SimpleNamespace(bytes=size)  # noqa: E731 - one line is enough
    copies = tuple(Copy(instance(size), Path("a"), Path("b")) for size in sizes)
    report = laying_out.lay_out(pool, Images(copies, key), lambda: False)  # type: ignore[arg-type]
    return pool.calls, report


def test_many_images_are_handed_over_in_batches() -> None:
    """Of 64 MiB, so that a hang is noticed; one that is larger alone; and what was done is counted over all."""
    calls, report = _laid_out([2**20] * 100 + [2**30] + [1], KEY)
    assert [count for count, _ in calls] == [64, 36, 1, 1]
    assert report.actions[Action.REMOVE] == 102
    assert _laid_out([], KEY)[0][0][0] == 0


def test_a_data_set_of_small_elements_alone_has_the_time_that_it_takes() -> None:
    """67 µs for each element of 16 bytes, where they are looked at; the time of a file of pixels is bounded."""
    ((_, deadline),), _ = _laid_out([32 * 2**20], KEY)
    assert deadline > 67e-6 * 32 * 2**20 / 16
    ((_, as_received),), _ = _laid_out([32 * 2**20], None)
    assert as_received < 65
    ((_, giant),), _ = _laid_out([4 * 2**30], KEY)
    assert giant < 60 + 4 * 2**30 / 10 / 2**20 + 300
