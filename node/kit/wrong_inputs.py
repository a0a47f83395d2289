"""Images that a plugin is not for, made from those that it is for: none of them may end in findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from node.kit import sample_images

_STACKS = frozenset({"CT", "MR", "PT"})
_RADIOGRAPHS = frozenset({"CR", "DX", "MG"})


@dataclass(frozen=True, slots=True)
class WrongInput:
    """Images that the plugin has to refuse."""

    name: str
    files: tuple[Path, ...]


def of(files: Sequence[Path], folder: Path) -> list[WrongInput]:
    """What can be made of the images of an example; written below `folder`."""
    images = [each for each in map(_read, files) if each is not None]
    if not images:
        return []
    modality = str(images[0].get("Modality", ""))
    made = []
    for name, change in _changes(modality, len(images)).items():
        changed = change(images)
        if changed:
            made.append(WrongInput(name, tuple(_written(changed, folder / name.replace(" ", "-")))))
    for name, write, wrong_for in (
        ("a radiograph", sample_images.write_radiograph, _STACKS),
        ("a CT", sample_images.write_ct, _RADIOGRAPHS),
    ):
        if modality in wrong_for:
            target = folder / name.replace(" ", "-")
            write(target)
            made.append(WrongInput(name, tuple(sorted(target.iterdir()))))
    return made


_Images = Sequence[Dataset]
_Change = Callable[[_Images], list[Dataset]]


def _changes(modality: str, count: int) -> Mapping[str, _Change]:
    """Those that make sense of this kind of images."""
    changes: dict[str, _Change] = {
        "images without pixels": _without_pixels,
        "a high bit that contradicts": _contradictory,
        "pictures in colour": _coloured,
    }
    if modality in _STACKS:
        changes["a localizer"] = _localizer
        changes["lossy images of 8 bits"] = _lossy
        if count > 1:
            changes["one slice"] = lambda images: [_copy(images[len(images) // 2])]
    return changes


def _read(file: Path) -> Dataset | None:
    try:
        found = pydicom.dcmread(file)
    except (InvalidDicomError, OSError):
        return None
    return found if "Rows" in found and "SOPInstanceUID" in found else None


def _copy(image: Dataset) -> Dataset:
    """A copy whose attributes can be changed: all of it, since copies of pydicom share their elements."""
    return deepcopy(image)


def _without_pixels(images: _Images) -> list[Dataset]:
    made = [_copy(image) for image in images]
    for each in made:
        each.pop("PixelData", None)
    return made


def _contradictory(images: _Images) -> list[Dataset]:
    made = [_copy(image) for image in images]
    for each in made:
        each.BitsStored, each.HighBit = 10, 14
    return made


def _localizer(images: _Images) -> list[Dataset]:
    made = _copy(images[len(images) // 2])
    made.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    made.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return [made]


def _lossy(images: _Images) -> list[Dataset]:
    made = [_with_pixels_of_8_bits(image, channels=1) for image in images]
    for each in made:
        each.LossyImageCompression, each.LossyImageCompressionRatio = "01", 20
    return made


def _coloured(images: _Images) -> list[Dataset]:
    made = [_with_pixels_of_8_bits(image, channels=3) for image in images]
    for each in made:
        each.PhotometricInterpretation, each.PlanarConfiguration = "RGB", 0
    return made


def _with_pixels_of_8_bits(image: Dataset, channels: int) -> Dataset:
    """Grey as on a screen, without what would tell its scale."""
    made = _copy(image)
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.SamplesPerPixel = channels
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "NumberOfFrames", "PixelPaddingValue"):
        made.pop(keyword, None)
    grey = np.tile(np.arange(int(made.Columns)) % 256, int(made.Rows)).astype(np.uint8)
    pixels = np.repeat(grey, channels)
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    return made


def _written(images: _Images, folder: Path) -> list[Path]:
    """As images of a series of their own."""
    folder.mkdir(parents=True)
    paths = []
    for number, image in enumerate(images, start=1):
        paths.append(folder / f"{number:06}.dcm")
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
            uid = generate_uid(entropy_srcs=["pacsnode wrong input", folder.name, str(image[keyword].value)])
            setattr(image, keyword, uid)
        image.save_as(paths[-1], enforce_file_format=True)
    return paths
