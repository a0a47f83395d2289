"""What plugins/examples/mammography says, as DICOM: valid for other makers' validators, and on the right side."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread

from node.reading.reader import read_sr
from node.results.encode import encode
from plugins import manifest, testing
from plugins.phantoms.mammogram import BreastLesion, MammogramPhantom
from tests.support.programs.validators import dciodvfy, dicom_sr_validator
from tests.support.results import reports

FOLDER = Path(manifest.__file__).parent / "examples" / "mammography"


def test_report_and_pages_are_valid_and_the_marks_are_on_images_of_the_left_breast(tmp_path: Path) -> None:
    """One lesion with one tracking UID on CC and MLO of its breast; a score for each breast; no error anywhere."""
    mass = BreastLesion("L", "mass", (48.0, 20.0, 14.0), 18.0)
    files = MammogramPhantom(rows=320, columns=200, pixel_mm=0.6, lesions=(mass,), seed=3).write(tmp_path / "in")
    made = encode(reports.request(files, testing.analyse(FOLDER, files)), tmp_path / "out")
    assert {each.kind for each in made} == {"sr", "sc"}
    assert {each.path: dciodvfy(each.path) for each in made} == {each.path: [] for each in made}
    (document,) = [each.path for each in made if each.kind == "sr"]
    assert dicom_sr_validator([document]) == {document: []}
    headers = {str(header.SOPInstanceUID): header for header in map(dcmread, files)}
    findings = read_sr(document).findings
    marked = [each for each in findings if each.regions]
    seen = [headers[region.sop_instance_uid] for each in marked for region in each.regions]
    assert [each.ImageLaterality for each in seen] == ["L", "L"]
    assert {each.ViewCodeSequence[0].CodeMeaning for each in seen} == {"cranio-caudal", "medio-lateral oblique"}
    assert {each.site.side for each in marked} == {"Left"}
    assert len({each.tracking_uid for each in marked}) == 1
    breasts = {each.site.side: each for each in findings if each.finding.value == "BREAST_WITH_MASS"}
    assert (breasts["Left"].present, breasts["Right"].present) == (True, False)
    assert all(each.measurements[0].concept.meaning == "Conspicuity of a mass" for each in breasts.values())
