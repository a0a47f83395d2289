"""docs/plugins.md holds: its first plugin runs, its commands work, its numbers are the code's."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from node.config.envelope import EnvelopeUse
from node.envelope import of_headers
from node.kit.examples import ExpectedNumber, ExpectedResult
from plugins import envelope, exchange, imaging, limits, manifest, runtime, testing
from plugins.contract import ResultStatus
from plugins.manifest import ManifestStatements, Output
from plugins.runtime import PatientIdentity, RuntimeKind
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
    result = testing.analyse(body_volume, chest_files, {"threshold_hu": -200.0})
    voxel = imaging.volume(chest_files).voxel_volume
    litres = float((chest.array > -200).sum()) * voxel / 1000
    assert result.status is ResultStatus.FINDINGS
    assert result.findings[0].measurements[0].value == pytest.approx(litres)


def python(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """This interpreter in that folder, with the packages of the checkout."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_commands_of_the_page_run(tmp_path):
    """A phantom is made, the schemas are printed, each with the line from the page."""
    for words in commands("python -c"):
        ended = python(words[1:], tmp_path)
        assert ended.returncode == 0, ended.stderr
        if "json" in words[2]:
            assert "$schema" in json.loads(ended.stdout)


def test_ten_minutes_from_nothing_to_a_page(tmp_path):
    """The first two commands of the page, as they are written there; how long each took is printed."""
    for words in commands("pacsnode plugin")[:2]:
        begun = time.monotonic()
        ended = python(["-m", "node.cli", *words[1:]], tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        print(f"{' '.join(words)}: {time.monotonic() - begun:.1f} s")
    assert (tmp_path / "out" / "sc-001.png").read_bytes().startswith(b"\x89PNG")
    assert "32.4 mL" in (tmp_path / "out" / "report.txt").read_text()


def blocks_with(language: str, words: str) -> str:
    """The one block of the page in that language that has these words."""
    (found,) = [each for each in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if words in each]
    return found


def test_score_site_region_and_segment_are_returned_as_shown(chest_files):
    """The page's second example, as it is printed: its finding has all four."""
    known: dict[str, Any] = {}
    exec(blocks_with("python", "class Nodules"), known)
    series = SimpleNamespace(volume=lambda: imaging.volume(chest_files))
    result = known["Nodules"]().analyse(SimpleNamespace(series=[series]), {})
    (finding,) = result.findings
    assert (finding.score.value, finding.site.laterality.meaning) == (0.87, "Left")
    assert [type(each).__name__ for each in finding.regions] == ["Box"]
    assert int((result.segmentation.labels == 1).sum()) == 8 * 12


def test_the_expected_result_of_the_page_is_one():
    """Each of its keys is known, and it has all of them."""
    text = blocks_with("toml", "[[numbers]]")
    expected = ExpectedResult.model_validate(tomllib.loads(text))
    for model in (ExpectedResult, ExpectedNumber):
        missing = [name for name in model.model_fields if not re.search(rf"^(\[+)?{name}\b", text, re.MULTILINE)]
        assert missing == []
    assert [number.name for number in expected.numbers] == ["LUNG_DENSITY 118565006 373098007 Left", "Left lung"]


def keys_of_the_code() -> set[str]:
    """Every key that is taken out of a table of a manifest."""
    read_by = (
        "manifest",
        "runtime",
        "boxes",
        "services",
        "vendor_scores",
        "privileges",
        "resources",
        "weights",
        "concepts",
    )
    source = "".join((ROOT / "plugins" / f"{name}.py").read_text() for name in read_by)
    found = set(re.findall(r"\.(?:take|texts|table|tables|named_tables|values\.get)\(\"(\w+)\"", source))
    for names in re.findall(r"(?:_BOUNDS = |for key in )\(([^)]*)\)", source):
        found |= set(re.findall(r"\"(\w+)\"", names))
    return found | {each.name for each in fields(ManifestStatements)}


def test_the_reference_of_the_manifest_has_every_key_and_no_other():
    """Each row of its tables begins with the keys; the headings are the tables."""
    chapter = PAGE[PAGE.index("## The manifest") : PAGE.index("## What it was validated on")]
    rows = re.findall(r"^\| (`.*?) \|", chapter, re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    headings = re.findall(r"^`\[+([\w.]+)", chapter, re.MULTILINE)
    documented |= {part for heading in headings for part in heading.split(".") if part.islower()}
    assert documented == keys_of_the_code()


def test_the_chapter_on_the_envelope_has_every_attribute_and_its_example_is_one(tmp_path):
    """With the sentence that readers get."""
    chapter = PAGE[PAGE.index("## What it was validated on") : PAGE.index("## Coming from")]
    rows = re.findall(r"^\| .*? \| (`.*?) \|$", chapter, re.MULTILINE)
    assert sorted(key for row in rows for key in re.findall(r"`(\w+)`", row)) == sorted(envelope.ATTRIBUTES)
    (tmp_path / "plugin.toml").write_text(block("toml") + blocks_with("toml", "ConvolutionKernel"), encoding="utf-8")
    thickness = next(each for each in manifest.load(tmp_path).envelope if each.attribute == "SliceThickness")
    said = of_headers((thickness,), EnvelopeUse(), [{"Rows": ["US", [4]], "SliceThickness": ["DS", [5]]}]).sentences
    assert said[0] in " ".join(chapter.split())


def test_the_reference_names_every_member_and_default():
    """Kinds, outputs, identities; seconds and memory."""
    chapter = PAGE[PAGE.index("## The manifest") : PAGE.index("## Coming from")]
    for member in (*Output, *RuntimeKind, *PatientIdentity):
        assert f"`{member}`" in chapter
    assert f"| {runtime.DEADLINE_SECONDS} |" in chapter
    assert f"| {runtime.MEMORY_MB} |" in chapter


def test_the_affine_for_nibabel_is_in_ras(chest_files):
    """The page's line for nibabel: x and y change their sign, and nothing else does."""
    volume = imaging.volume(chest_files)
    index = np.array([3, 5, 7, 1])
    ras = np.diag([-1, -1, 1, 1]) @ volume.affine @ index
    lps = volume.affine @ index
    assert ras.tolist() == [-lps[0], -lps[1], lps[2], 1]
    assert np.transpose(volume.array)[3, 5, 7] == volume.array[7, 5, 3]


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
