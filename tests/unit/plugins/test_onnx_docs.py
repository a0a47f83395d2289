"""docs/onnx.md holds: its reference has every key, and names every choice."""

from __future__ import annotations

import re

from plugins.model.mapping import (
    Activation,
    BlendRule,
    BoxForm,
    CoordinateUnit,
    ModelImages,
    PatientFact,
    SizeFit,
    StepKind,
)
from plugins.model.outputs import OutputKind
from plugins.model.reading import ELEMENTS
from tests.support.shared_data import ROOT

PAGE = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
SOURCES = ("manifest_parts", "model/reading", "model/outputs")


def test_the_reference_has_every_key_and_no_other() -> None:
    """Each row of its tables begins with the keys; the headings are the tables."""
    source = "".join((ROOT / "plugins" / f"{name}.py").read_text(encoding="utf-8") for name in SOURCES)
    taken = set(
        re.findall(r"(?:\.(?:take|table|tables|texts)\(|\b(?:tables|code|numbers|sizes)\(\w+, )\"(\w+)\"", source)
    )
    segment = {
        "name",
        "type",
        "category",
        "finding",
        "empty",
        "parts",
        "part_minimum_ml",
    }  # read by `plugins.nifti_mapping.segment`
    chapter = PAGE[PAGE.index("## The manifest") :]
    rows = re.findall(r"^\| (`.*?) \|", chapter, re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    documented |= {heading.split(".")[-1] for heading in re.findall(r"^`\[+([\w.]+)", chapter, re.MULTILINE)}
    inner = set(re.findall(r"`(\w+)`", next(row for row in chapter.splitlines() if row.startswith("| `steps`"))))
    assert (documented | inner) - {"onnx"} == taken | segment


def test_the_page_names_every_choice() -> None:
    """Of each key that has some."""
    for kind in (
        Activation,
        BlendRule,
        BoxForm,
        CoordinateUnit,
        ModelImages,
        OutputKind,
        PatientFact,
        SizeFit,
        StepKind,
    ):
        for member in kind:
            assert f"`{member}`" in PAGE
    assert all(f"`{each}`" in PAGE for each in ELEMENTS)
