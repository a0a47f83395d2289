"""What other makers' validators and readers say of every object we write."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from node.config.encoding import EncodingProfile
from node.results.encoded import EncodedObject
from plugins.contract import ImageReference
from tests.support.images.broken_sources import IDENTIFYING, attributes, write
from tests.support.programs.peers import dcmtk
from tests.support.programs.validators import dcentvfy, dciodvfy, dicom_sr_validator
from tests.support.results import reports
from tests.support.results.matrix import (
    CHARACTER_SETS,
    PROFILES,
    RESULTS,
    Case,
    as_segmentation,
    errors_of_dciodvfy,
    errors_of_sr_validator,
    every_case,
    every_pair,
    made,
    pairwise,
    untidy_cases,
    wrong_masks,
)
from tests.support.results.viewer_rules import problems_for_viewers
from tests.support.shared_data import shared_data

Made = dict[Case, tuple[EncodedObject, ...]]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Pairwise, and of untidy images; `make matrix` runs every combination."""
    return dict(made([*pairwise(), *untidy_cases()], tmp_path_factory.mktemp("objects"), pages_every=6))


def test_pairs_are_complete() -> None:
    """Each result, kind of image, character set and setting of a profile meets each other; in full every three meet."""
    assert every_pair() - set().union(*(case.pairs for case in pairwise())) == set()
    cases = every_case()
    assert len({(case.result, case.source, case.characters) for case in cases}) == len(cases) == len(pairwise()) * 9
    for one in ("result", "source", "characters"):
        wanted = {(of, profile) for of in {getattr(case, one) for case in cases} for profile in range(len(PROFILES))}
        assert {(getattr(case, one), case.profile) for case in cases} == wanted


def test_every_name_arrives(objects: Made) -> None:
    """Fault 38: whatever the character set, right, wrong or missing, a name stays the name."""
    for case, encoded in objects.items():
        for one in encoded:
            assert dcmread(one.path).PatientName == CHARACTER_SETS[case.characters].name, (case, one.kind)


def test_every_mask_arrives(objects: Made) -> None:
    """highdicom reads from the SEGs, for each image and frame of whatever kind, the labels that were put in."""
    for case, encoded in objects.items():
        assert wrong_masks(case, encoded) == [], case


def test_every_set_is_as_viewers_read_it(objects: Made) -> None:
    """The structure that OHIF and Weasis rely on, of every result on every kind of image."""
    for case, encoded in objects.items():
        numbers = (1,) if case.source in reports.MULTI_FRAME else (1, 2, 3)
        images = [f"{reports.STUDY_UID}.2.{number}" for number in numbers]
        documents = [dcmread(one.path, stop_before_pixels=True) for one in encoded]
        assert problems_for_viewers(documents, images, ohif=PROFILES[case.profile]["editable"]) == [], case


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
    chosen |= {case: objects[case] for case in untidy_cases()[:2]}
    assert errors_of_sr_validator(chosen, selections=1) == {}


def test_dcmtk_reads_every_report(objects: Made) -> None:
    """dsrdump accepts each tree, and dsr2html shows numbers and texts as they were meant."""
    for case, encoded in objects.items():
        path = next(one.path for one in encoded if one.kind == "sr")
        # dcmtk takes no reference to a private SOP class for an image unless it is told to go on.
        options = ["-Ev"] if case.source == "private" else []
        with as_segmentation(path) as shown:
            command = [dcmtk("dsrdump"), *options, str(shown)]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, (case, done.stderr)
        assert not [line for line in done.stderr.splitlines() if line.startswith("E:")], (case, done.stderr)
    measured = next(encoded for case, encoded in objects.items() if (case.result, case.source) == ("measured", "ct"))
    path = next(one.path for one in measured if one.kind == "sr")
    html = subprocess.run([dcmtk("dsr2html"), "+U8", str(path)], capture_output=True, text=True, errors="replace")
    assert html.returncode == 0, html.stderr
    for text in ("2801.437", "8.125", "-941", "LAA%-950 is 7.2 %"):
        assert text in html.stdout, text


def test_dcentvfy_finds_one_patient_and_one_study(tmp_path: Path) -> None:
    """Patient, study and equipment attributes do not differ between the images and what we made of them."""
    for result in (reports.mapped(reports.reference("ct")), reports.segmented(reports.frames("ct"))):
        sources = reports.write_series("ct", tmp_path / "in")
        files = [
            *sources,
            *(one.path for one in reports.whole(reports.request(sources, result), tmp_path / "out")),
        ]
        assert dcentvfy(files) == []


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
    for one in reports.whole(reports.request(paths, reports.nodule(image)), tmp_path / "out"):
        assert dciodvfy(one.path) == [], one.kind


BROKEN = ("valid", "too long", "latin-1 as utf-8", "two values", "control characters", "empty items within")
"""Of the forms in which attributes of images are broken, those that leave the most different objects."""


def test_finding_s2_broken_sources_give_conformant_objects(tmp_path: Path) -> None:
    """All optional attributes of the images broken at once: dciodvfy and PixelMed find no error in what leaves."""
    reports_made = []
    for form in BROKEN:
        forms = dict.fromkeys(sorted(attributes().keys() - IDENTIFYING), form)
        paths = [write(reports.ct(number), forms, tmp_path / form / f"{number}.dcm") for number in (1, 2, 3)]
        key_images = reports.nodule(reports.reference("ct")).key_images
        result = replace(reports.segmented(reports.frames("ct")), key_images=key_images)
        profile = EncodingProfile(kinds=frozenset({"sr", "sc", "seg", "ko"}))
        for one in reports.whole(reports.request(paths, result, profile=profile), tmp_path / form / "out"):
            assert dciodvfy(one.path) == [], (form, one.kind)
            reports_made += [one.path] if one.kind == "sr" else []
    found = dicom_sr_validator(reports_made[:2])
    assert {path: errors for path, errors in found.items() if errors} == {}
