"""Pixel data that are not what their header says are refused with both values; where all readings agree, read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from node.index import header as header_reader
from plugins import imaging, pixel_data
from tests.unit.plugins.test_imaging import enhanced, refused, single, stack
from tests.unit.plugins.test_stored_values import everywhere

SIDE = 32
SIGNED = np.linspace(-1000, 3000, SIDE * SIDE).astype("<i2").reshape(SIDE, SIDE)
Offsets = Callable[[list[int]], list[int]]


def compressed(syntax: str, values: np.ndarray[Any, Any] = SIGNED, **header: Any) -> Callable[[int, Dataset], None]:
    """Slices of these values in a transfer syntax, their header changed after they were compressed."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = SIDE
        dataset.RescaleIntercept, dataset.PixelRepresentation = 0, int(values.dtype.kind == "i")
        dataset.BitsStored = header.pop("encoded_bits", dataset.BitsStored)
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelData = values.tobytes()
        dataset.compress(syntax, generate_instance_uid=False)
        for keyword, value in header.items():
            setattr(dataset, keyword, value)

    return change


# --- as many pixels as the header has ----------------------------------------------------------------


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("times", [2, 4])
def test_finding_n1_more_pixels_than_the_header_has_are_refused(tmp_path: Path, times: int, syntax: Any) -> None:
    """Twice as many may be two frames or pixels of 16 bits under a header that says 8: the first ones are no answer."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.PixelData *= times
        dataset.file_meta.TransferSyntaxUID = syntax or dataset.file_meta.TransferSyntaxUID

    refused(
        stack(tmp_path, 1, change=change), rf"1\.2\.3\.1 has {24 * times} bytes of pixel data, its header 24 .*Rows 3"
    )


def test_finding_n1_columns_that_are_too_few_are_refused(tmp_path: Path) -> None:
    """One column less leaves one pixel a row over: each row would begin a pixel further left than the one above."""
    refused(stack(tmp_path, change=everywhere(Columns=3)), "24 bytes of pixel data, its header 18 .*Columns 3")


def test_finding_n1_padding_behind_the_pixels_is_no_contradiction(tmp_path: Path) -> None:
    """Less than a row of pixels is what senders pad with."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.PixelData += bytes(4)

    assert imaging.volume(stack(tmp_path, change=change)).array[0, 0, 1] == -999


def test_finding_n3_a_frame_more_than_the_header_has_is_refused(tmp_path: Path) -> None:
    """Five frames of pixels and four positions: which frame has none is not certain."""

    def change(dataset: Dataset) -> None:
        dataset.PixelData += bytes(24)

    refused([enhanced(tmp_path, change=change)], "120 bytes of pixel data, its header 96 .*NumberOfFrames 4")


# --- which frame is which ----------------------------------------------------------------------------


def encapsulated(
    syntax: UID, *, more: int = 0, basic: Offsets | None = None, extended: Offsets | None = None
) -> Callable[[Dataset], None]:
    """Four frames compressed one by one, `more` behind them, with offset tables changed by these."""

    def change(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = SIDE
        frames = []
        for number in range(4):
            one = deepcopy(dataset)
            one.NumberOfFrames, one.PixelData = 1, (SIGNED + number).astype("<i2").tobytes()
            one.compress(syntax, generate_instance_uid=False)
            frames.append(next(generate_frames(one.PixelData, number_of_frames=1)))
        frames += frames[:more]
        starts = np.cumsum([0, *(len(frame) + 8 for frame in frames)])[:-1].tolist()
        content = encapsulate(frames, has_bot=basic is not None)
        if basic is not None:
            content = content[:8] + struct.pack(f"<{len(frames)}L", *basic(starts)) + content[8 + 4 * len(frames) :]
        if extended is not None:
            dataset.ExtendedOffsetTable = struct.pack(f"<{len(frames)}Q", *extended(starts))
            dataset.ExtendedOffsetTableLengths = struct.pack(f"<{len(frames)}Q", *map(len, frames))
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = content, syntax
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            values = frame.PixelValueTransformationSequence[0]
            values.RescaleSlope, values.RescaleIntercept = 1, 0

    return change


def as_they_are(offsets: list[int]) -> list[int]:
    return offsets


OFFSETS: dict[str, Offsets] = {
    "swapped": lambda offsets: [offsets[1], offsets[0], *offsets[2:]],
    "swapped behind the first": lambda offsets: [offsets[0], offsets[2], offsets[1], offsets[3]],
    "all zero": lambda offsets: [0] * len(offsets),
    "twice the same": lambda offsets: [offsets[0], offsets[1], offsets[1], offsets[3]],
    "beside the fragments": lambda offsets: [offset + 2 * (offset > 0) for offset in offsets],
}


@pytest.mark.parametrize("table", ["basic", "extended"])
@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_finding_n3_offsets_that_are_not_those_of_the_frames_are_refused(
    tmp_path: Path, table: str, offsets: Offsets
) -> None:
    """A wrong offset table gives a frame the pixels of another, at its own position."""
    change = encapsulated(RLELossless, **{table: offsets})  # type: ignore[arg-type] # one of two tables
    refused([enhanced(tmp_path, (0, 1, 2, 3), change)], "OffsetTable|Offset Table")


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize(
    "tables", [{}, {"basic": as_they_are}, {"extended": as_they_are}], ids=["none", "basic", "extended"]
)
def test_finding_n3_right_offsets_and_none_give_each_frame_its_pixels(
    tmp_path: Path, syntax: UID, tables: dict[str, Offsets]
) -> None:
    """An offset table is optional; with one and without it the frames are the same."""
    volume = imaging.volume([enhanced(tmp_path, (0, 1, 2, 3), encapsulated(syntax, **tables))])  # type: ignore[arg-type] # as above
    assert volume.array == pytest.approx(np.stack([SIGNED + number for number in range(4)]))


@pytest.mark.parametrize(("syntax", "basic"), [(RLELossless, as_they_are), (JPEGLSLossless, None)])
def test_finding_n3_compressed_frames_beyond_number_of_frames_are_refused(
    tmp_path: Path, syntax: UID, basic: Offsets | None
) -> None:
    """Five compressed frames and four positions, with an offset table and without one."""
    change = encapsulated(syntax, more=1, basic=basic)
    refused([enhanced(tmp_path, (0, 1, 2, 3), change)], "NumberOfFrames")


# --- what the codestream says of itself --------------------------------------------------------------


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_finding_n4_a_codestream_of_another_size_is_refused(tmp_path: Path, syntax: str) -> None:
    """Rows and columns of the header hold as many pixels, in rows of another length."""
    files = stack(tmp_path, 1, change=compressed(syntax, Rows=SIDE // 2, Columns=SIDE * 2))
    refused(files, "Rows 16 in its header and 32 in its compressed pixel data")


UNSIGNED = (SIGNED.astype(int) + 40000).astype("<u2")
SMALL = np.abs(SIGNED)
"""Below half of the range: the same whether they are signed or not."""


@pytest.mark.parametrize(("values", "representation"), [(SIGNED, 0), (UNSIGNED, 1)], ids=["signed", "unsigned"])
def test_finding_n4_a_sign_that_the_codestream_contradicts_is_refused(
    tmp_path: Path, values: np.ndarray[Any, Any], representation: int
) -> None:
    """JPEG 2000 says itself whether its samples are signed; one reader believes it, another the header."""
    files = stack(tmp_path, 1, change=compressed(JPEG2000Lossless, values, PixelRepresentation=representation))
    refused(files, f"signed in its compressed pixel data and has PixelRepresentation {representation}")


@pytest.mark.parametrize(("values", "representation"), [(SMALL, 0), (SMALL.astype("<u2"), 1)])
def test_finding_n4_values_that_no_sign_changes_are_read(
    tmp_path: Path, values: np.ndarray[Any, Any], representation: int
) -> None:
    """Where no pixel has the highest bit, both readings are one."""
    files = stack(tmp_path, 1, change=compressed(JPEG2000Lossless, values, PixelRepresentation=representation))
    assert imaging.volume(files).array[0] == pytest.approx(values)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_finding_n4_signed_samples_of_fewer_bits_are_refused_where_the_sign_decides(
    tmp_path: Path, syntax: str
) -> None:
    """12 bits in the codestream and 16 in a signed header: 4095 is 4095 or −1."""
    whole = np.linspace(0, 4095, SIDE * SIDE).astype("<u2").reshape(SIDE, SIDE)
    sixteen = {"encoded_bits": 12, "BitsStored": 16, "HighBit": 15}
    (tmp_path / "half").mkdir()
    refused(stack(tmp_path, 1, change=compressed(syntax, whole, PixelRepresentation=1, **sixteen)), "is not certain")
    half = stack(tmp_path / "half", 1, change=compressed(syntax, whole // 2, PixelRepresentation=1, **sixteen))
    assert imaging.volume(half).array[0] == pytest.approx(whole // 2)


def test_finding_n4_unsigned_samples_of_fewer_bits_are_what_they_are(tmp_path: Path) -> None:
    """A lossless codec may leave out bits that are 0 in all pixels."""
    values = np.linspace(0, 4095, SIDE * SIDE).astype("<u2").reshape(SIDE, SIDE)
    change = compressed(JPEG2000Lossless, values, encoded_bits=12, BitsStored=16, HighBit=15)
    assert imaging.volume(stack(tmp_path, 1, change=change)).array[0] == pytest.approx(values)


def test_finding_n4_lossy_samples_of_fewer_bits_were_scaled(tmp_path: Path) -> None:
    """Baseline JPEG has 8 bits: of an image that stores 12 it holds something else."""
    frame_header = (
        b"\xff\xd8\xff\xe0\0\4AB\xff\xc0\0\x0b\x08" + struct.pack(">HHB", SIDE, SIDE, 1) + b"\1\x11\0\xff\xd9"
    )

    def change(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = SIDE
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([frame_header]), JPEGBaseline8Bit
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True

    refused([single(tmp_path, 0, (0, 0, 0), change=change)], "8 bits a sample .* BitsStored 12: its values were scaled")


def test_finding_n4_what_is_no_codestream_says_nothing() -> None:
    """Cut, empty or of another codec: the decoder says what is wrong with it."""
    for head in (b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xff\xff", b"\xff\x4f\xff\x51\0", b"\0\0\0\1MPEG"):
        assert pixel_data.codestream(head) is None


# --- loss that nothing says ---------------------------------------------------------------------------

LOSSY: dict[str, dict[str, Any]] = {
    JPEGLSNearLossless: {"jls_error": 3},
    JPEG2000: {"j2k_cr": [20]},
}
"""How each codec is told to lose something."""
LOSSLESS: dict[str, str] = {JPEGLSNearLossless: JPEGLSLossless, JPEG2000: JPEG2000Lossless}


def lossy(syntax: str, named: str, **header: Any) -> Callable[[int, Dataset], None]:
    """Slices that were compressed with loss, under the name of another transfer syntax."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = SIDE
        dataset.RescaleIntercept, dataset.PixelRepresentation, dataset.PixelData = 0, 0, UNSIGNED.tobytes()
        dataset.compress(syntax, generate_instance_uid=False, **LOSSY[syntax])
        dataset.file_meta.TransferSyntaxUID = UID(named)
        if "LossyImageCompression" in dataset:
            del dataset.LossyImageCompression
        for keyword, value in header.items():
            setattr(dataset, keyword, value)

    return change


@pytest.mark.parametrize("syntax", LOSSY)
def test_finding_n4_loss_in_a_lossless_transfer_syntax_is_refused(tmp_path: Path, syntax: str) -> None:
    """NEAR of JPEG-LS and the irreversible transform of JPEG 2000: every value is another, by nobody knows how much."""
    files = stack(tmp_path, 1, change=lossy(syntax, LOSSLESS[syntax]))
    refused(files, r"has transfer syntax JPEG.*, and was compressed with loss")


@pytest.mark.parametrize("syntax", LOSSY)
def test_finding_n4_loss_that_the_header_denies_is_refused(tmp_path: Path, syntax: str) -> None:
    """LossyImageCompression 00 over a lossy codestream."""
    files = stack(tmp_path, 1, change=lossy(syntax, syntax, LossyImageCompression="00"))
    refused(files, "has LossyImageCompression 00, and was compressed with loss")


@pytest.mark.parametrize("syntax", LOSSY)
def test_finding_n4_loss_that_is_said_is_read_and_marked(tmp_path: Path, syntax: str) -> None:
    """By the transfer syntax: rules see the mark `lossy`, whether the header has the attribute or not."""
    (file,) = stack(tmp_path, 1, change=lossy(syntax, syntax))
    assert imaging.volume([file]).array[0] == pytest.approx(UNSIGNED, rel=0.2)
    assert "lossy" in header_reader.read_file(file, datetime(2026, 3, 1, tzinfo=UTC)).marks


@pytest.mark.parametrize("syntax", LOSSLESS.values())
def test_finding_n4_a_codestream_without_loss_is_not_marked(tmp_path: Path, syntax: str) -> None:
    """Neither refused, even if the header says 00, nor marked."""
    (file,) = stack(tmp_path, 1, change=compressed(syntax, LossyImageCompression="00"))
    assert imaging.volume([file]).array[0] == pytest.approx(SIGNED)
    assert "lossy" not in header_reader.read_file(file, datetime(2026, 3, 1, tzinfo=UTC)).marks
