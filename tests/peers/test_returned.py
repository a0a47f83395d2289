"""DICOM that plugins returned, as programs of other makers judge and keep it: real objects, and some of highdicom."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.results.encode import encode
from node.results.encoded import EncodedObject, EncodedSet
from plugins.contract import Result, ResultStatus, ReturnedObject
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.validators import dciodvfy
from tests.support.results import foreign, reports
from tests.support.shared_data import shared_data
from tests.support.sites.outbox_room import OutboxRoom

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

KINDS = ("SR", "SEG", "PR", "KO", "RTSTRUCT", "DOC", "RWV", "REG")


def real_objects() -> Iterator[Path]:
    """Results of others among the real files: reports, segmentations, maps, presentation states, documents."""
    root = shared_data()
    with (root / "MANIFEST.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            is_map = row["sop_class_uid"].startswith("1.2.840.10008.5.1.4.1.1.30")
            if (row["modality"] in KINDS or is_map) and row["storable"] == "yes" and row["study_uid"]:
                path = root / row["path"]
                with path.open("rb") as content:
                    is_part_10 = content.read(132).endswith(b"DICM")
                if is_part_10:  # some are data sets without a file around them
                    yield path


def returned(made: EncodedSet) -> list[EncodedObject]:
    return [each for each in made if each.kind == "dicom"]


def sent(path: Path, folder: Path) -> EncodedSet:
    """A real object as the answer on an image of its own study and patient."""
    given = dcmread(path, stop_before_pixels=True)
    source = reports.ct(1)
    source.StudyInstanceUID, source.PatientID = given.StudyInstanceUID, str(given.get("PatientID") or "X")
    result = Result(ResultStatus.FINDINGS, "Made.", objects=(ReturnedObject(path),))
    return encode(reports.request([reports.write(source, folder / "in.dcm")], result), folder / "out")


def test_our_marking_adds_no_error_to_real_objects(tmp_path: Path) -> None:
    """dciodvfy finds in what is sent nothing that it does not find in what came, or less."""
    new: dict[str, set[str]] = {}
    count = 0
    for number, path in enumerate(real_objects()):
        if dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
            continue  # this validator does not inflate: it would have seen nothing of what came
        (one,) = returned(sent(path, tmp_path / str(number)))
        count += 1
        if added := set(dciodvfy(one.path)) - set(dciodvfy(path)):
            new[path.name] = added
    assert new == {}
    assert count > 40


def segmentation() -> Dataset:
    """A segmentation on the images of `reports`, made with highdicom."""
    sources = [reports.ct(number) for number in (1, 2, 3)]
    algorithm = AlgorithmIdentificationSequence("Lung", codes.DCM.ArtificialIntelligence, "2.1")
    lung = SegmentDescription(1, "Lung", codes.SCT.Organ, codes.SCT.Lung, "AUTOMATIC", algorithm)
    mask = np.zeros((3, reports.ROWS, reports.COLUMNS), np.uint8)
    mask[:, 10:20, 10:30] = 1
    return Segmentation(
        sources,
        mask,
        SegmentationTypeValues.BINARY,
        [lung],
        series_instance_uid="1.2.276.0.98.5",
        series_number=5,
        sop_instance_uid="1.2.276.0.99.50",
        instance_number=1,
        manufacturer=foreign.MAKER,
        manufacturer_model_name="Lung",
        software_versions="2.1",
        device_serial_number="1",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EncodedSet:
    """A segmentation, a report that refers to it, a presentation state and a document, marked."""
    folder = tmp_path_factory.mktemp("returned")
    group = foreign.group(foreign.PRESENT, 8.5, "A", f"{reports.STUDY_UID}.2.1")
    objects = (segmentation(), foreign.report([group]), foreign.presentation_state(2), foreign.pdf(3))
    files = [foreign.write(each, folder / "kept" / f"{number}.dcm") for number, each in enumerate(objects)]
    result = Result(ResultStatus.FINDINGS, "Made.", objects=tuple(map(ReturnedObject, files)))
    return encode(reports.request(reports.write_series("ct", folder / "in"), result), folder / "out")


def test_a_segmentation_of_highdicom_stays_without_an_error(made: EncodedSet, tmp_path: Path) -> None:
    """Marked it conforms as before, and its voxels are those that were made."""
    before = foreign.write(segmentation(), tmp_path / "before.dcm")
    one = returned(made)[0].path
    assert dciodvfy(before) == dciodvfy(one) == []
    assert np.array_equal(dcmread(one).pixel_array, dcmread(before).pixel_array)


def test_orthanc_keeps_all_that_came(made: EncodedSet, tmp_path: Path) -> None:
    """Report, page and the four objects of the plugin are one study of one patient there, each as it was sent."""
    with Orthanc(tmp_path / "pacs") as pacs:
        room = OutboxRoom(tmp_path / "data", pacs.dicom_port, identity_check="none")
        for one in made:
            room.put(one.path, one.sop_instance_uid, one.sop_class_uid, one.study_instance_uid)
        room.run()
        room.outbox.close()
        stored = {each.SOPInstanceUID: each for each in (dcmread(BytesIO(content)) for content in pacs.files())}
    assert stored.keys() == {one.sop_instance_uid for one in made}
    assert {(str(each.PatientID), str(each.StudyInstanceUID)) for each in stored.values()} == {
        ("12345678", reports.STUDY_UID)
    }
    for one in returned(made):
        sent_there, kept = stored[one.sop_instance_uid], dcmread(one.path)
        assert sent_there.SeriesDescription.startswith("AI-INV lung_density")
        assert sent_there.ContributingEquipmentSequence == kept.ContributingEquipmentSequence
