"""Encoding results: seconds and memory of one object of each kind, in a process of its own, as in the node."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from node.results.encode import encode
from node.results.request import EncodingProfile, Kind
from plugins.contract import ImageReference, Result, Segmentation
from tests.benchmarks import samples
from tests.benchmarks.figures import table
from tests.support import reports

SLICES = 300


def measure(folder: Path, slices: int = SLICES) -> str:
    """A table: objects made, seconds, and how much memory the process had at most beyond what it began with."""
    uid = "1.2.826.0.1.8"
    files = samples.write_study(folder / "files", samples.CT, slices, uid)
    rows = []
    for name, work in (("SR", _report), ("SC pages", _pages), (f"SEG 512 × 512 × {slices}", _segmentation)):
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("spawn").Process(target=_run, args=(there, work, files, folder / name))
        child.start()
        there.close()  # so that a child that dies is an error, not silence
        objects, seconds, octets = here.recv()
        child.join()
        rows.append([name, str(objects), f"{seconds:.2f}", f"{octets / 1e6:.0f}"])
    shutil.rmtree(folder)
    return table(["result", "objects", "seconds", "memory, MB"], rows)


def _run(pipe: Connection, work: Callable[[Path, Path], int], files: Path, folder: Path) -> None:
    before = _most_memory()
    began = time.perf_counter()
    objects = work(files, folder)
    pipe.send((objects, time.perf_counter() - began, _most_memory() - before))


def _most_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _encode(files: Path, folder: Path, result: Result, kind: Kind) -> int:
    profile = EncodingProfile(kinds=frozenset({kind}))
    return len(encode(reports.request(sorted(files.iterdir()), result, profile=profile), folder))


def _report(files: Path, folder: Path) -> int:
    return _encode(files, folder, reports.measured(), "sr")


def _pages(files: Path, folder: Path) -> int:
    return _encode(files, folder, reports.measured(), "sc")


def _segmentation(files: Path, folder: Path) -> int:
    count = len(list(files.iterdir()))
    frames = [ImageReference(f"1.2.826.0.1.8.1.{number}") for number in range(1, count + 1)]
    labels = np.zeros((count, 512, 512), dtype=np.uint8)
    labels[:, 100:400, 60:240], labels[:, 100:400, 270:450] = 1, 2
    result = reports.segmented(frames)
    assert result.segmentation is not None
    whole = Segmentation(labels, tuple(frames), result.segmentation.segments)
    return _encode(files, folder, replace(result, segmentation=whole), "seg")
