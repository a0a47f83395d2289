"""Which bits of a pixel are its value: what contradicts itself is refused, all else becomes the right numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from plugins import imaging
from tests.unit.plugins.test_imaging import COLUMNS, ROWS, refused, stack, stored
from tests.unit.plugins.test_stored_values import NOTHING, everywhere, only, put

BITS = {
    "left-justified": ({"BitsStored": 12, "HighBit": 15}, "HighBit 15, which contradicts BitsStored 12 .*11"),
    "high bit too low": ({"BitsStored": 12, "HighBit": 7}, "HighBit 7, which contradicts BitsStored 12"),
    "high bit beyond": ({"HighBit": 16}, "HighBit 16, which contradicts BitsStored 16"),
    "all stored, high bit 11": ({"HighBit": 11}, "HighBit 11, which contradicts BitsStored 16"),
    "stored beyond": ({"BitsStored": 17, "HighBit": 16}, "BitsStored 17 and BitsAllocated 16, which is impossible"),
    "nothing stored": ({"BitsStored": 0, "HighBit": 0}, "BitsStored 0 and BitsAllocated 16"),
    "no high bit": ({"BitsStored": 12, "HighBit": None}, "no HighBit"),
    "no bits stored": ({"BitsStored": None}, "no BitsStored"),
    "no representation": ({"PixelRepresentation": None}, "no PixelRepresentation"),
    "representation 2": ({"PixelRepresentation": 2}, "PixelRepresentation 2, which is neither 0 nor 1"),
}


@pytest.mark.parametrize(("attributes", "match"), BITS.values(), ids=BITS)
def test_finding_n4_bits_that_contradict_each_other_are_refused(
    tmp_path: Path, attributes: dict[str, Any], match: str
) -> None:
    """Which bits of a pixel are its value must be certain; the attributes are named with their values."""
    refused(stack(tmp_path, change=only(2, modality="CT", **attributes)), rf"1\.2\.3\.3 has .*{match}")


def test_finding_n4_a_high_bit_that_is_missing_and_can_only_be_one(tmp_path: Path) -> None:
    """All allocated bits are stored: no other bit could be the highest."""
    assert imaging.volume(stack(tmp_path, change=everywhere(HighBit=None))).array[0, 0, 0] == -1000


NATIVE = [ExplicitVRBigEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = [RLELossless, JPEGLSLossless, JPEG2000Lossless]


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("syntax", [None, *NATIVE, *COMPRESSED], ids=lambda uid: uid.name if uid else "as it is")
def test_finding_n4_twelve_bits_in_every_transfer_syntax(tmp_path: Path, syntax: Any, signed: bool) -> None:
    """The whole range of 12 bits comes back, sign and all, however the pixels are encoded."""
    low, high = (-2048, 2047) if signed else (0, 4095)
    values = np.linspace(low, high, 32 * 32).astype("<i4").reshape(32, 32)
    order = ">" if syntax == ExplicitVRBigEndian else "<"

    def change(number: int, dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(signed)
        dataset.Rows, dataset.Columns, dataset.RescaleIntercept = 32, 32, 0
        dataset.PixelData = values.astype(order + ("i2" if signed else "u2")).tobytes()
        if syntax in NATIVE:
            dataset.file_meta.TransferSyntaxUID = syntax
        elif syntax is not None:
            dataset.compress(syntax, generate_instance_uid=False)

    (file,) = stack(tmp_path, count=1, change=change)
    assert imaging.volume([file]).array[0] == pytest.approx(values)


@pytest.mark.parametrize(
    ("above", "signed"), [(0x1000, True), (0x1000, False), (0xA000, True), (0xA000, False), (0xF000, False)]
)
def test_finding_n4_what_is_above_the_high_bit_means_nothing(tmp_path: Path, above: int, signed: bool) -> None:
    """Leftovers in unused bits, the same in all pixels, and a sign that is not extended are not it (PS3.5 8.1.1)."""
    raw = np.array([[0x000, 0x001, 0x7FF, 0x800], [0x801, 0xFFF, 0x400, 0xC00], [0, 1, 2, 3]], dtype="<u2")

    def change(number: int, dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(signed)
        dataset.RescaleIntercept, dataset.PixelData = 0, (raw | above).tobytes()

    values = raw.astype(int) - (4096 * (raw >= 0x800) if signed else 0)
    assert imaging.volume(stack(tmp_path, 1, change=change)).array[0] == pytest.approx(values)


ROW, COLUMN = np.mgrid[0:32, 0:32]
"""A picture whose values go on from pixel to pixel."""
GREATER = {
    "more than 4095": (False, 3800 + ROW * 30),
    "far more": (False, ROW * 2000),
    "a signed one, less": (True, -1900 - ROW * 30),
    "a signed one, more": (True, ROW * 200 - 3000 + COLUMN),
}


@pytest.mark.parametrize("syntax", [None, RLELossless])
@pytest.mark.parametrize(("signed", "values"), GREATER.values(), ids=GREATER)
def test_finding_n4_values_that_bits_stored_cannot_hold_are_refused(
    tmp_path: Path, signed: bool, values: np.ndarray[Any, Any], syntax: str | None
) -> None:
    """5000 under BitsStored 12 would come out as 904, and −3000 as 1096."""
    refused(stack(tmp_path, 1, change=_twelve(values, signed, syntax)), "which its BitsStored 12 cannot hold")


def _twelve(values: np.ndarray[Any, Any], signed: bool, syntax: str | None = None) -> Any:
    """Pixels under a header that says 12 bits."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 32
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, int(signed)
        dataset.RescaleIntercept, dataset.PixelData = 0, (values & 0xFFFF).astype("<u2").tobytes()
        if syntax is not None:
            dataset.compress(syntax, generate_instance_uid=False)

    return change


@pytest.mark.parametrize("extended", [True, False], ids=["sign extended", "sign in 12 bits"])
@pytest.mark.parametrize("drawn", [0x1000, 0x8000, 0x3000])
def test_finding_n4_an_overlay_that_the_header_does_not_name_is_not_the_value(
    tmp_path: Path, drawn: int, extended: bool
) -> None:
    """A line drawn in unused bits (PS3.5 8.1.2, retired): under it the image goes on."""
    values = ROW * 20 - 300 + COLUMN
    raw = values if extended else values & 0xFFF
    line = (ROW == COLUMN) | (ROW == COLUMN + 1)
    volume = imaging.volume(stack(tmp_path, 1, change=_twelve(np.where(line, raw ^ drawn, raw), signed=True)))
    assert volume.array[0] == pytest.approx(values)


def test_finding_n4_one_bit_in_a_byte(tmp_path: Path) -> None:
    """A mask of one bit a pixel in bytes: seven bits above mean nothing there either, and are no number of 0 to 255."""
    (tmp_path / "mask").mkdir()
    raw = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1]], dtype=np.uint8) | 0x80

    def change(number: int, dataset: Dataset) -> None:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 1, 0, 0
        dataset.RescaleIntercept, dataset.PixelData = 0, raw.tobytes()

    assert imaging.volume(stack(tmp_path / "mask", 1, change=change)).array[0] == pytest.approx(raw & 1)
    raw = np.array([[0, 1, 2, 3], [0xFE, 0xFF, 0x80, 0x81], [0, 1, 0, 1]], dtype=np.uint8)
    refused(stack(tmp_path, 1, change=change), "which its BitsStored 1 cannot hold")


def test_finding_n4_an_overlay_in_bits_of_the_value_is_refused(tmp_path: Path) -> None:
    """An overlay plane within the stored bits: those bits are not the value's."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.add_new((0x6000, 0x0100), "US", 16)
        dataset.add_new((0x6000, 0x0102), "US", 15)

    refused(stack(tmp_path, 1, change=change), r"overlay in bit 15 of its pixels \(OverlayBitPosition\)")


def test_finding_n4_padding_that_does_not_fit_is_refused_where_it_occurs(tmp_path: Path) -> None:
    """63536 in 12 bits would decode to 2096, which is bone. Where no pixel has it, it is harmless."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        dataset.PixelPaddingValue = 63536
        pixels = stored(0).astype("<u2")
        if number == 1:
            pixels[0, 0] = 63536
        dataset.PixelData = pixels.tobytes()

    files = stack(tmp_path, 3, change=change)
    assert imaging.volume([files[0]]).array[0, 0, 1] == -999
    refused(files, r"1\.2\.3\.2 has pixels of the PixelPaddingValue 63536, which does not fit into its BitsStored 12")


@pytest.mark.parametrize(("vr", "padding"), [("US", 63488), ("SS", -2048)])
def test_finding_n4_padding_of_signed_pixels_is_the_same_in_either_vr(tmp_path: Path, vr: str, padding: int) -> None:
    """63488 of VR US is −2048 of signed pixels, which 12 bits hold: every value is as it came."""
    values = np.where(ROW == 0, -2048, ROW * 10)

    def change(number: int, dataset: Dataset) -> None:
        _twelve(values, signed=True)(number, dataset)
        dataset.add_new("PixelPaddingValue", vr, padding)

    assert imaging.volume(stack(tmp_path, 1, change=change)).array[0] == pytest.approx(values)


@pytest.mark.parametrize(("vr", "padding"), [("US", 63536), ("SS", -2000)])
def test_finding_n4_padding_of_unsigned_pixels_is_the_same_in_either_vr(tmp_path: Path, vr: str, padding: int) -> None:
    """−2000 of VR SS is 63536 of unsigned pixels, of which 12 bits would be 2096: refused, as bone is elsewhere."""
    values = np.where(ROW == 0, 63536, ROW * 10)

    def change(number: int, dataset: Dataset) -> None:
        _twelve(values, signed=False)(number, dataset)
        dataset.add_new("PixelPaddingValue", vr, padding)

    refused(stack(tmp_path, 1, change=change), "has pixels of the PixelPaddingValue 63536, which does not fit")


def test_finding_n4_compressed_pixels_beyond_bits_stored_are_refused(tmp_path: Path) -> None:
    """A codec has no unused bits: values of 16 bits under a header that says 12 would come out as others."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.Rows, dataset.Columns, dataset.PixelRepresentation = 32, 32, 0
        dataset.PixelData = np.arange(0, 32 * 32 * 60, 60, dtype="<u2").tobytes()
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        dataset.BitsStored, dataset.HighBit = 12, 11

    (file,) = stack(tmp_path, 1, change=change)
    refused([file], "more than its BitsStored 12 can hold")


def test_finding_n4_float_pixel_data_is_what_it_says(tmp_path: Path) -> None:
    """Float Pixel Data has no bits to choose from (PS3.3 C.7.6.24)."""
    values = np.linspace(-0.5, 0.5, ROWS * COLUMNS, dtype="<f4").reshape(ROWS, COLUMNS)

    def change(number: int, dataset: Dataset) -> None:
        put(dataset, Modality="MR", BitsAllocated=32, BitsStored=None, HighBit=None, PixelRepresentation=None)
        put(dataset, PixelData=None, **NOTHING)
        dataset.FloatPixelData = values.tobytes()

    assert imaging.volume(stack(tmp_path, 1, change=change)).array[0] == pytest.approx(values)


def test_finding_n4_large_integers_keep_their_differences(tmp_path: Path) -> None:
    """32-bit values with a large intercept: the difference is made before it is rounded to float32."""
    values = np.arange(ROWS * COLUMNS, dtype="<u4").reshape(ROWS, COLUMNS) + 2**31

    def change(number: int, dataset: Dataset) -> None:
        put(dataset, BitsAllocated=32, BitsStored=32, HighBit=31, PixelRepresentation=0, RescaleIntercept=-(2**31))
        dataset.PixelData = values.tobytes()

    volume = imaging.volume(stack(tmp_path, 1, change=change))
    assert volume.array[0].ravel() == pytest.approx(np.arange(ROWS * COLUMNS))


def test_finding_n4_a_dose_is_no_image(tmp_path: Path) -> None:
    """RT Dose has a scale of its own, Dose Grid Scaling, that would be ignored."""
    change = everywhere(Modality="RTDOSE", DoseGridScaling="0.0001", **NOTHING)
    refused(stack(tmp_path, 1, change=change), "is a dose")


# --- geometry that is odd and certain, or not ----------------------------------------------------


def test_finding_n4_negative_spacing_of_a_single_image_turns_nothing_round(tmp_path: Path) -> None:
    """Spacing Between Slices −2 of one image is 2 mm along its normal."""
    volume = imaging.volume(stack(tmp_path, 1, change=everywhere(SpacingBetweenSlices=-2)))
    assert volume.spacing[0] == 2.0
    assert volume.affine[2, 2] == pytest.approx(2.0)


def test_finding_n4_a_thickness_that_is_no_number_costs_nothing_where_positions_say_it(tmp_path: Path) -> None:
    """Positions give the spacing; Slice Thickness "2,0" is not needed."""
    files = stack(tmp_path)
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content.replace(b"DS\x04\x002.0 ", b"DS\x04\x002,0 "))
        assert b"2,0 " in file.read_bytes()
    assert imaging.volume(files).spacing[0] == 2.0
