"""docs/nifti.md holds: its manifests are ones, and its reference has every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plugins import manifest
from plugins.nifti_mapping import EmptyMask
from tests.support.shared_data import ROOT

PAGE = (ROOT / "docs" / "nifti.md").read_text(encoding="utf-8")
MANIFESTS = [text for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[identity]" in text]
NAMES = re.compile(r'^name = "(.*)"$', re.MULTILINE)


@pytest.mark.parametrize("text", MANIFESTS, ids=[NAMES.findall(each)[0] for each in MANIFESTS])
def test_each_manifest_of_the_page_is_read_without_a_complaint(tmp_path: Path, text: str) -> None:
    """As a site would read it; weights are there."""
    for pattern in re.findall(r'^weights = \["(.*)"\]$', text, re.MULTILINE):
        path = tmp_path / pattern.replace("*", "x")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
    (tmp_path / "plugin.toml").write_text(text, encoding="utf-8")
    made = manifest.load(tmp_path)
    assert made.nifti is not None
    assert made.concepts


def test_other_makers_tools_are_marked_as_not_run_here() -> None:
    """Three chapters, and each says so before its manifest."""
    chapters = {chapter.splitlines()[0]: chapter for chapter in PAGE.split("\n## ")}
    tools = ("nnU-Net", "TotalSegmentator", "A MONAI bundle")
    assert len(MANIFESTS) == len(tools) + 1
    for name in tools:
        said, _, _ = chapters[name].partition("```toml")
        assert "Not run here" in said


def test_the_reference_has_every_key_and_no_other() -> None:
    """Each row of its tables begins with the keys; the headings are the tables."""
    read_by = ("nifti_mapping", "manifest_parts")
    source = "".join((ROOT / "plugins" / f"{name}.py").read_text(encoding="utf-8") for name in read_by)
    taken = re.findall(
        r"(?:\.(?:take|table|tables|texts)\(|\b_?(?:tables|code|file)\((?:table|labels), )\"(\w+)\"", source
    )
    chapter = PAGE[PAGE.index("## The manifest") : PAGE.index("## nnU-Net")]
    rows = re.findall(r"^\| (`.*?) \|", chapter, re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    documented |= {heading.split(".")[-1] for heading in re.findall(r"^`\[+([\w.]+)", chapter, re.MULTILINE)}
    assert documented - {"nifti"} == set(taken) - {"value", "scheme", "meaning"}
    for member in EmptyMask:
        assert f"`{member}`" in chapter
