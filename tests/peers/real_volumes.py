"""Real series, read by `plugins.imaging`, by ITK (GDCM) and by dcmtk: `make soak` (not in the suite)."""

from __future__ import annotations

import subprocess
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from plugins import imaging
from plugins.images import NotApplicableError
from plugins.volume import Volume
from tests.support.programs.peers import require_peer
from tests.support.shared_data import shared_data

NOT_SERIES = ("cases", "models", "audit")
"""Folders of the real data with odd inputs, of which others have other opinions, and with no images."""
BY_ONE_BIT = "SEG"
"""Masks: ITK gives 255 for 1."""
HEADER = ["SOPInstanceUID", "SeriesInstanceUID", "Modality", "NumberOfFrames", "Rows"]


def real_series() -> Iterator[tuple[str, list[Path], list[Dataset]]]:
    """Modality, files and headers of each series that lies in a folder."""
    root = shared_data()
    found: dict[tuple[str, str, str], list[tuple[Path, Dataset]]] = {}
    for path in sorted(root.rglob("*")):
        if path.relative_to(root).parts[0] in NOT_SERIES or not path.is_file():
            continue
        try:
            header = dcmread(path, stop_before_pixels=True, specific_tags=HEADER)
        except (InvalidDicomError, OSError, ValueError, EOFError, NotImplementedError, KeyError):
            continue
        if "Rows" in header and "SeriesInstanceUID" in header and "SOPInstanceUID" in header:
            key = (str(header.get("Modality")), str(path.parent), str(header.SeriesInstanceUID))
            found.setdefault(key, []).append((path, header))
    for (modality, *_), those in found.items():
        yield modality, [path for path, _ in those], [header for _, header in those]


def by_itk(volume: Volume, files: list[Path], headers: list[Dataset]) -> SimpleITK.Image | None:
    """The same images in the same order; None where it cannot read them."""
    by_uid = {str(header.SOPInstanceUID): str(path) for path, header in zip(files, headers, strict=True)}
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([by_uid[frame.sop_instance_uid] for frame in volume.frames])
    reader.SetOutputPixelType(SimpleITK.sitkFloat32)
    try:
        return reader.Execute()
    except RuntimeError:
        return None


def differences(volume: Volume, image: SimpleITK.Image) -> list[str]:
    """In what the two readings differ."""
    found = []
    array = SimpleITK.GetArrayFromImage(image)
    if array.shape != volume.array.shape:
        return [f"shape {array.shape} and {volume.array.shape}"]
    most = float(np.abs(array - volume.array).max())
    if most > 1e-3 * max(1.0, float(np.abs(array).max()) * 1e-3):
        found.append(f"values differ by {most:g}")
    depth, rows, columns = volume.array.shape
    for corner in product((0, columns - 1), (0, rows - 1), (0, depth - 1)):
        ours = (volume.affine @ np.array([*corner, 1.0]))[:3]
        theirs = np.array(image.TransformIndexToPhysicalPoint(corner))
        if np.linalg.norm(ours - theirs) > 0.05:
            found.append(f"corner {corner} lies at {ours} and {theirs}")
    return found


def by_dcmtk(file: Path, folder: Path) -> NDArray[np.float64] | None:
    """The pixels of an image after its Modality LUT, on a scale of dcmtk's own; None where it cannot read them."""
    picture = folder / "picture.pgm"
    if subprocess.run(["dcmj2pnm", "-W", "-O", "+opw", file, picture], capture_output=True, check=False).returncode:
        return None
    words = picture.read_text().split("\n", 3)
    columns, rows = (int(each) for each in next(line for line in words if line and line[0].isdigit()).split()[:2])
    return np.array(picture.read_text().split()[-rows * columns :], dtype=np.float64).reshape(rows, columns)


def is_the_same_picture(ours: NDArray[np.float32], theirs: NDArray[np.float64]) -> bool:
    """Whether one scale makes the one of the other, but for rounding to a whole number of either."""
    if ours.shape != theirs.shape or float(np.ptp(ours)) == 0 or float(np.ptp(theirs)) == 0:
        return ours.shape == theirs.shape
    slope, intercept = np.polyfit(ours.ravel().astype(np.float64), theirs.ravel(), 1)
    return bool(np.abs(slope * ours + intercept - theirs).max() <= max(2.0, abs(slope)))


def differs(part: str, volume: Volume, files: list[Path], headers: list[Dataset], folder: Path) -> list[str] | None:
    """In what this other reader differs; None where it cannot read the images."""
    if part == "itk":
        if headers[0].get("Modality") == BY_ONE_BIT:
            return None
        image = by_itk(volume, files, headers)
        return None if image is None else differences(volume, image)
    middle = len(volume.frames) // 2
    uid = volume.frames[middle].sop_instance_uid
    theirs = by_dcmtk(files[[str(each.SOPInstanceUID) for each in headers].index(uid)], folder)
    if theirs is None:
        return None
    return [] if is_the_same_picture(volume.array[middle], theirs) else ["another picture"]


@pytest.mark.parametrize("part", ["itk", "dcmtk"])
def test_each_real_file_has_the_numbers_and_the_place_that_others_read(tmp_path: Path, part: str) -> None:
    """Every value and the corners of each volume, by ITK; the picture of a slice after its Modality LUT, by dcmtk."""
    if part == "dcmtk":
        require_peer("dcmtk")
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for modality, files, headers in real_series():
        if any(header.get("NumberOfFrames") not in (None, 1) for header in headers):
            counts["enhanced"] += 1  # the readers of series of the others know single-frame images
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                volume = imaging.volume(files)
            except NotApplicableError:
                counts["refused here"] += 1
                continue
        found = differs(part, volume, files, headers, tmp_path)
        counts[modality if found is not None else f"not read by {part}"] += 1
        wrong += [f"{modality} {files[0].parent}: {each}" for each in found or ()]
    print(f"series by {part}: {dict(counts)}")
    assert not wrong
    assert counts["CT"] > 20
