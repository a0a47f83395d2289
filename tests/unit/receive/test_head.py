"""The scan of a data set's head: right in every encoding, whatever the fragments, bounded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path
from random import Random

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from node.dimse.status import MismatchError, UnreadableDataSetError
from node.receive.head import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    HeadScanner,
    check_command_uids,
    check_uids,
)
from tests.support.dimse.raw_dimse import CT, INSTANCE, SERIES, STUDY, data_set, pixels

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
PYDICOM_FILES = Path(pydicom.data.__file__).parent / "test_files"
UIDS = {SOP_CLASS_UID: CT, SOP_INSTANCE_UID: INSTANCE, STUDY_INSTANCE_UID: STUDY, SERIES_INSTANCE_UID: SERIES}


def scan(content: bytes, transfer_syntax: str = EXPLICIT, fragment: int = 1 << 20) -> HeadScanner:
    scanner = HeadScanner(transfer_syntax)
    for start in range(0, len(content), fragment):
        scanner.feed(memoryview(content)[start : start + fragment])
    return scanner


def rich_data_set() -> Dataset:
    """One with sequences of both kinds of length, private elements and long values before the UIDs."""
    content = Dataset()
    content.SOPClassUID, content.SOPInstanceUID = CT, INSTANCE
    content.StudyInstanceUID, content.SeriesInstanceUID = STUDY, SERIES
    inner = Dataset()
    inner.StudyInstanceUID = "9.9.9"
    inner.ReferencedSOPClassUID = CT
    inner.ReferencedSeriesSequence = Sequence([Dataset()])
    inner.ReferencedSeriesSequence[0].SeriesInstanceUID = "9.9.8"
    content.ReferencedStudySequence = Sequence([inner, Dataset()])
    content.ReferencedImageSequence = Sequence([])
    block = content.private_block(0x0009, "SOMEBODY", create=True)
    block.add_new(1, "OB", bytes(70000))
    block.add_new(2, "UN", b"??")
    content.PixelData = bytes(100)
    content["PixelData"].VR = "OW"
    return content


def encode(content: Dataset, transfer_syntax: str, undefined: bool) -> bytes:
    for element in content:
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == IMPLICIT
    buffer.is_little_endian = transfer_syntax != BIG
    write_dataset(buffer, content)
    return buffer.getvalue()


@pytest.mark.parametrize("fragment", [1, 7, 16000])
@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, BIG])
def test_the_uids_of_the_object_itself_are_found(transfer_syntax: str, undefined: bool, fragment: int) -> None:
    """Not those of its references; in each encoding, with either kind of length, however it is cut."""
    scanner = scan(encode(rich_data_set(), transfer_syntax, undefined), transfer_syntax, fragment)
    assert scanner.uids == UIDS
    assert scanner.done


def test_the_uids_of_a_deflated_data_set_are_found() -> None:
    """It is inflated as far as the UIDs."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    content = deflater.compress(encode(rich_data_set(), EXPLICIT, True)) + deflater.flush()
    assert scan(content, DEFLATED, 50).uids == UIDS


def test_fault_42_a_deflate_bomb_is_capped() -> None:
    """A gigabyte of a private value, deflated to a megabyte, is not inflated to its end."""
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = struct.pack("<HH2sxxL", 9, 0x1001, b"OB", 1 << 30)
    bomb = deflater.compress(head) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(32)) + deflater.flush()
    with pytest.raises(UnreadableDataSetError, match="inflated bytes"):
        scan(bomb, DEFLATED)


def test_fault_42_what_follows_the_end_of_a_deflated_stream_is_not_kept() -> None:
    """zlib keeps whatever it is fed after the end: a stream that ends at once would hold all that comes in memory."""
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    scanner = HeadScanner(DEFLATED)
    tracemalloc.start()
    scanner.feed(memoryview(deflater.compress(data_set(series=None)) + deflater.flush()))
    for _ in range(50):
        scanner.feed(memoryview(bytes(1 << 20)))
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    assert scanner.done
    assert SERIES_INSTANCE_UID not in scanner.uids


def test_fault_43_hundreds_of_nested_sequences_are_walked() -> None:
    """Levels cost a list entry, not a stack frame."""
    opening = struct.pack("<HH2sxxL", 8, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    head, rest = data_set(study=None, series=None), data_set(sop_class=None, sop_instance=None)
    assert scan(head + opening * 250 + closing * 250 + rest).uids == UIDS
    with pytest.raises(UnreadableDataSetError, match="nested"):
        scan(head + opening * 300 + closing * 300 + rest)


def test_nothing_behind_the_uids_is_looked_at() -> None:
    """Pixel data passes unread, whatever it is."""
    scanner = scan(data_set(tail=pixels(64)) + b"\xff" * 100)
    assert scanner.done
    assert scanner.uids == UIDS


def _out_of_order(content: Dataset, order: list[int], syntax: str) -> bytes:
    """The elements in this order, each encoded as it always is."""
    explicit, little = syntax != IMPLICIT, syntax != BIG
    encoded = {}
    for element in content:
        one = Dataset()
        one.add(element)
        file = DicomBytesIO()
        file.is_implicit_VR, file.is_little_endian = not explicit, little
        write_dataset(file, one)
        encoded[int(element.tag)] = file.getvalue()
    return b"".join(encoded[tag] for tag in order)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@given(st.randoms(use_true_random=False), st.integers(1, 400))
def test_finding_a9_uids_are_found_in_any_order(syntax: str, random: Random, fragment: int) -> None:
    """Whatever stands where before the pixel data: sequences, private elements, values longer than a fragment."""
    content = rich_data_set()
    order = [int(element.tag) for element in content if element.tag != 0x7FE00010]
    random.shuffle(order)
    assert scan(_out_of_order(content, [*order, 0x7FE00010], syntax), syntax, fragment).uids == UIDS


def test_finding_a9_the_search_ends_at_the_pixel_data() -> None:
    """A UID behind it is not seen; the sender is told what is missing, and where it was looked for."""
    scanner = scan(data_set(series=None, tail=pixels(8)) + data_set(None, None, None))
    assert scanner.done
    with pytest.raises(MismatchError, match=r"no Series Instance UID .* or not before its pixel data"):
        check_uids(scanner.uids, CT, INSTANCE)


def test_finding_a9_the_search_is_bounded() -> None:
    """A UID behind 100,000 elements is not found; without one missing, no element behind is looked at."""
    many = struct.pack("<HH2sH", 0x21, 1, b"LO", 0) * 100_000
    rest = data_set(None, None, None)
    assert scan(data_set(series=None) + many[: 8 * 90_000] + rest).uids == UIDS
    found = scan(data_set(series=None) + many + rest)
    assert found.done
    assert SERIES_INSTANCE_UID not in found.uids


def test_finding_a9_what_cannot_be_followed_behind_is_a_missing_uid() -> None:
    """Rubbish behind the place of the UIDs: A900 and the name of what is missing, as where nothing follows."""
    scanner = scan(data_set(series=None, tail=struct.pack("<HH2sH", 0x28, 2, b"US", 0)) + b"\xff\0\xff\0??\0\0" * 9)
    assert scanner.done
    assert scanner.uids.keys() == UIDS.keys() - {SERIES_INSTANCE_UID}


@pytest.mark.parametrize("content", [b"\0" * 64, data_set()[:8] + data_set()[10:]])
def test_bytes_that_are_no_data_set_are_unreadable(content: bytes) -> None:
    """No value representation where one must stand, or a group that a data set cannot have."""
    with pytest.raises(UnreadableDataSetError):
        scan(content)


@given(st.binary(max_size=400), st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED]), st.integers(1, 50))
def test_any_bytes_are_scanned_or_refused(content: bytes, transfer_syntax: str, fragment: int) -> None:
    """No other exception leaves the scanner."""
    try:
        scan(content, transfer_syntax, fragment)
    except UnreadableDataSetError:
        return


def _instances() -> list[Path]:
    """pydicom's own Part 10 files of instances."""
    paths = []
    for path in sorted(PYDICOM_FILES.glob("*.dcm")):
        head = dcmread(path, force=True, stop_before_pixels=True)
        if "TransferSyntaxUID" in getattr(head, "file_meta", ()) and "SOPInstanceUID" in head:
            paths.append(path)
    return paths


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
@pytest.mark.parametrize("path", _instances(), ids=lambda path: path.name)
def test_it_agrees_with_pydicom_on_real_files(path: Path) -> None:
    """The same UIDs that a full parser finds."""
    whole = dcmread(path, force=True, stop_before_pixels=True)
    with path.open("rb") as file:
        file.seek(132)
        length = int.from_bytes(file.read(12)[8:], "little")
        file.seek(144 + length)
        content = file.read()
    found = scan(content, str(whole.file_meta.TransferSyntaxUID), 1000).uids
    expected = {tag: str(whole[tag].value or "") for tag in UIDS if tag in whole}
    assert found == expected


@pytest.mark.parametrize("missing", [SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID])
def test_fault_31_a_missing_or_empty_uid_is_a_mismatch(missing: int) -> None:
    """Each of the four must be there."""
    for found in ({**UIDS, missing: ""}, {tag: uid for tag, uid in UIDS.items() if tag != missing}):
        with pytest.raises(MismatchError):
            check_uids(found, CT, INSTANCE)


@pytest.mark.parametrize(("sop_class", "sop_instance"), [("1.2", INSTANCE), (CT, "1.2")])
def test_fault_30_uids_that_are_not_the_commands_are_a_mismatch(sop_class: str, sop_instance: str) -> None:
    """The data set must be the object that the command announced."""
    with pytest.raises(MismatchError):
        check_uids(UIDS, sop_class, sop_instance)
    check_uids(UIDS, CT, INSTANCE)


@pytest.mark.parametrize("uid", ["", "../../../tmp/x", "/etc/passwd", "1" * 65, "1.2\0.3", "1.2 3"])
def test_fault_29_a_command_uid_that_is_none_is_unreadable(uid: str) -> None:
    """Also where it would make a fine file name."""
    with pytest.raises(UnreadableDataSetError):
        check_command_uids(CT, uid)
