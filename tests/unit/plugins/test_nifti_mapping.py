"""`[nifti]` of a manifest: what it means, and each mistake with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins import manifest
from plugins.exchanges import ExchangeForm
from plugins.manifest import Manifest
from plugins.manifest_table import ManifestError

WHOLE = """
schema = 1
outputs = ["findings", "segmentation", "heatmaps"]
[identity]
name = "n"
version = "1"
manufacturer = "m"
intended_use = "u"
[runtime]
kind = "command"
exchange = "nifti"
command = ["./run", "{in}", "{role:t1}", "{parameter:level}", "{anything: else}"]
[nifti]
grid = "t1"
not_applicable_exit = 3
not_applicable_file = "why.txt"
[[nifti.inputs]]
role = "t1"
modality = "MR"
[[nifti.inputs]]
role = "dwi"
file = "imagesTs/case_0001.nii.gz"
optional = true
tags = {DiffusionBValue = 1000.0}
[nifti.labels]
file = "case/case_seg.nii.gz"
ignore = [7]
[[nifti.segments]]
label = 1
name = "Nodule"
type = {value = "27925004", scheme = "SCT", meaning = "Nodule"}
finding = {value = "27925004", scheme = "SCT", meaning = "Nodule"}
empty = "absent"
[[nifti.segments]]
file = "kidney.nii.gz"
name = "Left kidney"
type = {value = "64033007", scheme = "SCT", meaning = "Kidney"}
site = {value = "64033007", scheme = "SCT", meaning = "Kidney"}
side = "left"
colour = [1, 2, 3]
[[nifti.numbers]]
file = "numbers.csv"
column = "p"
concept = {value = "111012", scheme = "DCM", meaning = "Certainty of Finding"}
unit = "1"
finding = {value = "27925004", scheme = "SCT", meaning = "Nodule"}
score = true
threshold = 0.5
below = "absent"
[[nifti.heatmaps]]
file = "p.nii"
quantity = {value = "130404", scheme = "DCM", meaning = "Saliency"}
[parameters.level]
default = 5
description = "d"
"""


def load(folder: Path, text: str = WHOLE) -> Manifest:
    (folder / "plugin.toml").write_text(text)
    return manifest.load(folder)


def test_every_key_means_something(tmp_path: Path) -> None:
    """Files, roles, codes, sides, bounds; the codes that results will have need no list of their own."""
    made = load(tmp_path)
    said = made.nifti
    assert said is not None
    assert made.runtime.exchange is ExchangeForm.NIFTI
    assert [(each.file, each.role, each.optional) for each in said.inputs] == [
        ("t1.nii.gz", "t1", False),
        ("imagesTs/case_0001.nii.gz", "dwi", True),
    ]
    assert (said.label_map, said.ignored_labels, said.not_applicable_exit) == ("case/case_seg.nii.gz", (7,), 3)
    nodule, kidney = said.segments
    assert (nodule.category.meaning, kidney.category.meaning) == (
        "Morphologically Abnormal Structure",
        "Anatomical Structure",
    )
    assert kidney.site is not None
    assert kidney.site.laterality is not None
    assert (kidney.site.laterality.meaning, kidney.colour, kidney.finding) == ("Left", (1, 2, 3), None)
    assert (said.heatmaps[0].minimum, said.heatmaps[0].maximum) == (0.0, 1.0)
    assert {(each.code.value, each.unit) for each in made.concepts} == {
        ("27925004", ""),
        ("64033007", ""),
        ("118565006", "mL"),
        ("111012", "1"),
    }


def test_the_plainest_one_has_one_image_and_one_mask(tmp_path: Path) -> None:
    """One series without a role is image.nii.gz."""
    start, end = WHOLE.index("[nifti]"), WHOLE.index("[[nifti.segments]]\nfile")
    text = WHOLE[:start] + WHOLE[WHOLE.index("[nifti.labels]") : end] + WHOLE[WHOLE.index("[parameters") :]
    said = load(tmp_path, text.replace("{role:t1}", "{in}/image.nii.gz")).nifti
    assert said is not None
    assert [each.file for each in said.inputs] == ["image.nii.gz"]


MISTAKES = [
    ('exchange = "nifti"', 'exchange = "dicom"', "runtime.exchange: 'dicom' is none of pacsnode, nifti"),
    ('exchange = "nifti"', "", 'nifti: is for exchange = "nifti" or "grand-challenge" in [runtime]'),
    ('outputs = ["findings", ', 'outputs = ["key_images", ', "outputs: lacks findings, which [nifti] makes"),
    (', "heatmaps"]', "]", "outputs: lacks heatmaps, which [nifti] makes"),
    ("{role:t1}", "{role:t2}", "runtime: command: {role:t2}: no [[nifti.inputs]] has this role"),
    ("{parameter:level}", "{parameter:lvl}", "runtime: command: {parameter:lvl}: there is no such parameter"),
    ('grid = "t1"', 'grid = "t2"', "nifti.grid: no input has the role 't2'"),
    ('grid = "t1"', 'grid = "dwi"', "the images that masks lie on cannot be optional"),
    ("not_applicable_exit = 3", "not_applicable_exit = 0", "0 is not an exit code from 1 to 125 other than 75"),
    ("not_applicable_exit = 3", "not_applicable_exit = 75", "75 is not an exit code from 1 to 125 other than 75"),
    ('role = "t1"', 'role = "t1"\nfile = "../t1.nii.gz"', "'../t1.nii.gz' is not the name of a file"),
    ('role = "t1"', 'role = "t1"\nfile = "/t1.nii.gz"', "'/t1.nii.gz' is not the name of a file"),
    ('role = "t1"', 'role = "t1"\nfile = "a/b/c/t1.nii.gz"', "in two folders at most"),
    ('role = "t1"', 'role = "t1"\nfile = "t1.nrrd"', "'t1.nrrd' does not end with .nii.gz or .nii or .mha"),
    ('role = "dwi"', 'role = "t1"', "nifti.inputs: role 't1' occurs twice"),
    ("case_0001.nii.gz", "case_0001.nii.gz/x/y.nii", "is not the name of a file"),
    ("DiffusionBValue = 1000.0", "DiffusionBValue = [1]", "expected attributes with numbers or texts"),
    ("ignore = [7]", "ignore = [1]", "label 1 is ignored and is a segment"),
    ("ignore = [7]", "ignore = [0]", "expected labels from 1 to 65535"),
    ("label = 1\n", "label = 0\n", "nifti.segments[0].label: 0 is not within 1 to 65535; 0 is background"),
    ("label = 1\n", "", "nifti.segments[0].label: give the label in the label map, or the file of the mask"),
    ('file = "kidney.nii.gz"', "label = 1", "nifti.segments: label 1 occurs twice"),
    ('empty = "absent"', 'empty = "nothing"', "nifti.segments[0].empty: 'nothing' is none of unknown, absent"),
    ('name = "Left kidney"', 'name = "Left kidney"\nempty = "absent"', "only what has a finding can be absent"),
    ('side = "left"', 'side = "port"', "'port' is not a side"),
    ("colour = [1, 2, 3]", "colour = [0.1, 2, 3]", "is not red, green and blue from 0 to 255"),
    ('unit = "1"', 'unit = "percent"', "'percent' is not a UCUM unit"),
    ("score = true", "score = false", "only a score has one: write score = true"),
    ("threshold = 0.5", "", "below: needs a threshold"),
    ('"numbers.csv"', '"numbers.xlsx"', "does not end with .csv or .json"),
    ('"numbers.csv"', '"numbers.json"\nrow = "a"', "is for a CSV; of JSON write the names with dots"),
    ("[[nifti.heatmaps]]", "[[nifti.heatmap]]", "nifti.heatmap: unknown key, did you mean 'heatmaps'?"),
    ("[nifti.labels]", "[nifti.label]", "a segment has a label, but there is no [nifti.labels] with the file"),
    ('meaning = "Nodule"}\nscore', 'meaning = "Lump"}\nscore', "(27925004, SCT) is 'Nodule' in one place and 'Lump'"),
]


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES, ids=[f"{new[:30]}" for _, new, _ in MISTAKES])
def test_a_mistake_is_found_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    """File and key are named, and what to write."""
    assert WHOLE.count(old) == 1
    with pytest.raises(ManifestError) as caught:
        load(tmp_path, WHOLE.replace(old, new))
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'plugin.toml'}")


def test_a_unit_that_contradicts_the_list_is_found(tmp_path: Path) -> None:
    """A volume that is listed in cm3 and measured in mL."""
    listed = '[[concepts]]\nvalue = "118565006"\nscheme = "SCT"\nmeaning = "Volume"\nunit = "cm3"\n'
    with pytest.raises(ManifestError, match=r"\(118565006, SCT\) has the unit 'cm3' in one place and 'mL' in another"):
        load(tmp_path, WHOLE + listed)
    assert load(tmp_path, WHOLE + listed.replace("cm3", "mL") + "minimum = 0\nmaximum = 10\n").concepts[0].maximum == 10


def test_nifti_is_for_commands(tmp_path: Path) -> None:
    """A Python class has volumes already."""
    text = WHOLE.replace('kind = "command"', 'kind = "python"\nentry = "a:B"')
    with pytest.raises(ManifestError, match=r"runtime\.(exchange|command): unknown key"):
        load(tmp_path, text)
