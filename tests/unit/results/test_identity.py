"""Whose result it is: copied for certain, or not sent at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from node.config.encoding import EncodingProfile
from node.results.encode import encode
from node.results.errors import NotEncodableError
from node.results.source.images import read_sources
from tests.support.results import reports

HONG = "Hong^Gildong=洪^吉洞=홍^길동"
YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"
HONG_IR_149 = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
YAMADA_IR_87 = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"


def _results(image: Dataset, tmp_path: Path, **changes: object) -> list[Dataset]:
    path = reports.write(image, tmp_path / "in.dcm")
    objects = encode(reports.request([path], reports.measured(), **changes), tmp_path / "out")
    return [dcmread(made.path) for made in objects]


def _with_raw_name(raw: bytes, label: str | list[str] | None, tmp_path: Path) -> Path:
    """A source whose PatientName holds exactly these bytes under this label, as senders write them."""
    image = reports.ct()
    image.PatientName = "X" * (len(raw) + len(raw) % 2)
    if label is None:
        del image.SpecificCharacterSet
    else:
        image.SpecificCharacterSet = label
    path = reports.write(image, tmp_path / "in.dcm")
    content = path.read_bytes()
    marker = b"X" * (len(raw) + len(raw) % 2)
    assert content.count(marker) == 1
    path.write_bytes(content.replace(marker, raw + b" " * (len(raw) % 2)))
    return path


@pytest.mark.parametrize(
    ("label", "raw", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("ISO_IR 192", HONG.encode(), HONG),
        (["", "ISO 2022 IR 149"], HONG_IR_149, HONG),
        (["", "ISO 2022 IR 87"], YAMADA_IR_87, YAMADA),
        (["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
        ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
        # What real senders get wrong:
        (None, HONG.encode(), HONG),
        ("ISO_IR 100", "홍^길동".encode(), "홍^길동"),
        (["", "ISO 2022 IR 149"], "홍^길동".encode("euc_kr"), "홍^길동"),
        (["", "ISO 2022 IR 149"], "쀼^똠방".encode("cp949"), "쀼^똠방"),
        ("ISO 2022 IR 149", b"Hong^Gildong==\x1b$)C\xc8\xab^\xb1\xe6\xb5\xbf", "Hong^Gildong==홍^길동"),
    ],
)
def test_fault_38_the_name_arrives_whatever_its_character_set(
    tmp_path: Path, label: str | list[str] | None, raw: bytes, name: str
) -> None:
    """Decoded by its label, or by what the label should have been; written as UTF-8 in every object."""
    path = _with_raw_name(raw, label, tmp_path)
    for made in encode(reports.request([path], reports.measured()), tmp_path / "out"):
        result = dcmread(made.path)
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert str(result.PatientName).rstrip("=") == name.rstrip("=")


@pytest.mark.parametrize(
    ("label", "raw", "name"),
    [
        ("ISO IR 192", HONG.encode(), HONG),
        ("ISO_IR192", HONG.encode(), HONG),
        ("ISO 2022 IR 192", HONG.encode(), HONG),
        ("UTF-8", HONG.encode(), HONG),
        ("utf8", HONG.encode(), HONG),
        ("ISO_IR 149", "홍^길동".encode("euc_kr"), "홍^길동"),
        ("ISO 2022 IR149", "홍^길동".encode("euc_kr"), "홍^길동"),
        (["", "ISO IR 149"], HONG_IR_149, HONG),
        ("EUC-KR", "홍^길동".encode("euc_kr"), "홍^길동"),
        (["", "ISO_IR 87"], YAMADA_IR_87, YAMADA),
        ("ISO IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("ISO-IR 100", "Müller^Jörg".encode(), "Müller^Jörg"),
        ("ISO-8859-1", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
        ("iso8859-5", "Петров^Пётр".encode("iso8859-5"), "Петров^Пётр"),
        ("ISO IR 144", "Петров^Пётр".encode("iso8859-5"), "Петров^Пётр"),
        ("GB 18030", "王^小东".encode("gb18030"), "王^小东"),
    ],
)
def test_finding_s5_a_misspelt_character_set_is_the_one_that_it_means(
    tmp_path: Path, label: str | list[str], raw: bytes, name: str
) -> None:
    """The bytes fit the set that the label misspells: the name is in every object, as UTF-8."""
    path = _with_raw_name(raw, label, tmp_path)
    for made in encode(reports.request([path], reports.measured()), tmp_path / "out"):
        result = dcmread(made.path)
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert str(result.PatientName).rstrip("=") == name.rstrip("=")


@pytest.mark.parametrize("label", ["ISO IR 192", "UTF-8", "IR 149", "ISO_IR 87", "ISO_IR 203", "ISO 8859-12"])
def test_finding_s5_a_misspelt_character_set_that_does_not_fit_is_not_guessed_at(tmp_path: Path, label: str) -> None:
    """EUC-KR under a set that it is not in, or under a label that means none: the result is held, in words."""
    path = _with_raw_name("홍^길동".encode("euc_kr"), label, tmp_path)
    with pytest.raises(NotEncodableError, match="PatientName"):
        encode(reports.request([path], reports.measured()), tmp_path / "out")


@pytest.mark.parametrize("label", [None, "ISO_IR 6", "ISO_IR 999", ["", "ISO 2022 IR 87"]])
def test_fault_38_a_name_that_nobody_can_decode_is_never_sent_as_question_marks(
    tmp_path: Path, label: str | list[str] | None
) -> None:
    """The job fails with the attribute's name, and the message holds no part of the name."""
    path = _with_raw_name("홍^길동".encode("euc_kr"), label, tmp_path)
    with pytest.raises(NotEncodableError, match="PatientName") as caught:
        encode(reports.request([path], reports.measured()), tmp_path / "out")
    assert "홍" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_fault_38_an_admin_may_say_what_unlabelled_bytes_are(tmp_path: Path) -> None:
    """With the sender's character set stated, the same bytes are a name."""
    path = _with_raw_name("홍^길동".encode("euc_kr"), None, tmp_path)
    request = reports.request([path], reports.measured(), assumed_character_set="ISO 2022 IR 149")
    result = dcmread(encode(request, tmp_path / "out")[-1].path)
    assert result.PatientName == "홍^길동"


def test_the_source_character_set_is_kept_where_asked_and_possible(tmp_path: Path) -> None:
    """`character_set: source` writes IR 149 if every text fits; a text that does not fit makes it UTF-8."""
    profile = EncodingProfile(character_set="source")
    path = _with_raw_name(b"Hong^Gildong==\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf", ["", "ISO 2022 IR 149"], tmp_path)
    made = encode(reports.request([path], reports.failed(), profile=profile), tmp_path / "a")
    result = dcmread(made[-1].path)
    assert list(result.SpecificCharacterSet) == ["", "ISO 2022 IR 149"]
    assert str(result.PatientName) == "Hong^Gildong==홍^길동"
    made = encode(reports.request([path], reports.failed("Größe unklar, ẞ"), profile=profile), tmp_path / "b")
    result = dcmread(made[-1].path)
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert str(result.PatientName) == "Hong^Gildong==홍^길동"


def test_chinese_with_code_extensions_is_written_as_utf_8(tmp_path: Path) -> None:
    """pydicom writes IR 58 without its escape sequence: nobody could read that, so the set is not kept though asked."""
    path = _with_raw_name(b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", ["", "ISO 2022 IR 58"], tmp_path)
    profile = EncodingProfile(character_set="source")
    for made in encode(reports.request([path], reports.failed(), profile=profile), tmp_path / "out"):
        result = dcmread(made.path)
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert result.PatientName == "Zhang^XiaoDong=张^小东"


def test_patient_and_study_are_the_sources(tmp_path: Path) -> None:
    """Every object carries the identity of the images, request and all; Type 2 is there even when empty."""
    image = reports.ct()
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = "RIS"
    image.IssuerOfAccessionNumberSequence = [issuer]
    del image.PatientBirthDate, image.ReferringPhysicianName, image.StudyID
    for result in _results(image, tmp_path):
        for keyword in (
            "PatientID",
            "PatientName",
            "IssuerOfPatientID",
            "PatientSex",
            "AccessionNumber",
            "StudyDate",
            "StudyInstanceUID",
            "StudyDescription",
            "StudyTime",
            "PatientAge",
        ):
            assert result[keyword].value == image[keyword].value, keyword
        assert result.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS"
        for keyword in ("PatientBirthDate", "ReferringPhysicianName", "StudyID"):
            assert keyword in result
            assert not result[keyword].value


def test_old_and_impossible_values_are_put_right_only_where_that_is_certain(tmp_path: Path) -> None:
    """A dotted date is a date, 'M ' is M; 'male' and a nonsense time are left empty; identifiers are untouched."""
    image = reports.ct()
    image.add_new("PatientBirthDate", "DA", "")
    image.PatientSex = "male"
    image.AccessionNumber = "A-000123"
    path = reports.write(image, tmp_path / "in.dcm")
    content = path.read_bytes()
    study_date = content.replace(b"20240102", b"2024.1.2")
    path.write_bytes(study_date)
    result = dcmread(encode(reports.request([path], reports.failed()), tmp_path / "out")[-1].path)
    assert (result.PatientSex, result.StudyDate, result.AccessionNumber) == ("", "", "A-000123")


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_fault_36_37_missing_identity_is_named(tmp_path: Path, keyword: str) -> None:
    """Without Patient ID or a Type 1 UID nothing is written, and the error names the attribute."""
    image = reports.ct()
    path = reports.write(image, tmp_path / "in.dcm")
    stripped = dcmread(path)
    del stripped[keyword]
    dcmwrite(path, stripped, enforce_file_format=False)
    with pytest.raises(NotEncodableError, match=keyword) as caught:
        encode(reports.request([path], reports.measured()), tmp_path / "out")
    assert caught.value.attribute == keyword


@pytest.mark.parametrize(
    ("keyword", "other"), [("PatientID", "87654321"), ("IssuerOfPatientID", "ELSEWHERE"), ("StudyInstanceUID", "1.2.3")]
)
def test_fault_35_images_of_two_patients_or_studies_are_refused(tmp_path: Path, keyword: str, other: str) -> None:
    """No result is made of images that do not agree whose they are."""
    second = reports.ct(2)
    setattr(second, keyword, other)
    paths = [reports.write(reports.ct(1), tmp_path / "1.dcm"), reports.write(second, tmp_path / "2.dcm")]
    with pytest.raises(NotEncodableError, match=keyword):
        encode(reports.request(paths, reports.measured()), tmp_path / "out")


def test_an_image_without_patient_id_among_others_is_refused(tmp_path: Path) -> None:
    """It may be anybody's."""
    second = reports.ct(2)
    second.PatientID = ""
    paths = [reports.write(reports.ct(1), tmp_path / "1.dcm"), reports.write(second, tmp_path / "2.dcm")]
    with pytest.raises(NotEncodableError, match="PatientID"):
        encode(reports.request(paths, reports.measured()), tmp_path / "out")


def test_a_deidentified_source_stays_conformant(tmp_path: Path) -> None:
    """Patient Identity Removed asks for a method (Type 1C), which many de-identifiers leave out."""
    image = reports.ct()
    image.PatientIdentityRemoved = "YES"
    assert {result.DeidentificationMethod for result in _results(image, tmp_path)} == {
        "Not stated in the source images"
    }


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEG2000Lossless,
    ],
    ids=lambda syntax: syntax.name,
)
def test_the_header_is_what_pydicom_reads_of_the_file(tmp_path: Path, syntax: UID) -> None:
    """Read by a shorter way, in every encoding and of enhanced objects too: the same elements, the same UIDs."""
    for make in (reports.ct, reports.enhanced_ct):
        image = make()
        if syntax.is_compressed and not syntax.is_deflated:
            del image.PixelData  # only the header is read
        image.ensure_file_meta()
        image.file_meta.TransferSyntaxUID = syntax
        path = tmp_path / f"{make.__name__}.dcm"
        dcmwrite(path, image, enforce_file_format=True)
        (read,) = read_sources((path,)).images
        assert read.header == dcmread(path, stop_before_pixels=True)
        assert len(read.header) >= 30
        assert read.reference.sop_instance_uid == image.SOPInstanceUID


@pytest.mark.parametrize(("value", "stays"), [("SHORT", False), ("A" * 16, False), ("A" * 17, True)])
def test_finding_s13_a_long_code_value_that_is_short_is_left_out(tmp_path: Path, value: str, stays: bool) -> None:
    """Validators refuse it: it is for more than 16 characters (PS3.3 8.1). The code describes; the result leaves."""
    code = Dataset()
    code.LongCodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "99LOCAL", "Chest"
    image = reports.ct()
    image.ProcedureCodeSequence = [code]
    for made in _results(image, tmp_path):
        assert ("ProcedureCodeSequence" in made) is stays
