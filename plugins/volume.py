"""A stack of slices as a plugin gets it, with what authors do with its voxels.

What needs more than NumPy, or another module, is loaded when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plugins.images import ImageReference, require

if TYPE_CHECKING:
    from plugins.regions import Point
    from plugins.shapes import AxialDiameters, MaskBounds


@dataclass(frozen=True)
class Volume:
    """A stack of parallel slices, ordered along the slice normal.

    `array`: float32, shape (slices, rows, columns), in rescaled units (HU for CT).
    `spacing`: mm between slices, rows, columns, in that order.
    `affine`: 4 × 4; maps (column, row, slice, 1) indices at pixel centres to x, y, z in mm, LPS.
    `frames`: the source frame of each slice.
    """

    array: NDArray[np.float32]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]
    frames: tuple[ImageReference, ...]
    frame_of_reference_uid: str | None = None

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mL."""
        return float(np.prod(self.spacing)) / 1000.0

    def point(self, z: float, y: float, x: float) -> Point:
        """The point of `array[z, y, x]` in the patient (mm, LPS), for a finding's regions; between voxels, too.

        Raises `ContractError` where the images name no frame of reference; `image_point` is there anyway.
        """
        from plugins.regions import Point

        require(
            self.frame_of_reference_uid is not None,
            "Volume.point: the images name no frame of reference, so a point in the patient means nothing; "
            "write volume.image_point(z, y, x)",
        )
        return Point(self.affine[:3] @ (x, y, z, 1.0), frame_of_reference_uid=self.frame_of_reference_uid)

    def image_point(self, z: int, y: float, x: float) -> Point:
        """The point of `array[z, y, x]` on the image of its slice: (column, row), half a pixel from the corner."""
        from plugins.regions import Point

        return Point(np.array([x + 0.5, y + 0.5]), self.frame(z))

    def frame(self, z: int) -> ImageReference:
        """The source image of a slice; `ContractError` for a volume on another grid, which has none."""
        require(
            len(self.frames) == len(self.array),
            "Volume.frames: no slice of a resampled volume is a source image; bring the result back to the volume "
            "of the series (resampling.resample_like)",
        )
        return self.frames[z]

    def bounding_box(self, mask: NDArray[Any]) -> MaskBounds:
        """The smallest box around what is true in a mask of the shape of `array`; see `plugins.shapes`."""
        from plugins import shapes

        return shapes.bounds(self, mask)

    def diameters(self, mask: NDArray[Any]) -> AxialDiameters:
        """Long axis of a lesion and its short axis perpendicular to it, within a slice; see `plugins.shapes`."""
        from plugins import shapes

        return shapes.diameters(self, mask)

    def to_sitk(self) -> Any:
        """A SimpleITK image with the same voxels at the same places (needs SimpleITK)."""
        from plugins import conversion

        return conversion.to_sitk(self)

    def to_nifti(self) -> Any:
        """A NIfTI image of nibabel: axes (column, row, slice), affine to RAS (needs nibabel)."""
        from plugins import conversion

        return conversion.to_nifti(self)

    def from_sitk(self, image: Any) -> NDArray[Any]:
        """The array of a SimpleITK image, such as a mask, on this volume's axes; it must be of the same voxels."""
        from plugins import conversion

        return conversion.from_sitk(self, image)

    def from_nifti(self, image: Any) -> NDArray[Any]:
        """The array of a NIfTI image, such as a mask, on this volume's axes; it must be of the same voxels."""
        from plugins import conversion

        return conversion.from_nifti(self, image)
