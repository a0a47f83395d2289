"""A folder with a model file and its plugin.toml, and images whose content a test knows voxel by voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import CTImageStorage, DigitalXRayImageStorageForPresentation

from plugins.coding import Code
from plugins.phantoms.files import PhantomOrder, PhantomSeries, add_radiograph, add_slice, saved

_CHEST = Code("51185008", "SCT", "Chest")
_HEAD = """
schema = 1
outputs = [{outputs}]

[identity]
name = "Tiny model"
version = "1.0.0"
manufacturer = "Example"
intended_use = "Tests. Not for diagnosis."

[runtime]
kind = "onnx"
"""
NODULE = '{value = "27925004", scheme = "SCT", meaning = "Nodule"}'
TISSUE = '{value = "85756007", scheme = "SCT", meaning = "Tissue"}'


def plugin(folder: Path, model: str, outputs: tuple[str, ...] = ("findings",), runtime: str = "") -> Path:
    """Write the manifest of a folder that has a `model.onnx`; `model`: what comes after `file` in `[onnx]`."""
    shown = ", ".join(f'"{each}"' for each in outputs)
    text = f'{_HEAD.format(outputs=shown)}{runtime}\n[onnx]\nfile = "model.onnx"\n{model}\n'
    (folder / "plugin.toml").write_text(text, encoding="utf-8")
    return folder


def turned(angle: float) -> NDArray[np.float64]:
    """Directions of columns, rows and slices of a stack that is turned about three axes."""
    c, s = np.cos(angle), np.sin(angle)
    about_z, about_x = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.asarray(about_z @ about_x @ about_y)


def write_stack(
    folder: Path,
    array: NDArray[np.float32],
    spacing: tuple[float, float, float],
    directions: NDArray[np.float64] | None = None,
    number: int = 1,
) -> list[Path]:
    """A CT with these HU; `directions`: columns of the matrix are those of columns, rows and slices."""
    along = np.eye(3) if directions is None else directions
    series = PhantomSeries(
        "CT", CTImageStorage, "", "CHEST", f"{array.shape} {float(array.sum()):g} {spacing}", PhantomOrder(), number
    )
    files = []
    for index, plane in enumerate(array):
        image = series.instance(index, (plane + 1024).astype(np.uint16))
        origin = np.array([-40.0, 25.0, 310.0]) + along[:, 2] * spacing[0] * index
        add_slice(image, (float(origin[0]), float(origin[1]), float(origin[2])), spacing, series.uid("frame"))
        image.ImagePositionPatient = [f"{each:.8f}" for each in origin]
        image.ImageOrientationPatient = [f"{each:.10f}" for each in (*along[:, 0], *along[:, 1])]
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = -1024, 1, "HU"
        image.KVP = 120
        files.append(saved(image, folder, index))
    return files


def write_radiograph(folder: Path, array: NDArray[np.float32]) -> list[Path]:
    """A radiograph that is from 0 to 1 as a reader sees it."""
    series = PhantomSeries(
        "DX",
        DigitalXRayImageStorageForPresentation,
        "",
        "CHEST",
        f"{array.shape} {float(array.sum()):g}",
        PhantomOrder(),
    )
    image = series.instance(0, np.rint(array * 4095).astype(np.uint16))
    add_radiograph(image, 0.2, "U", _CHEST)
    return [saved(image, folder, 0)]


def frame_of(file: Path) -> str:
    """The frame of reference of an image."""
    return str(pydicom.dcmread(file).FrameOfReferenceUID)


def in_frame(file: Path, frame: str) -> Path:
    """The same image, in a frame of reference."""
    image = pydicom.dcmread(file)
    image.FrameOfReferenceUID = frame
    image.save_as(file)
    return file
