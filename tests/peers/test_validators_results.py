"""What other makers' validators and readers say of every object we write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from node.results.encode import EncodedObject, encode
from node.results.request import EncodingProfile
from plugins.contract import ImageReference
from tests.support import reports
from tests.support.matrix import (
    CHARACTER_SETS,
    RESULTS,
    Case,
    errors_of_dciodvfy,
    errors_of_sr_validator,
    every_case,
    made,
    pairwise,
)
from tests.support.peers import dcmtk, program
from tests.support.shared_data import shared_data
from tests.support.validators import dciodvfy

Made = dict[Case, tuple[EncodedObject, ...]]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Pairwise; `make matrix` runs every combination."""
    return dict(made(pairwise(), tmp_path_factory.mktemp("objects"), pages_every=6))


def test_pairs_are_complete() -> None:
    """Each result meets each kind of image, and each of both meets each character set."""
    cases = pairwise()
    for one, other in (("result", "source"), ("result", "characters"), ("source", "characters")):
        wanted = {(getattr(case, one), getattr(case, other)) for case in every_case()}
        assert {(getattr(case, one), getattr(case, other)) for case in cases} == wanted


def test_every_name_arrives(objects: Made) -> None:
    """Fault 38: whatever the character set, right, wrong or missing, a name stays the name."""
    for case, encoded in objects.items():
        for one in encoded:
            assert dcmread(one.path).PatientName == CHARACTER_SETS[case.characters].name, (case, one.kind)


def test_dciodvfy_finds_no_error(objects: Made) -> None:
    """Modules and attributes of every object of every kind are as their IOD says."""
    assert errors_of_dciodvfy(objects) == {}


def test_dicom_sr_validator_finds_no_error(objects: Made) -> None:
    """The content of every kind of report, and of key object selections, is as its templates say."""
    # Three seconds each: one report of each tree that differs, turning through the kinds of image.
    chosen = {}
    for number, result in enumerate(sorted(RESULTS.keys() - {"illustrated", "not-applicable"})):
        cases = [case for case in objects if case.result == result]
        chosen[cases[number % len(cases)]] = objects[cases[number % len(cases)]]
    assert errors_of_sr_validator(chosen, selections=1) == {}


def test_dcmtk_reads_every_report(objects: Made) -> None:
    """dsrdump accepts each tree, and dsr2html shows numbers and texts as they were meant."""
    for case, encoded in objects.items():
        path = next(one.path for one in encoded if one.kind == "sr")
        # dcmtk takes no reference to a private SOP class for an image unless it is told to go on.
        options = ["-Ev"] if case.source == "private" else []
        command = [dcmtk("dsrdump"), *options, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, (case, done.stderr)
        assert not [line for line in done.stderr.splitlines() if line.startswith("E:")], (case, done.stderr)
    measured = next(encoded for case, encoded in objects.items() if (case.result, case.source) == ("measured", "ct"))
    path = next(one.path for one in measured if one.kind == "sr")
    html = subprocess.run([dcmtk("dsr2html"), "+U8", str(path)], capture_output=True, text=True, errors="replace")
    assert html.returncode == 0, html.stderr
    for shown in ("2801.437", "8.125", "-941", "LAA%-950 is 7.2 %"):
        assert shown in html.stdout, shown


def test_dcentvfy_finds_one_patient_and_one_study(tmp_path: Path) -> None:
    """Patient, study and equipment attributes do not differ between the images and what we made of them."""
    for result in (reports.mapped(reports.reference("ct")), reports.segmented(reports.frames("ct"))):
        sources = reports.write_series("ct", tmp_path / "in")
        files = [*sources, *(one.path for one in encode(reports.request(sources, result), tmp_path / "out"))]
        done = subprocess.run(
            [program("dicom3tools", "dcentvfy"), *map(str, files)], capture_output=True, text=True, errors="replace"
        )
        assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")], done.stderr


UNKNOWN_TO_DCIODVFY = ("Information Object Not found", "with SegmentNumber of 0")
"""What Debian's dicom3tools says of Label Map Segmentation, which is younger: no such IOD, no background segment 0."""


def test_label_map_segmentation_is_what_dciodvfy_can_judge_of_it(tmp_path: Path) -> None:
    """All that is not the class itself or its background has no error."""
    paths = reports.write_series("ct", tmp_path / "in")
    profile = EncodingProfile(seg_form="label-map", kinds=frozenset({"seg"}))
    (made,) = encode(reports.request(paths, reports.segmented(reports.frames("ct")), profile=profile), tmp_path / "out")
    assert [error for error in dciodvfy(made.path) if not error.endswith(UNKNOWN_TO_DCIODVFY)] == []


REAL = (
    "LIDC-IDRI-0314",
    "pydicom_pydicom/src/pydicom/data/test_files/CT_small.dcm",
    "pydicom_pydicom/src/pydicom/data/test_files/MR_small.dcm",
    "pydicom_pydicom-data/data_store/data/eCT_Supplemental.dcm",
    "ImagingDataCommons_highdicom/data/test_files/dx_image.dcm",
    "pydicom_pydicom-data/data_store/data/RG3_J2KR.dcm",
)


@pytest.mark.parametrize("name", REAL)
def test_real_images_give_conformant_objects(tmp_path: Path, name: str) -> None:
    """CT, enhanced CT, MR, CR and DX of real scanners: no error in what we write for them."""
    path = shared_data(name)
    paths = sorted(path.glob("**/*.dcm"))[:5] if path.is_dir() else [path]
    image = ImageReference(str(dcmread(paths[0], stop_before_pixels=True).SOPInstanceUID))
    for one in encode(reports.request(paths, reports.nodule(image)), tmp_path / "out"):
        assert dciodvfy(one.path) == [], one.kind
