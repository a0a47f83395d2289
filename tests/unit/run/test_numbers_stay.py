"""What algorithms compute is the same on images under pseudonyms as on the images as received."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from node.dicom.confidentiality import part10
from node.dicom.confidentiality.key import Key
from node.dicom.confidentiality.profile import PLUGIN_INPUT
from node.dicom.part10 import read_object
from plugins import manifest
from plugins.contract import Result, Series, Study
from plugins.lung_density.plugin import LungDensity
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import write_series
from tests.support.images.receipts import ct, encoded

KEY = Key.of(b"s" * 32, "P1", "")
FOLDER = Path(manifest.__file__).parent / "lung_density"


def _hidden(image: Dataset) -> Dataset:
    pieces, _ = part10.pieces(memoryview(encoded(image)), ExplicitVRLittleEndian, PLUGIN_INPUT, KEY)
    return dcmread(BytesIO(b"".join(pieces)))


def _hidden_files(paths: Iterable[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    made = []
    for path in paths:
        sent = read_object(path)
        data = memoryview(path.read_bytes())[sent.offset :]
        made.append(folder / path.name)
        pieces, _ = part10.pieces(data, sent.transfer_syntax_uid, PLUGIN_INPUT, KEY)
        made[-1].write_bytes(b"".join(pieces))
    return made


def _measured(files: list[Path]) -> Result:
    study = Study("1.2", (Series("1.2.3", "CT", "", tuple(files)),))
    return LungDensity().analyse(study, manifest.load(FOLDER).parameters_for({}))


def test_the_built_in_plugin_measures_the_same(tmp_path: Path) -> None:
    """lung_density: summary, findings and key images are equal, but for the UIDs of the images."""
    files = write_series(Chest(), tmp_path / "received")
    received, hidden = _measured(files), _measured(_hidden_files(files, tmp_path / "hidden"))
    assert (received.status, received.summary, received.quality) == (hidden.status, hidden.summary, hidden.quality)
    assert [each.measurements for each in received.findings] == [each.measurements for each in hidden.findings]
    seen = [KEY.uid(each.image.sop_instance_uid) for each in received.key_images]
    assert seen == [each.image.sop_instance_uid for each in hidden.key_images]


def _suv_factor(image: Dataset) -> float:
    """SUVbw for a stored value of 1 (QIBA, vendor-neutral): across midnight, so that dates count."""
    dose = image.RadiopharmaceuticalInformationSequence[0]
    began = datetime.strptime(f"{dose.RadiopharmaceuticalStartDateTime}+0000", "%Y%m%d%H%M%S%z")
    scanned = datetime.strptime(f"{image.SeriesDate}{image.SeriesTime}+0000", "%Y%m%d%H%M%S%z")
    decay = 2 ** (-(scanned - began).total_seconds() / float(dose.RadionuclideHalfLife))
    return float(image.PatientWeight) * 1000 / (float(dose.RadionuclideTotalDose) * decay)


def test_suv_is_the_same() -> None:
    """Weight, dose, half-life, and the time between injection and scan."""
    image = ct(1, Modality="PT", PatientWeight=71.5, PatientSize=1.78, SeriesDate="20260301", SeriesTime="003000")
    dose = Dataset()
    dose.RadiopharmaceuticalStartDateTime, dose.RadionuclideTotalDose = "20260228233000", 370_000_000
    dose.RadionuclideHalfLife = 6586.2
    image.RadiopharmaceuticalInformationSequence = [dose]
    hidden = _hidden(image)
    assert _suv_factor(hidden) == _suv_factor(image)
    assert (hidden.PatientSize, hidden.PatientSex) == (image.PatientSize, image.PatientSex)
    assert hidden.SeriesDate != image.SeriesDate


def test_b_values_and_phases_are_the_same() -> None:
    """Of the Standard and of the makers; trigger times, percentages of the cycle, temporal positions."""
    image = ct(1, DiffusionBValue=800.0, TriggerTime=412, NominalPercentageOfCardiacPhase=40.0, AcquisitionNumber=3)
    image.TemporalPositionIdentifier = 7
    block = image.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "800")
    hidden = _hidden(image)
    for keyword in ("DiffusionBValue", "TriggerTime", "NominalPercentageOfCardiacPhase", "TemporalPositionIdentifier"):
        assert hidden[keyword].value == image[keyword].value
    assert hidden.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 800


def test_the_interval_to_a_prior_is_the_same() -> None:
    """All dates of a patient move by the same days."""
    now, before = (_hidden(ct(1, StudyDate=each, AcquisitionDate=each)) for each in ("20260301", "20250217"))
    days = date.fromisoformat(now.StudyDate) - date.fromisoformat(before.StudyDate)
    assert days == date(2026, 3, 1) - date(2025, 2, 17)
    assert now.AcquisitionDate == now.StudyDate
