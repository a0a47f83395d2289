"""`[envelope]` of a plugin.toml: what it may state, and what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins import envelope, manifest
from plugins.envelope import EnvelopeLimit
from plugins.manifest_table import ManifestError

MANIFEST = """\
schema = 1
outputs = ["findings"]
[identity]
name = "Nodules"
version = "2.1"
manufacturer = "Vendor"
intended_use = "Finds nodules."
[runtime]
kind = "command"
command = ["./find", "{folder}"]
[[concepts]]
value = "27925004"
scheme = "SCT"
meaning = "Nodule"
[envelope]
"""


def read(folder: Path, *lines: str) -> envelope.Envelope:
    """The envelope of a manifest with these lines in it."""
    (folder / "plugin.toml").write_text(MANIFEST + "\n".join(lines) + "\n", encoding="utf-8")
    return manifest.load(folder).envelope


def test_ranges_lists_and_contrast_are_read(tmp_path: Path) -> None:
    """In the order of the manifest, and as the inventory has them."""
    found = read(
        tmp_path,
        'Modality = ["CT"]',
        'Manufacturer = ["SIEMENS*", "GE MEDICAL SYSTEMS"]',
        "SliceThickness = {minimum = 0.5, maximum = 2}",
        "patient_age = {minimum = 18}",
        "CTDIvol = {maximum = 20.0}",
        'contrast = "none"',
    )
    assert envelope.in_words(found) == (
        "modality CT; manufacturer SIEMENS*, GE MEDICAL SYSTEMS; slice thickness 0.5 to 2 mm; "
        "patient's age in years from 18; CTDIvol up to 20 mGy; contrast agent none"
    )
    assert manifest.load(tmp_path).stated["validated_on"].startswith("modality CT; ")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "SliceThicknes = {maximum = 2}",
            "envelope.SliceThicknes: is not an attribute of an envelope, did you",
        ),
        ("SliceThickness = {minimum = 2, maximum = 1}", "minimum 2 is above maximum 1: no image would lie within"),
        ("SliceThickness = {}", "has neither minimum nor maximum"),
        ("SliceThickness = 2", "expected a range, such as"),
        ("SliceThickness = {most = 2}", "envelope.SliceThickness.most: unknown key"),
        ("KVP = {minimum = -1}", "-1 is below 0"),
        ("Manufacturer = []", "expected a list of texts, none of them empty"),
        ('PatientSex = ["male"]', "'male' is none of F, M, O"),
        ('Modality = ["computed tomography"]', "is not a modality"),
        ('contrast = "yes"', "'yes' is none of none, given"),
        ('Modality = ["MR"]\nCTDIvol = {maximum = 20}', "envelope.CTDIvol: images of modality MR do not have it"),
        ("", "states nothing"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, line: str, problem: str) -> None:
    """With the file and the key."""
    with pytest.raises(ManifestError, match=r"plugin\.toml") as refused:
        read(tmp_path, line)
    assert problem in str(refused.value)


def test_a_bound_belongs_to_its_range() -> None:
    """Also where it was written as another number: 0.8 as a float of 32 bits."""
    limit = EnvelopeLimit("SliceThickness", minimum=0.8, maximum=2.0)
    assert [limit.has_number(value) for value in (0.79, 0.800000012, 2.0, 2.00001, 2.01)] == [
        False,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("texts", "is_listed"),
    [
        (["SIEMENS"], True),
        (["Siemens  Healthineers"], True),
        (["GE"], False),
        (["Br40d", "3"], True),
        (["Br40d"], False),
        (["SIEMENS", "GE"], False),
        (["SIEMENS", "Siemens Healthineers"], True),
    ],
)
def test_a_list_of_texts(texts: list[str], is_listed: bool) -> None:
    """Without regard to case; `*` ends at a backslash, and each of several values has to be listed."""
    assert EnvelopeLimit("ConvolutionKernel", values=("siemens*", "Br40d\\*")).has_texts(texts) is is_listed


def test_limits_of_a_role_stand_beside_those_of_all(tmp_path: Path) -> None:
    """In words with their role; a mistake in them names its table."""
    roles = (
        "[envelope.roles.t1]",
        "SliceThickness = {maximum = 1.5}",
        "[envelope.roles.flair]",
        "EchoTime = {minimum = 80}",
    )
    found = read(tmp_path, 'Modality = ["MR"]', *roles)
    assert [each.role for each in found] == ["", "t1", "flair"]
    assert envelope.in_words(found).endswith("slice thickness (t1) up to 1.5 mm; echo time (flair) from 80 ms")
    with pytest.raises(ManifestError, match=r"envelope.roles.t1.SliceThicknes: is not an attribute"):
        read(tmp_path, "[envelope.roles.t1]", "SliceThicknes = {maximum = 1.5}")
    with pytest.raises(ManifestError, match="states nothing"):
        read(tmp_path, "[envelope.roles]")
