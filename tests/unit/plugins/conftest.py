"""Folders, phantoms and requests that the tests of this room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.exchange import IN, InputFile, InputSeries, PluginReference, Request, RequestFacts, write_request
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import write_series


@pytest.fixture(scope="session")
def chest() -> Chest:
    """A small chest: 96 × 96 × 69 voxels, made in a moment."""
    return Chest()


@pytest.fixture(scope="session")
def chest_files(chest: Chest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(chest, tmp_path_factory.mktemp("chest"))


@pytest.fixture
def job(tmp_path: Path):
    """A job's folder with two series of three files each; (folder, request)."""
    folder = tmp_path / "job"
    series = []
    for index in (1, 2):
        (folder / IN / str(index)).mkdir(parents=True)
        files = []
        for number in (1, 2, 3):
            (folder / IN / str(index) / f"{number}.dcm").write_bytes(b"stand-in")
            files.append(InputFile(f"{index}/{number}.dcm", f"1.2.{index}.{number}", number, f"1.9.{index}"))
        series.append(
            InputSeries(f"1.2.{index}", "CT", tuple(files), "Chest 1 mm", "current" if index == 1 else "prior")
        )
    request = Request(
        job="job-1",
        plugin=PluginReference("Test", "1.0", str(tmp_path / "plugin"), "author:Author"),
        study=RequestFacts("1.2", "F", 61.5),
        series=tuple(series),
        parameters={"limit": 3.5, "count": 2, "kind": "a", "on": True},
    )
    write_request(folder, request)
    return folder, request
