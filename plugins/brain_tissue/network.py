"""The network `model20chan3cls` as its authors run it: on the scaled head, cropped to what is bright.

MeshNet (Fedorov et al. 2017, doi:10.1109/IJCNN.2017.7966333): nine layers of dilated convolutions: each label depends
on what is up to 46 mm away. All axes are those of `HeadImage.array`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plugins.onnx_session import open_session

WHITE, GREY = 1, 2
"""Values of the network's labels; 0 is everything else, also cerebrospinal fluid."""
_DARK_SHARE, _BRIGHT_SHARE = 0.05, 0.95
"""Quantiles of all voxels, air too, that become 0 and 1."""
_CROP_SHARE = 0.2
"""Of the highest input: the network sees the box around what is brighter."""
_TOUCHING = np.ones((3, 3, 3), dtype=bool)

Box = tuple[slice, ...]


class BrainNetwork:
    """The network, loaded once."""

    def __init__(self, model: Path, threads: int | None = None) -> None:
        self._session = open_session(model, threads)

    def logits(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of each class, shape (3, …), for an input of any shape (i, j, k)."""
        (logits,) = self._session.run(["logits"], {"image": image[np.newaxis, np.newaxis]})
        return np.asarray(logits[0], dtype=np.float32)

    def labels(self, image: NDArray[np.float32], box: Box, factor: float = 1.0) -> NDArray[np.uint8]:
        """Labels (i, j, k) of an input of which the network sees the box; `factor` makes it brighter or darker."""
        labels = np.zeros(image.shape, dtype=np.uint8)
        labels[box] = self.logits(np.ascontiguousarray(image[box]) * np.float32(factor)).argmax(axis=0)
        return labels


def quantiles(head: NDArray[np.uint8]) -> tuple[int, int]:
    """The values that become 0 and 1 in the network's input."""
    reached = np.cumsum(np.bincount(head.ravel(), minlength=256))
    last = head.size - 1
    indices = math.floor(_DARK_SHARE * head.size), min(math.ceil(_BRIGHT_SHARE * head.size) - 1, last)
    dark, bright = (int(np.searchsorted(reached, index, side="right")) for index in indices)
    return dark, bright


def scaled(head: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The network's input: 0 at the lower, 1 at the upper quantile, not clipped."""
    dark, bright = quantiles(head)
    return (head.astype(np.float32) - np.float32(dark)) / np.float32(max(bright - dark, 1))


def bright_box(image: NDArray[np.float32]) -> Box:
    """The box around what is brighter than a fifth of the highest value, without a margin: so the authors crop it."""
    return box_around(image > _CROP_SHARE * image.max())


def box_around(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around what is true; all of it where nothing is."""
    found = ndimage.find_objects(mask.view(np.uint8))
    return tuple(found[0]) if found else tuple(slice(0, size) for size in mask.shape)


def largest_part(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """The labels of the largest connected part (26 neighbours), and how many voxels were elsewhere: islands."""
    parts, _ = ndimage.label(labels > 0, _TOUCHING)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = np.where(parts == sizes.argmax(), labels, 0).astype(np.uint8) if sizes.any() else np.zeros_like(labels)
    return kept, int(sizes.sum() - sizes.max())
