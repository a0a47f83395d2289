"""docs/plugins.md holds: its first plugin runs, its commands work, its numbers are the code's."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from plugins import exchange, imaging, limits, testing
from plugins.contract import ResultStatus
from tests.support.shared_data import ROOT

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first block of the page in that language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0]


def commands(beginning: str) -> list[list[str]]:
    """Command lines of the page that begin so, split as a shell does."""
    found = [line.strip() for line in PAGE.splitlines() if line.startswith(f"    {beginning}")]
    assert found
    return [shlex.split(line) for line in found]


@pytest.fixture
def body_volume(tmp_path: Path) -> Path:
    folder = tmp_path / "body_volume"
    folder.mkdir()
    (folder / "plugin.toml").write_text(block("toml"))
    (folder / "body_volume.py").write_text(block("python"))
    return folder


def test_first_plugin_runs(body_volume, chest, chest_files):
    """The page's example, as it is printed, measures the phantom."""
    result = testing.run(body_volume, chest_files, {"threshold_hu": -200.0})
    voxel = imaging.volume(chest_files).voxel_volume
    litres = float((chest.array > -200).sum()) * voxel / 1000
    assert result.status is ResultStatus.FINDINGS
    assert result.findings[0].measurements[0].value == pytest.approx(litres)


def test_commands_of_the_page_run(body_volume, tmp_path):
    """A phantom is made, the harness runs on it, the schemas are printed, each with the line from the page."""
    for words in commands("python -c"):
        ended = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        if "json" in words[2]:
            assert "$schema" in json.loads(ended.stdout)
    (words,) = commands("python -m plugins.testing")
    line = [word.replace("PATH/TO/DICOM", "chest") for word in words[1:]]
    ended = subprocess.run(
        [sys.executable, *line],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("findings: The body within the scan has")


def test_smallest_result_is_one(job):
    """The page's smallest result is read as it stands."""
    folder, request = job
    (folder / "out" / "result.json").write_text(block("json"))
    assert exchange.read_result(folder, request).status is ResultStatus.NOT_APPLICABLE


def test_limits_of_the_page_are_the_codes():
    """Sizes and names that the page states."""
    assert f"{limits.ARRAY_BYTES // 2**30} GiB" in PAGE
    assert f"`result.json` {limits.JSON_BYTES // 2**20} MiB" in PAGE
    for name in (
        exchange.REQUEST,
        exchange.RESULT,
        f"`{exchange.IN}/`",
        f"`{exchange.OUT}/`",
        f"`{exchange.SCRATCH}/`",
    ):
        assert name in PAGE
    for status in ResultStatus:
        assert f"`{status.value}`" in PAGE
