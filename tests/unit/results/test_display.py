"""What a key slice shows of images whose values are odd: the right picture, or none, and never a wrong number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, Sequence

from node.results.pages.display import meaning_of
from node.results.pages.key_slice import frame_pixels
from node.results.source.images import SourceImage, read_sources
from plugins.contract import NotApplicableError
from tests.support.results import reports
from tests.support.shared_data import shared_data

Change = Callable[[Dataset], None]


def _image(folder: Path, change: Change) -> SourceImage:
    dataset = reports.ct()
    change(dataset)
    return read_sources((reports.write(dataset, folder / "image.dcm"),)).anchor


def _without_intercept(dataset: Dataset) -> None:
    del dataset.RescaleIntercept


def _infinite(dataset: Dataset) -> None:
    dataset.RescaleSlope = 0


def _bad_table(dataset: Dataset) -> None:
    del dataset.RescaleIntercept, dataset.RescaleSlope
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType, item.LUTData = [64, 0, 16], "HU", b"\0\0"
    item["LUTData"].VR = "OW"
    dataset.ModalityLUTSequence = Sequence([item])


@pytest.mark.parametrize("change", [_without_intercept, _infinite, _bad_table])
def test_finding_n1_a_scale_that_is_not_certain_is_shown_without_a_window(tmp_path: Path, change: Change) -> None:
    """The picture is there, by its own range; no window in HU is applied or stated under it."""
    image = _image(tmp_path, change)
    rgb, window = frame_pixels(image, 1, (-600.0, 200.0))
    assert window is None
    stored = np.frombuffer(reports.ct().PixelData, dtype=np.int16).reshape(reports.ROWS, reports.COLUMNS)
    assert rgb[stored == stored.max()].min() > rgb[stored == stored.min()].max()


def test_finding_n4_bits_that_are_not_certain_are_not_shown(tmp_path: Path) -> None:
    """A High Bit that contradicts Bits Stored: a black slice with the reason, not a wrong picture."""
    image = _image(tmp_path, lambda dataset: setattr(dataset, "HighBit", 11))
    with pytest.raises(NotApplicableError, match="HighBit 11"):
        frame_pixels(image, 1)


def test_finding_n1_a_presentation_state_does_not_repeat_half_a_rescale(tmp_path: Path) -> None:
    """What the presentation state goes by says that it does not know."""
    assert meaning_of(_image(tmp_path, _without_intercept).header, 1) is None
    assert meaning_of(_image(tmp_path, lambda dataset: None).header, 1) is not None


def test_finding_n4_colours_of_sixteen_bits_are_not_cut(tmp_path: Path) -> None:
    """Samples of 16 bits are shown by their highest eight."""
    values = np.array([[[0, 256, 65535], [32768, 65280, 255]]], dtype="<u2")

    def change(dataset: Dataset) -> None:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
        dataset.Rows, dataset.Columns, dataset.PixelData = 1, 2, values.tobytes()

    rgb, _ = frame_pixels(_image(tmp_path, change), 1)
    assert rgb.tolist() == [[[0, 1, 255], [128, 255, 0]]]


def test_finding_n4_a_window_of_two_is_the_standards(tmp_path: Path) -> None:
    """Centre 1, width 2 (LINEAR, PS3.3 C.11.2.1.2.1): 0 is black, 1 is white. No grey between them."""

    def change(dataset: Dataset) -> None:
        dataset.WindowCenter, dataset.WindowWidth, dataset.RescaleSlope, dataset.RescaleIntercept = 1, 2, 1, 0
        dataset.Rows, dataset.Columns, dataset.PixelData = 1, 4, np.array([-1, 0, 1, 2], dtype="<i2").tobytes()

    rgb, window = frame_pixels(_image(tmp_path, change), 1)
    assert (rgb[0, :, 0].tolist(), window) == ([0, 0, 255, 255], (1.0, 2.0))


def test_finding_n4_a_sigmoid_window_bends(tmp_path: Path) -> None:
    """VOI LUT Function SIGMOID, as mammograms have it: the centre is grey, an end is nearly black, never cut off."""

    def change(dataset: Dataset) -> None:
        dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 0, 400, "SIGMOID"
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.Rows, dataset.Columns, dataset.PixelData = 1, 3, np.array([-200, 0, 200], dtype="<i2").tobytes()

    rgb, _ = frame_pixels(_image(tmp_path, change), 1)
    assert rgb[0, :, 0] == pytest.approx([255 / (1 + np.e**2), 127.5, 255 / (1 + np.e**-2)], abs=1)


def test_finding_n4_a_voi_lut_is_applied(tmp_path: Path) -> None:
    """A VOI LUT Sequence makes the picture where no window is given (PS3.3 C.11.2.1.1)."""

    def change(dataset: Dataset) -> None:
        item = Dataset()
        item.LUTDescriptor, item.LUTData = [4, 10, 12], np.array([4095, 0, 4095, 2048], dtype="<u2").tobytes()
        item["LUTData"].VR = "OW"
        dataset.VOILUTSequence = Sequence([item])
        for keyword in ("WindowCenter", "WindowWidth"):
            dataset.pop(keyword, None)
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.Rows, dataset.Columns = 1, 5
        dataset.PixelData = np.array([0, 10, 11, 13, 99], dtype="<i2").tobytes()

    rgb, window = frame_pixels(_image(tmp_path, change), 1)
    assert (rgb[0, :, 0].tolist(), window) == ([255, 255, 0, 128, 128], None)


def test_finding_n4_the_real_voi_lut_is_applied() -> None:
    """A DX image with a VOI LUT Sequence of 12 bits: the whole range from black to white is used."""
    file = next(path for path in shared_data("cases/voilut-seq").iterdir() if path.is_file())
    rgb, window = frame_pixels(read_sources((file,)).anchor, 1)
    assert window is None
    assert rgb.max() > rgb.min()
