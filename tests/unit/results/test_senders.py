"""What the configuration says of a sender, or the Standard of UIDs, reaches the objects that are sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile
from node.config.models import Configuration
from node.dicom.charset import decode_text
from node.results.encode import encode
from node.results.source.files import VerifiedImages
from tests.support.results import reports
from tests.support.sites.result_site import PACS, ResultSite

ODD = ("1.2.03", "1..2", ".", "..", "1.2.", "0" * 64, "01.02")
"""Of digits and dots, and not what PS3.5 9.1 allows."""
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize(
    ("raw", "labels", "declared", "text"),
    [
        ("홍^길동".encode("euc_kr"), [""], "ISO 2022 IR 149", "홍^길동"),
        ("홍^길동".encode("euc_kr"), [""], "\\ISO 2022 IR 149", "홍^길동"),
        ("채".encode("euc_kr"), [""], "ISO 2022 IR 149", "채"),  # also valid UTF-8, of one letter
        ("채".encode(), [""], "ISO 2022 IR 149", "채"),
        ("홍^길동".encode(), [""], "ISO 2022 IR 149", "홍^길동"),
        ("홍^길동".encode("euc_kr"), ["ISO_IR 192"], "ISO 2022 IR 149", "홍^길동"),
        ("Müller".encode("latin-1"), ["ISO_IR 192"], "ISO_IR 100", "Müller"),
        ("Müller".encode("latin-1"), ["ISO_IR 100"], "ISO 2022 IR 149", "Müller"),  # its own set fits
        ("Петров".encode("iso8859-5"), [""], "ISO_IR 144", "Петров"),
        ("王^小东".encode("gb18030"), [""], "GB18030", "王^小东"),
    ],
)
def test_finding_s5_the_senders_set_is_for_texts_whose_own_does_not_do(
    raw: bytes, labels: list[str], declared: str, text: str
) -> None:
    """A label that fits counts; where it is missing or wrong, the sender's set does, if the bytes fit it."""
    assert decode_text(raw, labels, declared) == text


def test_finding_s5_a_result_is_made_by_the_set_of_its_sender(tmp_path: Path) -> None:
    """EUC-KR without a set, from a sender whose set is in the configuration: the objects have the name."""
    site = ResultSite(tmp_path)
    job = site.ended(reports.failed())
    row = site.ledger.database.execute("SELECT DISTINCT calling_ae_title FROM instances").fetchall()
    [[sender]] = row
    configuration = Configuration.model_validate(
        {
            "node": {"time_zone": "UTC"},
            "destinations": {"pacs": PACS},
            "modalities": {"ct": {"ae_title": sender, "character_set": "ISO 2022 IR 149"}},
        }
    )
    images = site.results._maker.images(job)
    assert images.calling_ae_title == sender
    wanted = site.results._wanted(job)["pacs"]
    request = site.results._maker._request(job, wanted, images, configuration)
    assert request.assumed_character_set == "ISO 2022 IR 149"
    other = VerifiedImages(images.sound, "", "ELSEWHERE")
    assert site.results._maker._request(job, wanted, other, configuration).assumed_character_set == ""


def _odd(number: int, uid: str, make: str = "ct") -> Dataset:
    image = reports.SOURCES[make](number)
    image.StudyInstanceUID, image.SeriesInstanceUID = uid, f"{uid}.7"[-64:]
    image.FrameOfReferenceUID = f"{uid}.9"[-64:]
    return image


@pytest.mark.parametrize("uid", ODD)
def test_finding_s9_uids_of_images_are_copied_as_they_were_received(tmp_path: Path, uid: str) -> None:
    """Every kind of object is in the very study of its images, byte for byte, and what was copied so is recorded."""
    paths = [reports.write(_odd(number, uid), tmp_path / f"{number}.dcm") for number in (1, 2, 3)]
    result = reports.segmented(reports.frames("ct"))
    profile = EncodingProfile(kinds=frozenset({"sr", "seg"}))
    made = encode(reports.request(paths, result, profile=profile), tmp_path / "out")
    assert not made.missing, made.reasons
    for each in made:
        assert dcmread(each.path).StudyInstanceUID == uid
        assert any(change.startswith("StudyInstanceUID (0020,000D): copied as received") for change in each.changes)


def test_finding_s9_only_uids_of_the_images_are_excused(tmp_path: Path) -> None:
    """A map keeps its odd frame of reference, and nothing that is of our own making has a UID like it."""
    paths = [reports.write(_odd(number, "1.2.03"), tmp_path / f"{number}.dcm") for number in (1, 2, 3)]
    profile = EncodingProfile(kinds=frozenset({"sr", "pm"}))
    made = reports.whole(
        reports.request(paths, reports.mapped(reports.reference("ct")), profile=profile), tmp_path / "out"
    )
    assert {each.kind for each in made} == {"sr", "pm"}
    for each in made:
        read = dcmread(each.path)
        assert read.SOPInstanceUID.is_valid
        assert read.SeriesInstanceUID.is_valid
        if each.kind == "pm":
            assert read.FrameOfReferenceUID == "1.2.03.9"
