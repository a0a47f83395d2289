"""The chapter "Helpers for authors" of docs/plugins.md holds: its examples are typed, and do what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plugins import contract
from tests.support.shared_data import ROOT
from tests.unit.plugins.test_shapes import disc, volume

CHAPTER = (
    (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8").split("## Helpers for authors")[1].split("\n## ")[0]
)
EXAMPLES = re.findall(r"```python\n(.*?)```", CHAPTER, re.DOTALL)


def test_examples_hold_under_mypy_strict(tmp_path: Path) -> None:
    """Each is a module of its own, as an author would have it."""
    assert len(EXAMPLES) >= 3
    files = []
    for number, text in enumerate(EXAMPLES):
        files.append(tmp_path / f"example_{number}.py")
        files[-1].write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", *map(str, files)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout


def test_the_example_of_a_lesion_measures_one() -> None:
    """Axes, volume and regions of a disc."""
    names: dict[str, Any] = {}
    (text,) = (each for each in EXAMPLES if "def lesion" in each)
    exec(compile(text, "page", "exec"), names)
    of = volume()
    mask = disc((20, 28), 6.0, of)
    finding = names["lesion"](of, mask)
    assert [measurement.value for measurement in finding.measurements[:2]] == pytest.approx([12, 12], abs=0.81)
    assert finding.measurements[2].value == np.count_nonzero(mask) * of.voxel_volume
    assert [type(region) for region in finding.regions] == [contract.Box, contract.Polyline, contract.Polyline]
