"""Reading a received file: names, values and text; defects found and kept; nothing that a file can break."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.charset import encode_string
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.dicom.elements import DEEPEST, parse
from node.dicom.values import NOT_KEPT
from node.index import header
from node.index.header import HeaderReading, inflate, read
from node.store.layout import DataFolder
from rules.facts import BAD_PIXEL_DESCRIPTION, CUT_HEADER, LOSSY, TRUNCATED_PIXEL_DATA, UNREADABLE_HEADER
from tests.support.images.receipts import SERIES, STUDY, arrive, ct, encoded

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    return DataFolder(tmp_path_factory.mktemp("data"))


def _read(data_folder: DataFolder, dataset: Dataset | bytes, syntax: str = EXPLICIT) -> HeaderReading:
    return read(data_folder.arrived(arrive(data_folder, dataset, syntax=syntax)))


def _value(value: Any, vr: str, keyword: str, data_folder: DataFolder) -> Any:
    dataset = ct()
    dataset.add(DataElement(keyword, vr, value))
    return _read(data_folder, dataset).header[keyword]


@pytest.mark.parametrize("syntax", [EXPLICIT, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_header_is_the_same_in_every_encoding(data_folder: DataFolder, syntax: str) -> None:
    """VR and values do not depend on how they travelled; numbers are numbers, several values are several."""
    found = _read(data_folder, ct(ImageType=["ORIGINAL", "PRIMARY"], SliceThickness="1.25"), syntax)
    assert found.header["ImageType"] == ["CS", ["ORIGINAL", "PRIMARY"]]
    assert found.header["SliceThickness"] == ["DS", [1.25]]
    assert found.header["InstanceNumber"] == ["IS", [1]]
    assert found.header["BitsAllocated"] == ["US", [16]]
    assert found.header["PatientName"] == ["PN", ["Hong^Gildong"]]
    assert (found.study_instance_uid, found.series_instance_uid) == (STUDY, SERIES)
    assert (found.sop_instance_uid, found.frames, found.marks) == (f"{SERIES}.1", 1, {})


def test_names_of_private_and_unknown_attributes(data_folder: DataFolder) -> None:
    """Private elements under group, creator and element; public ones nobody knows under their tag."""
    dataset = ct()
    block = dataset.private_block(0x0029, "ACME 1.0", create=True)
    block.add_new(0x10, "LO", "kernel B70")
    dataset.add(DataElement(0x00091001, "LO", "no creator"))
    dataset.add(DataElement(0x00189999, "LO", "of the future"))
    found = _read(data_folder, dataset).header
    assert found["(0029,ACME 1.0,10)"] == ["LO", ["kernel B70"]]
    assert found["(0009,1001)"] == ["LO", ["no creator"]]
    assert found["(0018,9999)"] == ["LO", ["of the future"]]
    assert not any("0029,0010" in name for name in found)


def test_private_text_whose_vr_was_lost_stays_readable(data_folder: DataFolder) -> None:
    """Through implicit VR, a private text that no dictionary knows comes as UN: plain text is kept."""
    dataset = ct()
    dataset.private_block(0x0029, "ACME 1.0", create=True).add_new(0x10, "LO", "kernel B70")
    assert _read(data_folder, dataset, ImplicitVRLittleEndian).header["(0029,ACME 1.0,10)"] == ["UN", ["kernel B70"]]


def test_sequences_are_lists_of_headers(data_folder: DataFolder) -> None:
    """Items nest; each has names and values like a dataset."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113014", "DCM"
    found = _read(data_folder, ct(ProcedureCodeSequence=[code, code])).header["ProcedureCodeSequence"]
    assert found == ["SQ", [{"CodeValue": ["SH", ["113014"]], "CodingSchemeDesignator": ["SH", ["DCM"]]}] * 2]


def test_finding_q1_what_is_too_long_or_bulk_is_there_and_not_kept(data_folder: DataFolder) -> None:
    """Of bulk data, long texts and long lists the header says that they are there; empty ones have no values."""
    found = _read(
        data_folder,
        ct(
            IconImageSequence=[],
            ImageComments="x" * 2000,
            EncapsulatedDocument=b"%PDF",
            BodyPartExamined="",
            RedPaletteColorLookupTableData=b"\0\1" * 500,
        ),
    ).header
    assert found["ImageComments"] == ["LT", [], NOT_KEPT]
    assert found["EncapsulatedDocument"] == ["OB", [], NOT_KEPT]
    assert found["RedPaletteColorLookupTableData"] == ["OW", [], NOT_KEPT]
    assert found["PixelData"] == ["OW", [], NOT_KEPT]
    assert found["BodyPartExamined"] == ["CS", []]


@pytest.mark.parametrize(
    ("vr", "keyword", "value", "expected"),
    [
        ("DS", "KVP", "not a number", "not a number"),
        ("IS", "ExposureTime", "12.0", 12),
        ("FD", "TableSpeed", float("inf"), "inf"),
        ("AT", "FrameIncrementPointer", 0x00181063, "00181063"),
        ("SS", "PixelPaddingValue", -2000, -2000),
        ("UI", "FrameOfReferenceUID", "1.2.3", "1.2.3"),
    ],
)
def test_values_that_are_not_what_their_vr_says_stay_readable(
    data_folder: DataFolder, vr: str, keyword: str, value: Any, expected: Any
) -> None:
    """A number that is none is kept as text; an integer written as a decimal is one."""
    dataset = ct()
    if vr in ("DS", "IS"):
        data = encoded(dataset)
        tag = DataElement(keyword, vr, "").tag
        text = value.encode() + b" " * (len(value) % 2)
        element = struct.pack("<HH2sH", tag.group, tag.element, vr.encode(), len(text)) + text
        found = _read(data_folder, _inserted(data, int(tag), element)).header[keyword]
    else:
        found = _value(value, vr, keyword, data_folder)
    assert found == [vr, [expected]]


def _inserted(data: bytes, tag: int, element: bytes) -> bytes:
    """The dataset with one more element, at its place."""
    at = 0
    while True:
        group, number, vr = struct.unpack_from("<HH2s", data, at)
        if group << 16 | number > tag:
            return data[:at] + element + data[at:]
        length = struct.unpack_from("<H", data, at + 6)[0]
        assert vr not in (b"SQ", b"OW"), "the tests insert before sequences and pixels"
        at += 8 + length


@pytest.mark.parametrize(
    ("label", "encoding", "name"),
    [
        (["", "ISO 2022 IR 149"], ["iso8859", "euc_kr"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["", "ISO 2022 IR 87"], ["iso8859", "iso2022_jp"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 58"], ["iso8859", "iso_ir_58"], "Zhang^XiaoDong=张^小东"),
        (["GB18030"], ["GB18030"], "Wang^XiaoDong=王^小东"),
        (["ISO_IR 192"], ["UTF8"], "Äneas^Rüdiger"),
        (["ISO_IR 100"], ["latin_1"], "Äneas^Rüdiger"),
    ],
)
def test_fault_38_names_are_decoded_by_their_character_set(
    data_folder: DataFolder, label: list[str], encoding: list[str], name: str
) -> None:
    """Korean, Japanese, Chinese and Western names come out as text."""
    dataset = ct(SpecificCharacterSet=label)
    raw = b"=".join(encode_string(group, encoding) for group in name.split("="))
    found = _read(data_folder, _with_name(dataset, raw))
    assert found.header["PatientName"] == ["PN", [name]]
    assert found.marks == {}


def _with_name(dataset: Dataset, raw: bytes) -> bytes:
    dataset.PatientName = "X" * len(raw)
    return encoded(dataset).replace(b"X" * len(raw), raw)


def test_fault_38_mislabelled_korean_is_read_and_undecodable_text_is_marked(data_folder: DataFolder) -> None:
    """EUC-KR without escape sequences under its label is still Korean; bytes that are no text are marked."""
    korean = _read(
        data_folder, _with_name(ct(SpecificCharacterSet=["", "ISO 2022 IR 149"]), "홍^길동".encode("euc_kr"))
    )
    assert korean.header["PatientName"] == ["PN", ["홍^길동"]]
    misspelt = _read(data_folder, _with_name(ct(SpecificCharacterSet="ISO_IR 149"), "홍^길동".encode("euc_kr")))
    assert (misspelt.header["PatientName"], misspelt.marks) == (["PN", ["홍^길동"]], {})
    garbage = _read(data_folder, _with_name(ct(SpecificCharacterSet="ISO_IR 192"), b"Ho\xff\xfe^\x81\x82"))
    assert garbage.header["PatientName"][1][0].startswith("Ho\N{REPLACEMENT CHARACTER}")
    assert garbage.marks == {"undecodable-text": "PatientName"}


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"PixelData": b"\0" * 8000}, TRUNCATED_PIXEL_DATA),
        ({"PixelData": None}, TRUNCATED_PIXEL_DATA),
        ({"NumberOfFrames": 3}, TRUNCATED_PIXEL_DATA),
        ({"Rows": 65535, "Columns": 65535}, TRUNCATED_PIXEL_DATA),
        ({"PixelData": b"\0" * 8192 * 3}, BAD_PIXEL_DESCRIPTION),
        ({"Rows": 0}, BAD_PIXEL_DESCRIPTION),
        ({"BitsAllocated": 13}, BAD_PIXEL_DESCRIPTION),
        ({"BitsStored": 32}, BAD_PIXEL_DESCRIPTION),
        ({"PhotometricInterpretation": "RGB"}, BAD_PIXEL_DESCRIPTION),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, BAD_PIXEL_DESCRIPTION),
    ],
)
def test_faults_39_40_41_pixel_data_that_is_not_as_described_is_marked(
    data_folder: DataFolder, changes: dict[str, Any], mark: str
) -> None:
    """Too short, absent, more frames than there are, fewer, impossible sizes, a palette that is not there."""
    assert list(_read(data_folder, ct(**changes)).marks) == [mark]


def test_fault_39_trailing_padding_is_normal(data_folder: DataFolder) -> None:
    """A padding byte, or a few, after the last frame are no defect."""
    assert _read(data_folder, ct(PixelData=b"\0" * 8194)).marks == {}


def test_fault_39_pixel_data_cut_off_within_the_file(data_folder: DataFolder) -> None:
    """The element's length runs past the end of the file: stored, marked, everything else read."""
    found = _read(data_folder, encoded(ct())[:-100])
    assert "8192 bytes are announced, 8092 are there" in found.marks[TRUNCATED_PIXEL_DATA]
    assert found.header["PatientID"] == ["LO", ["P1"]]


def test_fault_39_giant_length_before_the_pixels(data_folder: DataFolder) -> None:
    """An element that claims 4 GiB: marked, what stands before it is kept, no memory is taken."""
    data = encoded(ct())
    at = data.index(struct.pack("<HH", 0x0028, 0x0002))
    giant = struct.pack("<HH2sHL", 0x0028, 0x0001, b"OB", 0, 0xFFFFFFF0)
    found = _read(data_folder, data[:at] + giant + data[at:])
    assert "(0028,0001): 4294967280 bytes are announced" in found.marks[UNREADABLE_HEADER]
    assert found.header["PatientID"] == ["LO", ["P1"]]


def test_fault_40_ul_for_us_is_marked(data_folder: DataFolder) -> None:
    """Rows with four bytes: the number is readable, but no plugin should rest on it."""
    dataset = ct()
    dataset["Rows"].VR = "UL"
    found = _read(data_folder, dataset)
    assert found.marks == {BAD_PIXEL_DESCRIPTION: "Rows has VR UL in place of US"}


def test_fault_42_deflate_bomb_is_capped(data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inflating stops at the limit; what was before it is read, and the instance is marked unfit."""
    monkeypatch.setattr(header, "MOST_INFLATED", 2**20)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    content = encoded(ct(PixelData=None))
    bomb = deflater.compress(content + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 2**30))
    bomb += b"".join(deflater.compress(bytes(2**20)) for _ in range(64)) + deflater.flush()
    found = _read(data_folder, bomb, DeflatedExplicitVRLittleEndian)
    assert "inflates to more than" in found.marks[UNREADABLE_HEADER]
    assert found.header["PatientID"] == ["LO", ["P1"]]


def test_damaged_deflated_dataset_is_read_up_to_the_damage() -> None:
    """No exception, the first part, and the reason."""
    deflater = zlib.compressobj(0, wbits=-zlib.MAX_WBITS)
    data = bytearray(deflater.compress(b"a" * 100_000) + deflater.flush())
    data[70_000:70_010] = b"\xff" * 10
    content, problem = inflate(memoryview(bytes(data[:-30_000])))
    assert bytes(content[:1000]) == b"a" * 1000
    assert problem


@pytest.mark.parametrize("defined", [False, True])
def test_fault_43_deeply_nested_sequences_are_read_and_marked(data_folder: DataFolder, defined: bool) -> None:
    """300 levels: the UIDs behind them are found, the instance is marked, the reader lives."""
    nested = b""
    for _ in range(300):
        length = len(nested) if defined else 0xFFFFFFFF
        end = b"" if defined else struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
        item = struct.pack("<HHL", 0xFFFE, 0xE000, length) + nested + end
        length = len(item) if defined else 0xFFFFFFFF
        end = b"" if defined else struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
        nested = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, length) + item + end
    data = _inserted(encoded(ct()), 0x00081140, nested)
    found = _read(data_folder, data)
    assert f"nested over {DEEPEST} deep" in found.marks[UNREADABLE_HEADER]
    assert found.study_instance_uid == STUDY
    assert found.header["PatientID"] == ["LO", ["P1"]]


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1"])
def test_fault_47_objects_without_pixels_have_no_frames(data_folder: DataFolder, sop_class: str) -> None:
    """Reports and presentation states are read like everything else, and nothing about pixels is missing."""
    found = _read(data_folder, ct(SOPClassUID=sop_class, Rows=None, Columns=None, PixelData=None))
    assert (found.frames, found.marks) == (0, {})


def test_no_study_instance_uid_is_unreadable(data_folder: DataFolder) -> None:
    """The receiver refuses such objects, so this is damage: known by how it arrived, digest and all."""
    found = _read(data_folder, b"\x08\x00\x05\x00CS\xff\xff" + b"x" * 50)
    assert found.unreadable
    assert len(found.digest) == 64


def test_lossy_is_a_fact(data_folder: DataFolder) -> None:
    """What was compressed lossily at any time says so."""
    assert LOSSY in _read(data_folder, ct(LossyImageCompression="01")).marks


BARE: dict[str, Any] = {"SliceThickness": "", "PixelSpacing": None, "ImagePositionPatient": None}
"""An enhanced object says these in its functional groups."""


def frames(count: int, **varying: Any) -> list[Dataset]:
    """Per-frame functional groups: a position each, and what `varying` makes of the frame's number."""
    items = []
    for number in range(count):
        position, anatomy, item = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, number]
        anatomy.FrameLaterality = "L" if number % 2 else "R"
        item.PlanePositionSequence, item.FrameAnatomySequence = [position], [anatomy]
        for keyword, make in varying.items():
            setattr(item, keyword, [make(number)])
        items.append(item)
    return items


def region(number: int) -> Dataset:
    code, anatomy = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = f"R{number % 2}", "SCT", "region"
    anatomy.AnatomicRegionSequence = [code]
    return anatomy


def test_functional_groups_of_every_frame_are_lifted(data_folder: DataFolder) -> None:
    """300 frames: distinct values stand at the instance, and once within the sequence; codes stay whole."""
    shared, measures = Dataset(), Dataset()
    measures.SliceThickness, measures.PixelSpacing = 0.5, [0.7, 0.7]
    shared.PixelMeasuresSequence = [measures]
    found = _read(
        data_folder,
        ct(
            **BARE,
            SharedFunctionalGroupsSequence=[shared],
            PerFrameFunctionalGroupsSequence=frames(300, FrameAnatomySequence=region),
        ),
    )
    header = found.header
    assert header["SliceThickness"] == ["DS", [0.5]]
    assert header["PixelSpacing"] == ["DS", [0.7, 0.7]]
    assert header["ImagePositionPatient"][1][-3:] == [0.0, 0.0, 299.0]
    assert len(header["ImagePositionPatient"][1]) == 900
    codes = [item["CodeValue"][1] for item in header["AnatomicRegionSequence"][1]]
    assert codes == [["R0"], ["R1"]]
    (merged,) = header["PerFrameFunctionalGroupsSequence"][1]
    assert merged["FrameAnatomySequence"][1][0]["AnatomicRegionSequence"] == header["AnatomicRegionSequence"]
    assert CUT_HEADER not in found.marks


def test_what_the_instance_states_itself_is_not_overwritten(data_folder: DataFolder) -> None:
    """An attribute at the instance stays, whatever the groups say; the frames' own word for it is another keyword."""
    found = _read(data_folder, ct(ImageLaterality="B", PerFrameFunctionalGroupsSequence=frames(4))).header
    assert found["ImageLaterality"] == ["CS", ["B"]]
    assert found["FrameLaterality"] == ["CS", ["R", "L"]]


def test_finding_q1_more_distinct_values_than_can_be_kept_are_there_and_not_kept(data_folder: DataFolder) -> None:
    """3,000 positions: none of them rather than some; the rest of the groups is there, and the instance marked."""
    found = _read(data_folder, ct(**BARE, PerFrameFunctionalGroupsSequence=frames(3000)))
    assert found.header["ImagePositionPatient"] == ["DS", [], NOT_KEPT]
    assert found.header["FrameLaterality"] == ["CS", ["R", "L"]]
    assert CUT_HEADER in found.marks


def test_finding_q2_each_overlay_group_has_a_name_of_its_own(data_folder: DataFolder) -> None:
    """Two overlays and a curve: each is found under its own tag, as a rule asks for it."""
    dataset = ct()
    dataset.add(DataElement(0x60000010, "US", 512))
    dataset.add(DataElement(0x60003000, "OW", b"\0\1" * 8))
    dataset.add(DataElement(0x60020010, "US", 256))
    dataset.add(DataElement(0x50000005, "US", 2))
    found = _read(data_folder, dataset).header
    assert (found["(6000,0010)"], found["(6002,0010)"]) == (["US", [512]], ["US", [256]])
    assert found["(6000,3000)"] == ["OW", [], NOT_KEPT]
    assert found["(5000,0005)"] == ["US", [2]]


def test_finding_q10_the_second_private_block_of_one_creator_is_seen(data_folder: DataFolder) -> None:
    """A creator that has reserved two blocks: an element may be in either, and both values count."""
    dataset = ct()
    for block, value in ((0x10, "first"), (0x11, "second")):
        dataset.add(DataElement(0x00290000 | block, "LO", "ACME"))
        dataset.add(DataElement(0x00290000 | block << 8 | 8, "LO", value))
    dataset.add(DataElement(0x00291109, "LO", "only there"))
    found = _read(data_folder, dataset).header
    assert found["(0029,ACME,08)"] == ["LO", ["first", "second"]]
    assert found["(0029,ACME,09)"] == ["LO", ["only there"]]


def test_fault_48_a_huge_multi_frame_object_is_read_in_bounded_memory(data_folder: DataFolder) -> None:
    """1.1 GB of pixels, described rightly: hashed and checked without being held in memory."""
    content = encoded(ct(Rows=1024, Columns=1024, NumberOfFrames=550, PixelData=b""))
    size = 1024 * 1024 * 2 * 550
    content = content[:-4] + struct.pack("<L", size)
    receipt = arrive(data_folder, content)
    path = data_folder.arrived(receipt)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size)  # a hole: zeros that take no disk
    tracemalloc.start()
    found = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    path.unlink()
    assert (found.frames, found.marks) == (550, {})
    assert peak < 20 * 2**20


_BUNDLED = ("CT_small.dcm", "MR_small_RLE.dcm", "reportsi.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm", "rtplan.dcm")


def _bundled(name: str) -> tuple[bytes, str]:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    content = Path(path).read_bytes()
    meta = dcmread(BytesIO(content), stop_before_pixels=True).file_meta
    start = 144 + int.from_bytes(content[140:144], "little")
    return content[start:], str(meta.TransferSyntaxUID)


@pytest.mark.parametrize("name", _BUNDLED)
@settings(max_examples=60)
@given(data=st.data())
def test_no_mutation_of_a_file_breaks_the_reader(data_folder: DataFolder, name: str, data: st.DataObject) -> None:
    """Bytes flipped, inserted, cut off at any place: an answer, never an exception; its digest is of the bytes."""
    content, syntax = _bundled(name)
    mutated = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, min(len(mutated), 6000) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=8))
        mutated[at : at + data.draw(st.sampled_from([0, len(patch)]))] = patch
    if data.draw(st.booleans()):
        del mutated[data.draw(st.integers(1, len(mutated))) :]
    path = data_folder.arrived(arrive(data_folder, bytes(mutated), syntax=syntax))
    found = read(path)
    path.unlink()
    assert len(found.digest) == 64
    assert found.unreadable or found.study_instance_uid


@settings(max_examples=300)
@given(data=st.binary(max_size=400), implicit=st.booleans(), little=st.booleans())
def test_no_bytes_break_the_parser(data: bytes, implicit: bool, little: bool) -> None:
    """Any bytes at all: contents and defects, never an exception."""
    contents = parse(memoryview(data), implicit=implicit, little=little)
    assert isinstance(contents.defects, list)
