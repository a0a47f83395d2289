"""Data sets without the identity of the patient (PS3.15 Annex E)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from datetime import date, timedelta
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from node.dicom.confidentiality import dates, part10, safe_private
from node.dicom.confidentiality.dataset import confidential
from node.dicom.confidentiality.key import Key
from node.dicom.confidentiality.profile import PLUGIN_INPUT, Action, Profile
from node.dicom.confidentiality.table import Option, Row, rows
from node.dicom.elements import Elements, RawElement
from node.errors import PermanentError

DEFLATED = "1.2.840.10008.1.2.1.99"
SECRET = b"s" * 32
KEY = Key.of(SECRET, "4711-0815", "Hospital")
ORIGINAL = b"19991231"
"""In each value of the data set that has everything: a date, and a name, too."""
KNOWN = [row for row in rows() if re.fullmatch("[0-9a-f]{8}", row.tag) and dictionary_has_tag(int(row.tag, 16))]
IDENTIFIERS = (0x00080050, 0x00100010, 0x00100020, 0x00101000, 0x00101001)


def _raw(tag: int) -> RawElement:
    vr = dictionary_VR(tag).split(" or ")[0]
    if vr == "SQ":
        return RawElement(
            "SQ",
            [
                {
                    0x00080018: RawElement("UI", memoryview(b"1.2.3.19991231")),
                    0x00080060: RawElement("CS", memoryview(b"CT")),
                }
            ],
        )
    if vr == "TM":
        return RawElement(vr, memoryview(b"101112"))
    if vr == "UI":
        return RawElement(vr, memoryview(b"1.2.3.19991231"))
    if tag in IDENTIFIERS:
        return RawElement(vr, memoryview(b"Doe^John"))
    return RawElement(vr, memoryview(ORIGINAL))


def _everything() -> Elements:
    """A data set that holds each attribute of the table, and each group that it names."""
    found = {int(row.tag, 16): _raw(int(row.tag, 16)) for row in KNOWN}
    found |= {tag: RawElement("OW", memoryview(ORIGINAL)) for tag in (0x50000005, 0x60003000, 0x60023000, 0x50FE3000)}
    found |= {
        tag: RawElement("LO", memoryview(b"19991231")) for tag in (0x60004000, 0x00090010, 0x00091001, 0x60000022)
    }
    return found


def _expected(row: Row) -> str:
    """What plugin input has to do with an attribute, by the columns of the table."""
    columns = row.options
    if "K" in {columns.get(each) for each in (Option.PATIENT, Option.DEVICE)}:
        return "K"
    vr = dictionary_VR(int(row.tag, 16))
    if columns.get(Option.MODIFIED_DATES) == "C" and (
        vr in ("DA", "DT", "TM") or row.name == "Timezone Offset From UTC"
    ):
        return "C"
    return row.basic.split("/")[-1]


@pytest.fixture(scope="module")
def left() -> Elements:
    """What is left of the data set that has everything."""
    return confidential(_everything(), PLUGIN_INPUT, KEY)[0]


def test_each_row_of_the_table_is_treated_as_it_says(left: Elements) -> None:
    """X is gone, Z is empty, D and U are others, K stays, C is moved."""
    wrong = [f"{row.tag} {row.name}: {row.basic}" for row in KNOWN if not _is_right(row, left.get(int(row.tag, 16)))]
    assert not wrong


def _is_right(row: Row, found: RawElement | None) -> bool:
    tag, expected = int(row.tag, 16), _expected(row)
    before = _raw(tag)
    if expected == "X" or tag >> 16 < 8:
        return found is None
    if found is None:
        return False
    if before.vr == "SQ" and expected in ("U*", "K"):
        return _flat(found) == b"".join(sorted([b"CT", KEY.uid("1.2.3.19991231").encode()]))
    match expected:
        case "Z":
            return len(found.value) == 0
        case "D":
            return len(found.value) > 0 and ORIGINAL not in _flat(found) and b"Doe" not in _flat(found)
        case "U":
            return _flat(found) == KEY.uid("1.2.3.19991231").encode()
        case "C":
            moved = dates.moved(before.vr, _flat(before).decode(), KEY.days)
            return _flat(found).decode() == ("19991231" if before.vr == "SH" else moved)
    return found == before


def _item(raw: RawElement) -> Elements:
    assert isinstance(raw.value, list)
    return raw.value[0]


def _flat(raw: RawElement) -> bytes:
    if isinstance(raw.value, list):
        return b"".join(sorted(_flat(each) for item in raw.value for each in item.values()))
    return bytes(raw.value).strip(b"\0")


def test_the_table_is_whole() -> None:
    """As many rows as edition 2026c has, and each attribute once."""
    assert (len(rows()), len({row.tag for row in rows()})) == (656, 656)
    assert {code for row in rows() for code in row.basic.split("/")} == {"X", "Z", "D", "U", "U*"}


def test_overlays_curves_and_private_groups_are_gone(left: Elements) -> None:
    """Whole groups: what is left of an overlay without its bits is of no use, and its description is free text."""
    assert not [tag for tag in left if tag >> 24 in (0x50, 0x60) or tag >> 16 & 1]


def test_nothing_of_the_original_is_in_items_either(left: Elements) -> None:
    """Each attribute within a sequence that is kept is treated as at the top."""
    nested: Elements = {
        0x00081140: RawElement("SQ", [_everything()]),
        0x52009230: RawElement("SQ", [{0x00089215: RawElement("SQ", [_everything()])}]),
    }
    found, _ = confidential(nested, PLUGIN_INPUT, KEY)
    for item in (_item(found[0x00081140]), _item(_item(found[0x52009230])[0x00089215])):
        assert item.keys() <= left.keys()
        assert _flat(item[0x00100020]) == b"REMOVED "


def test_options_that_keep_less_or_more() -> None:
    """The Basic Profile alone empties dates and has no ages; with full dates they stay as they are."""
    plain, _ = confidential(_everything(), Profile(), KEY)
    assert (len(plain[0x00080020].value), 0x00101010 in plain, 0x00280303 in plain) == (0, False, False)
    full, _ = confidential(_everything(), Profile(frozenset({Option.FULL_DATES, Option.UIDS})), KEY)
    assert (_flat(full[0x00080020]), _flat(full[0x00080018])) == (ORIGINAL, b"1.2.3.19991231")


def test_what_the_dictionary_does_not_know_is_gone() -> None:
    """Attributes that are of no edition of the Standard, with whatever representation."""
    odd = {0x00081FFE: RawElement("UN", memoryview(b"Doe^John")), 0x00110011: RawElement("UN", memoryview(b"X"))}
    assert not confidential(odd, PLUGIN_INPUT, KEY)[0].keys() & odd.keys()


def test_texts_that_name_the_patient_are_emptied() -> None:
    """Also where the table keeps the attribute: people write what they like, into what they like."""
    data: Elements = {
        0x00080050: RawElement("SH", memoryview(b"ACC-2231")),
        0x00080070: RawElement("LO", memoryview(b"maker of doe^john")),
        0x00081090: RawElement("LO", memoryview(b"Model 9")),
        0x00080008: RawElement("CS", memoryview(b"ORIGINAL\\PRIMARY")),
        0x00100010: RawElement("PN", memoryview(b"Doe^John")),
        0x00181016: RawElement("LO", memoryview(b"for acc-2231")),
        0x00181018: RawElement("LO", memoryview(b"John Doe")),
    }
    found, _ = confidential(data, PLUGIN_INPUT, KEY)
    assert [_flat(found[tag]) for tag in (0x00080070, 0x00181016, 0x00181018)] == [b""] * 3
    assert (_flat(found[0x00081090]), found[0x00080008]) == (b"Model 9", data[0x00080008])


@pytest.mark.parametrize(
    ("creator", "tag", "kept"),
    [
        ("SIEMENS MR HEADER", 0x0019100C, True),
        ("GEMS_PARM_01", 0x00431039, True),
        ("Philips Imaging DD 001", 0x20011003, True),
        ("Philips PET Private Group", 0x70531000, True),
        ("Philips PET Private Group", 0x70531003, False),
        ("SIEMENS CSA HEADER", 0x00291010, False),
        ("Somebody else", 0x0019100C, False),
    ],
)
def test_private_attributes_are_kept_where_they_are_known_to_be_safe(creator: str, tag: int, kept: bool) -> None:
    """b-values and SUV factors of the makers, with the Private Creator; nothing else, whoever made it."""
    creator_tag = tag & 0xFFFF0000 | 0x10
    data = {creator_tag: RawElement("LO", memoryview(creator.encode())), tag: RawElement("DS", memoryview(b"1000"))}
    found, _ = confidential(data, PLUGIN_INPUT, KEY)
    assert (tag in found, creator_tag in found) == (kept, kept)
    assert not confidential(data, Profile(), KEY)[0].keys() & data.keys()


def test_the_private_table_is_whole() -> None:
    """Each block of it; single elements as spot checks of its ends."""
    assert safe_private.elements(0x0019, "SIEMENS MR HEADER") == {0x0C, 0x0D, 0x0E, 0x27}
    assert {0x01, 0x51, 0xFF} <= safe_private.elements(0x2001, "Philips Imaging DD 001")
    assert not {0x0D, 0x20, 0x52, 0x5B, 0x6C, 0xC8, 0xCC, 0xF0, 0xFA, 0xFE} & safe_private.elements(
        0x2001, "Philips Imaging DD 001"
    )


@pytest.mark.parametrize(
    ("vr", "before", "after"),
    [
        ("DA", "20260301", "20260219"),
        ("DA", "2026.03.01", "20260219"),
        ("DA", "20260301\\20260302", "20260219\\20260220"),
        ("DA", "", ""),
        ("DA", "20260231", None),
        ("DA", "March", None),
        ("DA", "00010101", None),
        ("DT", "20260301101112.123456+0900", "20260219101112.123456+0900"),
        ("DT", "202603", "202602"),
        ("DT", "2026", "2025"),
        ("TM", "101112.5", "101112.5"),
        ("TM", "Doe", None),
    ],
)
def test_dates_move_in_the_form_that_they_have(vr: str, before: str, after: str | None) -> None:
    """By days; times of the day stay, and what is not a date is not guessed."""
    assert dates.moved(vr, before, -10) == after


@pytest.mark.parametrize(
    ("born", "on", "age"),
    [
        ("19790402", "20260401", "046Y"),
        ("19790401", "20260401", "047Y"),
        ("20251101", "20260401", "005M"),
        ("20260320", "20260401", "012D"),
        ("", "20260401", ""),
        ("20270101", "20260401", ""),
        ("19790231", "20260401", ""),
    ],
)
def test_the_age_is_computed_before_the_dates_move(born: str, on: str, age: str) -> None:
    """Where the image does not state it; the birth date itself is emptied."""
    data = {
        0x00080020: RawElement("DA", memoryview(on.encode())),
        0x00100030: RawElement("DA", memoryview(born.encode())),
    }
    found, _ = confidential(data, PLUGIN_INPUT, KEY)
    assert (_flat(found[0x00101010]).decode() if 0x00101010 in found else "") == age
    assert not found[0x00100030].value


def test_pseudonyms_are_the_patients_own_and_always_the_same() -> None:
    """By ID and issuer; UIDs by themselves; well-known UIDs stay. Another data folder has others."""
    assert Key.of(SECRET, "4711-0815", "Hospital") == KEY
    others = [
        Key.of(SECRET, "4711-0815", "Other"),
        Key.of(SECRET, "4711", "Hospital"),
        Key.of(b"t" * 32, "4711-0815", "Hospital"),
    ]
    assert len({KEY.days, *(each.days for each in others)}) == 4
    assert len({KEY.patient, *(each.patient for each in others)}) == 4
    assert KEY.uid("1.2.3") == others[0].uid("1.2.3") != others[2].uid("1.2.3")
    assert KEY.uid("1.2.840.10008.1.4.1.1") == "1.2.840.10008.1.4.1.1"
    assert -3651 <= KEY.days <= -366


def _image(**more: object) -> Dataset:
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.20260301.1"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.826.0.1.20260301", "1.2.826.0.1.20260301.2"
    image.StudyDate, image.PatientName, image.PatientID = "20260301", "Doe^John", "PID-12345"
    image.Modality, image.Rows, image.Columns, image.PixelRepresentation = "CT", 2, 2, 1
    image.SmallestImagePixelValue = -5
    image.PersonName = "Roe^Jane"
    image.ReferencedImageSequence = Sequence([Dataset()])
    image.ReferencedImageSequence[0].ReferencedSOPInstanceUID = image.SOPInstanceUID
    for keyword, value in more.items():
        setattr(image, keyword, value)
    return image


def _file(image: Dataset, syntax: str) -> Dataset:
    """What a reader finds in the file that takes the place of an image, sent in this transfer syntax."""
    buffer = BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    image["PixelData"].VR = "OW" if syntax != JPEGBaseline8Bit else "OB"
    image["PixelData"].is_undefined_length = syntax == JPEGBaseline8Bit
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = implicit, little
    write_dataset(out, image)
    content = out.getvalue()
    if syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflater.compress(content) + deflater.flush()
    pieces, _ = part10.pieces(memoryview(content), syntax, PLUGIN_INPUT, KEY)
    for piece in pieces:
        buffer.write(piece)
    written = buffer.getvalue()
    for secret in _secrets():
        assert secret not in written
    return dcmread(BytesIO(written))


def _secrets() -> Iterator[bytes]:
    for text in ("Doe", "Roe^Jane", "PID-12345", "20260301", "1.2.826.0.1"):
        yield text.encode()
        yield text.encode("utf-16-le")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DEFLATED])
def test_the_file_is_a_file_in_the_same_transfer_syntax(syntax: str) -> None:
    """Pixels, numbers and references are what they were, under other UIDs."""
    found = _file(_image(PixelData=b"\1\0\2\0\3\0\4\0"), syntax)
    assert found.file_meta.TransferSyntaxUID == syntax
    assert (found.PixelData, found.SmallestImagePixelValue, found.Rows) == (b"\1\0\2\0\3\0\4\0", -5, 2)
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID == KEY.uid("1.2.826.0.1.20260301.1")
    assert found.ReferencedImageSequence[0].ReferencedSOPInstanceUID == found.SOPInstanceUID
    assert found.StudyDate == (date(2026, 3, 1) + timedelta(KEY.days)).strftime("%Y%m%d")
    assert (found.PatientID, str(found.PatientName), found.PatientIdentityRemoved) == (KEY.patient, "", "YES")
    methods = [item.CodeValue for item in found.DeidentificationMethodCodeSequence]
    assert methods == ["113100", "113107", "113108", "113109", "113111"]


def test_compressed_pixels_are_as_they_were() -> None:
    """Fragments and offset table, byte for byte; what follows the pixels is gone."""
    pixels = encapsulate([b"\xff\xd8one\xff\xd9\0", b"\xff\xd8two\xff\xd9\0"])
    found = _file(_image(PixelData=pixels, DataSetTrailingPadding=b"Doe^John"), JPEGBaseline8Bit)
    assert found.PixelData == pixels
    assert "DataSetTrailingPadding" not in found


@pytest.mark.parametrize(
    ("modality", "stated", "removed"),
    [("US", None, "NO"), ("CT", "YES", "NO"), ("US", "NO", "YES"), ("MR", None, "YES")],
)
def test_an_image_that_may_name_the_patient_in_its_pixels_never_claims_otherwise(
    modality: str, stated: str | None, removed: str
) -> None:
    """Patient Identity Removed speaks of the pixels, too."""
    data = {0x00080060: RawElement("CS", memoryview(modality.encode()))}
    if stated:
        data[0x00280301] = RawElement("CS", memoryview(stated.encode()))
    found, _ = confidential(data, PLUGIN_INPUT, KEY)
    assert _flat(found[0x00120062]).decode().strip() == removed


def test_names_within_an_sr_tree_are_gone() -> None:
    """The tree as a whole is replaced by one item that any reader can show; with its option, values are, one by one."""
    person: Elements = {
        0x0040A123: RawElement("PN", memoryview(b"Doe^John")),
        0x0040A040: RawElement("CS", memoryview(b"PNAME")),
    }
    text: Elements = {0x0040A160: RawElement("UT", memoryview(b"seen by Dr. Roe"))}
    tree: Elements = {0x0040A730: RawElement("SQ", [{0x0040A730: RawElement("SQ", [person, text])}])}
    whole, _ = confidential(tree, PLUGIN_INPUT, KEY)
    kept, _ = confidential(tree, Profile(frozenset({Option.STRUCTURED})), KEY)
    for found in (whole, kept):
        assert b"Roe" not in _flat(found[0x0040A730])
        assert b"Doe" not in _flat(found[0x0040A730])
    assert b"PNAME" in _flat(kept[0x0040A730])
    assert b"PNAME" not in _flat(whole[0x0040A730])


def test_a_contrast_agent_that_was_not_given_is_not_made_up() -> None:
    """Plugins decline images with contrast medium: an empty value stays empty, and one that was there is hidden."""
    for before, after in ((b"", b""), (b"Gadovist", b"REMOVED ")):
        found, _ = confidential({0x00180010: RawElement("LO", memoryview(before))}, PLUGIN_INPUT, KEY)
        assert _flat(found[0x00180010]) == after


def test_what_was_done_is_counted() -> None:
    """For the log: how many attributes were removed, moved and so on."""
    _, actions = confidential(_everything(), PLUGIN_INPUT, KEY)
    assert all(actions[each] > 40 for each in (Action.REMOVE, Action.DUMMY, Action.UID, Action.DATE, Action.KEEP))


@pytest.mark.parametrize("around", ["\n", "\t", "\x85", " ", "\0"])
def test_what_stands_around_a_uid_does_not_keep_it(around: str) -> None:
    """Some senders end UIDs with a line break: the pseudonym is that of the UID; those of the Standard stay."""
    assert KEY.uid(f"1.2.3.4.5{around}") == KEY.uid("1.2.3.4.5") != "1.2.3.4.5"
    assert KEY.uid(f"1.2.840.10008.1.1{around}") == "1.2.840.10008.1.1"


def _kept(vr: str, tag: int, value: bytes) -> bytes:
    """What is left of a value beside the patient Meierhuber^Hans."""
    found, _ = confidential(
        {0x00100010: RawElement("PN", memoryview(b"Meierhuber^Hans ")), tag: RawElement(vr, memoryview(value))},
        PLUGIN_INPUT,
        KEY,
    )
    left = found.get(tag)
    return bytes(left.value) if left is not None and isinstance(left.value, memoryview) else b""


@pytest.mark.parametrize(
    "text", [b"Meierhuber, Hans", b"MEIERHUBER_HANS", b"hans.meierhuber", b"seen by Meierhuber ", b"Meierhuber  Hans"]
)
def test_a_name_is_found_however_it_is_written(text: bytes) -> None:
    """In a text that the table keeps; a word that only begins like it stays."""
    assert _kept("LO", 0x00181000, text) == b""
    assert _kept("LO", 0x00181000, b"Meierhuberin") == b"Meierhuberin"


@pytest.mark.parametrize(
    ("vr", "tag"),
    [
        ("LO", 0x00100033),
        ("LO", 0x00100034),
        ("LO", 0x00402006),
        ("UR", 0x00081190),
        ("UR", 0x0040E010),
        ("LT", 0x00400400),
    ],
)
def test_what_the_table_does_not_list_and_says_who_it_is_is_emptied(vr: str, tag: int) -> None:
    """Dates in another calendar, retired order numbers, addresses in the network, comments."""
    assert _kept(vr, tag, b"https://pacs/4711 ") == b""


def test_the_date_of_a_year_before_1000_keeps_its_form() -> None:
    """A dummy year stays a date of eight digits; one that would leave the calendar is emptied."""
    assert dates.moved("DA", "02020304", -400) == "02010128"
    assert dates.moved("DA", "00010101", -400) is None


def test_what_follows_fragments_without_an_end_is_left_out() -> None:
    """A private group behind compressed pixels whose end is not marked."""
    head = b"\x08\0\x60\0CS\x02\0CT"
    pixels = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0\xfe\xff\0\xe0\x04\0\0\0abcd"
    tail = b"\xe1\x7f\x01\x10LO\x10\0Meierhuber^Hans "
    pieces, _ = part10.pieces(memoryview(head + pixels + tail), JPEGBaseline8Bit, PLUGIN_INPUT, KEY)
    assert bytes(pieces[-1]) == pixels


def test_pixels_that_a_defect_hides_are_not_left_out_without_a_word() -> None:
    """A stray end of a sequence in front of them: a plugin gets no image without its pixels."""
    broken = b"\x08\0\x60\0CS\x02\0CT" + b"\xfe\xff\xdd\xe0\0\0\0\0" + b"\xe0\x7f\x10\0OW\0\0\x02\0\0\0ab"
    with pytest.raises(PermanentError, match="Pixel Data"):
        part10.pieces(memoryview(broken), ExplicitVRLittleEndian, PLUGIN_INPUT, KEY)
