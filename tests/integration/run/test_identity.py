"""What plugins learn of who the patient is: images and requests under pseudonyms, answers with the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from node.dicom.confidentiality.key import Key
from node.ledger import attempts, events
from node.ledger.event_kinds import EventKind
from node.ledger.job import Job, JobOutcome
from node.run import handing_on, inputs, laying_out
from node.run.inputs import Layer
from node.run.stage import RunStage
from node.store import keys
from plugins import exchange
from tests.support.images.receipts import ct, encoded
from tests.support.sites.job_site import STUDY, Site

Start = Callable[..., RunStage]
Settle = Callable[..., Job]
NAME, PATIENT_ID, ACCESSION, BORN = "Hong^Gildong=洪^吉洞=홍^길동", "PID-4711-0815", "ACC-20260301-7", "19790402"
PATIENT = {
    "PatientName": ("PN", NAME),
    "PatientID": ("LO", PATIENT_ID),
    "AccessionNumber": ("SH", ACCESSION),
    "PatientBirthDate": ("DA", BORN),
    "SeriesDescription": ("LO", "Thorax of Hong Gildong"),
    "PatientAge": ("AS", ""),
}
"""As the headers in the ledger have it."""


def _image(number: int) -> Dataset:
    """A CT slice that says who the patient is wherever it can."""
    more: dict[str, Any] = {keyword: value for keyword, (_, value) in PATIENT.items() if value}
    image = ct(number, **more, SpecificCharacterSet="ISO_IR 192")
    image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, f"{STUDY}.1"
    image.SOPInstanceUID, image.FrameOfReferenceUID = f"{STUDY}.1.{number}", f"{STUDY}.9.8.7"
    image.ReferringPhysicianName = image.OperatorsName = NAME
    image.add_new(0x00091001, "LO", PATIENT_ID)
    image.add_new(0x00090010, "LO", "MAKER")
    image.add_new(0x60003000, "OW", PATIENT_ID.encode() + b" ")
    image.add_new(0x60000022, "LO", NAME)
    image.OriginalAttributesSequence = [Dataset()]
    image.OriginalAttributesSequence[0].PatientID = PATIENT_ID
    return image


def _receive(site: Site) -> list[str]:
    more: dict[str, Any] = PATIENT | {"FrameOfReferenceUID": ("UI", f"{STUDY}.9.8.7")}
    receipts = site.receive(2, contents=lambda number: encoded(_image(number)), **more)
    site.complete()
    return receipts


def _laid_out(site: Site, job: Job, folder: Path, *, full: bool = False) -> inputs.JobInputs:
    asked = inputs.gather(site.ledger.database, job, site.catalogue().plugins[job.plugin], {"level": 5})
    key = None if full else inputs.key_of(asked, keys.secret(site.data_folder.data))
    return inputs.lay_out(asked, folder, site.data_folder, key, Layer(laying_out.make, handing_on.make))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_nothing_that_a_plugin_can_read_says_who_the_patient_is(site: Site, tmp_path: Path) -> None:
    """Neither images nor request hold a byte string of name, numbers, dates or UIDs, in any encoding of text."""
    site.python_plugin("good", identity="pseudonym")
    job = site.job("good", _receive(site))
    _laid_out(site, job, tmp_path / "given")
    texts = [*NAME.split("="), "Hong", "Gildong", PATIENT_ID, "4711-0815", ACCESSION, BORN, "20260301", "2026-03-01"]
    texts += [f"{STUDY}.1.1", f"{STUDY}.9.8.7", "SCANNER", "MAKER"]
    found = _contents(tmp_path / "given")
    assert len(found) == 3
    for name, content in found.items():
        for text in texts:
            for encoding in ("utf-8", "utf-16-le", "utf-16-be", "euc-kr"):
                raw = text.encode(encoding, "ignore")
                assert not raw or raw not in content, (name, text, encoding)


def test_age_sex_and_numbers_stay(site: Site, tmp_path: Path) -> None:
    """The age is that of before the dates moved, in the request and in the images; pixels are as they were."""
    site.python_plugin("good", identity="pseudonym")
    job = site.job("good", _receive(site))
    hidden = _laid_out(site, job, tmp_path / "hidden")
    full = _laid_out(site, job, tmp_path / "full", full=True)
    for each in (hidden, full):
        assert (each.request.study.patient_age, each.request.study.patient_sex) == (46.91, "F")
    one, other = (dcmread(tmp_path / name / "in" / "s01" / "00001.dcm") for name in ("hidden", "full"))
    assert (one.PatientAge, one.PatientSex, one.PatientBirthDate) == ("046Y", "M", "")
    assert (one.PixelData, one.RescaleIntercept, one.pixel_array.sum()) == (
        other.PixelData,
        other.RescaleIntercept,
        other.pixel_array.sum(),
    )


def test_another_attempt_gets_the_same_bytes(site: Site, tmp_path: Path) -> None:
    """Pseudonyms are derived, not drawn; the secret is a file that only the node may read."""
    site.python_plugin("good", identity="pseudonym")
    job = site.job("good", _receive(site))
    _laid_out(site, job, tmp_path / "one")
    _laid_out(site, job, tmp_path / "two")
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")
    secret = site.data_folder.data / "keys" / "pseudonyms.key"
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_key_that_is_none_is_not_used(site: Site) -> None:
    """Half a file after a restore: no pseudonyms at all are better than ones that everybody can compute."""
    (site.data_folder.data / "keys").mkdir()
    (site.data_folder.data / "keys" / "pseudonyms.key").write_bytes(b"")
    with pytest.raises(keys.UnusableKeyError, match="restore it from the backup"):
        keys.secret(site.data_folder.data)


def test_a_plugin_that_asks_for_it_gets_the_bytes_as_received(site: Site, tmp_path: Path) -> None:
    """`identity: full` in its plugin.toml: file for file what is stored, and the description."""
    site.python_plugin("good")
    job = site.job("good", receipts := _receive(site))
    given = _laid_out(site, job, tmp_path / "given", full=True)
    stored = [site.data_folder.find(receipt).read_bytes() for receipt in receipts]
    assert [path.read_bytes() for path in sorted((tmp_path / "given" / "in").rglob("*.dcm"))] == stored
    assert given.request.series[0].description == "Thorax of Hong Gildong"


BODY = """
uid = study.series[0].headers()[1].SOPInstanceUID
print("patient:", study.series[0].headers()[1].PatientID)
forms = study.series[0].headers()[1].FrameOfReferenceUID
names = "Seen: Hong Gildong, GILDONG  HONG, 홍길동님, 洪吉洞; pid-4711-0815; ACC-20260301-7. Hongkong stays."
region = Point(np.array([[1.0, 2.0, 3.0]]), frame_of_reference_uid=forms)
on_image = Point(np.array([[1.0, 2.0]]), image=ImageReference(uid))
thing = Finding(CODE, present=True, regions=(region, on_image), comment="of Hong^Gildong", tracking_id="Hong Gildong 1")
return Result(
    ResultStatus.FINDINGS, names, (thing,), key_images=(KeyImage(ImageReference(uid), "look"),)
)
"""


@pytest.mark.parametrize(("identity", "rule"), [("pseudonym", None), ("full", None), ("full", "pseudonym")])
def test_a_result_refers_to_the_images_as_they_really_are_and_names_nobody(
    site: Site, start: Start, settle: Settle, identity: str, rule: str | None
) -> None:
    """UIDs are mapped back; a complete name or a number in a text is replaced and told, and costs nothing.

    What the rule says counts more than what the plugin asks for; the attempt says what it was.
    """
    site.python_plugin("names", BODY, identity=identity)
    manifest = site.folder / "plugins" / "names" / "plugin.toml"
    manifest.write_text(manifest.read_text().replace('"segmentation"', '"segmentation", "key_images"'))
    job = settle(start(), site.job("names", _receive(site), identity=rule))
    assert (job.outcome, job.error) == (JobOutcome.FINDINGS, None)
    kept = site.kept(job)
    (finding,) = kept["findings"]
    assert kept["key_images"][0]["image"]["sop_instance_uid"] == f"{STUDY}.1.2"
    assert finding["regions"][0]["frame_of_reference_uid"] == f"{STUDY}.9.8.7"
    assert finding["regions"][1]["image"]["sop_instance_uid"] == f"{STUDY}.1.2"
    assert kept["summary"] == "Seen: …, …, …님, …; …; …. Hongkong stays."
    assert (finding["comment"], finding.get("tracking_id")) == ("of …", None)
    (told,) = [e for e in events.of_study(site.ledger.database, STUDY) if e.kind == EventKind.JOB_TEXT_REPLACED]
    assert sorted(told.detail["fields"]) == ["findings.comment", "findings.tracking_id", "summary"]
    request = exchange.read_request(site.data_folder.results / job.id / "plugin")
    assert [file.sop_instance_uid for file in request.series[0].files] == [f"{STUDY}.1.1", f"{STUDY}.1.2"]
    (attempt,) = attempts.of_job(site.ledger.database, job.id)
    assert attempt.identity == (rule or identity)
    key = Key.of(keys.secret(site.data_folder.data), PATIENT_ID, "")
    sent = STUDY if attempt.identity == "full" else key.uid(STUDY)
    assert attempts.of_sent_study(site.ledger.database, sent) == [attempt]
    assert (f"patient: {PATIENT_ID}" in site.log(job)) is (attempt.identity == "full")
    assert "Gildong" not in json.dumps(kept, ensure_ascii=False)
