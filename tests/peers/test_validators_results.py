"""What other makers' validators and readers say of every object we write."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from node.results.encode import EncodedObject, encode
from node.results.request import EncodingProfile, EncodingRequest, SourceReference
from plugins.contract import Finding, ImageReference, Result, Site
from tests.support import reports
from tests.support.peers import dcmtk, program
from tests.support.shared_data import shared_data
from tests.support.validators import dciodvfy, dicom_sr_validator

# PixelMed's validator wants a value in every NUM; PS3.3 C.18.1 lets Measured Value Sequence be empty where a
# Numeric Value Qualifier says why, and that is what an SR has to say of a number that could not be computed.
NO_VALUE = re.compile(r"Error: Template (300|1419) .*NUM \(PERC15,99TEST,\"Perc15\"\): Missing value")


def _frames() -> list[ImageReference]:
    return [ImageReference(f"{reports.STUDY_UID}.2.{number}") for number in (1, 2, 3)]


def _partly_measured(_image: ImageReference) -> Result:
    site = Site(reports.LUNG, reports.RIGHT)
    finding = Finding(reports.DENSITY, site=site, measurements=reports.density(reports.RIGHT, 2801.0, 8.1, None))
    return Result("findings", "Perc15 could not be computed.", (finding,))


def _requests(folder: Path) -> Iterator[tuple[str, EncodingRequest]]:
    """Pairwise: every kind of result, of source image, of SR class and of character set occurs, not all products."""
    earlier = SourceReference(reports.STUDY_UID, "1.2.7", "1.2.7.1", "1.2.840.10008.5.1.4.1.1.88.33")
    classes = ("comprehensive", "comprehensive-3d", "enhanced")
    for number, kind in enumerate(reports.SOURCES):
        paths = reports.write_series(kind, folder / "in" / kind)
        for offset, (name, make) in enumerate(reports.RESULTS.items()):
            if kind != "ct" and (number + offset) % 2:
                continue
            profile = EncodingProfile(
                sr_class=classes[(number + offset) % 3],  # type: ignore[arg-type] # one of the three literals
                language=("en", "ko")[(number + offset) % 2],  # type: ignore[arg-type] # one of the two literals
                sc_modality=("OT", "source")[number % 2],  # type: ignore[arg-type] # one of the two literals
            )
            image = reports.reference(kind)
            yield f"{kind}-{name}", reports.request(paths, make(image), profile=profile)
    paths = reports.write_series("ct", folder / "in" / "more")
    yield "segmented", reports.request(paths, reports.segmented(_frames()))
    yield "segmented-mixed", reports.request(paths, _with_absent(reports.segmented(_frames())))
    yield "partly-measured", reports.request(paths, _partly_measured(_frames()[0]))
    yield "rerun", reports.request(paths, reports.measured(), supersedes=(earlier,))
    private = reports.write_series("private", folder / "in" / "private-segmented")
    yield "private-segmented", reports.request(private, reports.segmented(_frames()))
    enhanced = reports.write_series("enhanced-ct", folder / "in" / "enhanced")
    frames = [ImageReference(f"{reports.STUDY_UID}.2.1", number) for number in (1, 2, 3)]
    yield "segmented-enhanced", reports.request(enhanced, reports.segmented(frames))
    for label in ("ISO_IR 100", "ISO 2022 IR 149", "ISO_IR 192"):
        image = reports.ct()
        image.SpecificCharacterSet = ["", label] if "2022" in label else label
        image.PatientName = "Müller^Jörg" if label == "ISO_IR 100" else "Hong^Gildong=洪^吉洞=홍^길동"
        path = reports.write(image, folder / "in" / label.replace(" ", "_") / "1.dcm")
        for character_set in ("utf-8", "source"):
            profile = EncodingProfile(character_set=character_set)  # type: ignore[arg-type] # one of the two literals
            yield f"{label}-{character_set}", reports.request([path], reports.measured(), profile=profile)


def _with_absent(result: Result) -> Result:
    """A result whose findings are of several kinds: PixelMed judges all groups of a report by one template."""
    absent = Finding(reports.PNEUMOTHORAX, present=False)
    return Result(result.status, result.summary, (*result.findings, absent), segmentation=result.segmentation)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[EncodedObject, ...]]:
    folder = tmp_path_factory.mktemp("objects")
    return {name: encode(request, folder / "out" / name) for name, request in _requests(folder)}


def test_dciodvfy_finds_no_error(objects: dict[str, tuple[EncodedObject, ...]]) -> None:
    """Modules and attributes of every SR, SC and SEG are as their IOD says."""
    errors = {
        f"{name} {made.path.name}": found
        for name, encoded in objects.items()
        for made in encoded
        if (found := dciodvfy(made.path))
    }
    assert not errors


def test_dicom_sr_validator_finds_no_error(objects: dict[str, tuple[EncodedObject, ...]]) -> None:
    """The content of every kind of report is as its templates say."""
    chosen = {"segmented", "segmented-mixed", "partly-measured", "rerun", "ISO 2022 IR 149-source"}
    chosen |= {name for name in objects if name.startswith("ct-")}
    chosen |= {next(name for name in objects if name.startswith(kind)) for kind in ("enhanced-ct", "mr", "dx", "us")}
    paths = {made.path: name for name in chosen for made in objects[name] if made.kind == "sr"}
    for path, errors in dicom_sr_validator(paths).items():
        allowed = [error for error in errors if paths[path] == "partly-measured" and NO_VALUE.match(error)]
        assert [error for error in errors if error not in allowed] == [], paths[path]


def test_dcmtk_reads_every_report(objects: dict[str, tuple[EncodedObject, ...]]) -> None:
    """dsrdump accepts each tree, and dsr2html shows numbers and texts as they were meant."""
    for name, encoded in objects.items():
        path = next(made.path for made in encoded if made.kind == "sr")
        # dcmtk takes no reference to a private SOP class for an image unless it is told to go on.
        options = ["-Ev"] if name.startswith("private-") else []
        command = [dcmtk("dsrdump"), *options, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, (name, done.stderr)
        assert not [line for line in done.stderr.splitlines() if line.startswith("E:")], (name, done.stderr)
    path = next(made.path for made in objects["ct-measured"] if made.kind == "sr")
    html = subprocess.run([dcmtk("dsr2html"), "+U8", str(path)], capture_output=True, text=True, errors="replace")
    assert html.returncode == 0, html.stderr
    for shown in ("2801.437", "8.125", "-941", "LAA%-950 is 7.2 %"):
        assert shown in html.stdout, shown


def test_dcentvfy_finds_one_patient_and_one_study(
    objects: dict[str, tuple[EncodedObject, ...]], tmp_path: Path
) -> None:
    """Patient, study and equipment attributes do not differ between the images and what we made of them."""
    for name in ("ct-nodule", "segmented"):
        sources = reports.write_series("ct", tmp_path / name)
        files = [*sources, *(made.path for made in objects[name])]
        done = subprocess.run(
            [program("dicom3tools", "dcentvfy"), *map(str, files)], capture_output=True, text=True, errors="replace"
        )
        assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")], done.stderr


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
    for made in encode(reports.request(paths, reports.nodule(image)), tmp_path / "out"):
        assert dciodvfy(made.path) == [], made.kind
