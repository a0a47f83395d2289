"""Images as a plugin names them, what helpers need of a volume, and why there is none.

Authors get all of this from `plugins.contract`; it is apart because what reads and measures images needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class ContractError(ValueError):
    """A result (or a part of one) that could not be reported as it is; the message names the field."""


class NotApplicableError(Exception):
    """Raised by a plugin (or by `Series.volume()`) when these images are not what the algorithm is for.

    The message is the reason, and it is what the radiologist reads: the job ends `not_applicable`.
    """


class RetryableError(Exception):
    """Raised by a plugin where a later attempt may well succeed: the card is taken, a licence server does not answer.

    The job is tried again after a pause, as often as the site allows. Any other exception ends it as `failed`.
    """


def require(holds: bool, message: str) -> None:
    """ContractError with this message where that does not hold."""
    if not holds:
        raise ContractError(message)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One frame of one source image; `frame_number` counts from 1 (PS3.3 C.7.6.6)."""

    sop_instance_uid: str
    frame_number: int = 1

    def __post_init__(self) -> None:
        uid, number = self.sop_instance_uid, self.frame_number
        require(isinstance(uid, str), f"ImageReference.sop_instance_uid: {uid!r} is not the text of a UID")
        require(
            not re.search(r"[/\\]|\.dcm$", uid, re.IGNORECASE),  # sources have UIDs of all sorts, but none such
            f"ImageReference.sop_instance_uid: {uid[:80]!r} is the name of a file; write header.SOPInstanceUID",
        )
        require(
            hasattr(number, "__index__") and not isinstance(number, bool | np.bool_),
            f"ImageReference.frame_number: {number!r} is not a whole number",
        )
        object.__setattr__(self, "sop_instance_uid", str(uid))
        object.__setattr__(self, "frame_number", int(number))
        require(number >= 1, f"ImageReference.frame_number: {number} is below 1; frames are counted from 1")

    @staticmethod
    def of(value: Any, name: str) -> ImageReference:
        """A reference, a SOP Instance UID (then its only frame), or (UID, frame number)."""
        if isinstance(value, ImageReference):
            return value
        if isinstance(value, str):
            return ImageReference(value)
        if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str):
            return ImageReference(value[0], value[1])
        raise ContractError(
            f"{name}: {type(value).__name__} is not a reference to an image; write volume.frames[z], or "
            "ImageReference(header.SOPInstanceUID)"
        )

    @staticmethod
    def all_of(value: Any, name: str) -> tuple[ImageReference, ...]:
        """References to several images, or to one."""
        if hasattr(value, "frames") and hasattr(value, "affine"):
            raise ContractError(f"{name}: a Volume is not a list of references; write volume.frames")
        if isinstance(value, ImageReference | str):
            value = (value,)
        if not isinstance(value, Iterable):
            raise ContractError(f"{name}: {type(value).__name__} is not a list of references to images")
        return tuple(ImageReference.of(each, f"{name}[{index}]") for index, each in enumerate(value))


class VoxelGrid(Protocol):
    """What helpers need of a volume: its voxels, where they are, and the images they come from."""

    @property
    def array(self) -> NDArray[np.float32]:
        """(slices, rows, columns)."""
        ...

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm between slices, rows, columns."""
        ...

    @property
    def affine(self) -> NDArray[np.float64]:
        """(column, row, slice, 1) → x, y, z in mm, LPS."""
        ...

    def frame(self, z: int) -> ImageReference:
        """The source image of a slice."""
        ...
