"""Functional groups that the frames of a heat map and of a segmentation have in common (PS3.3 C.7.6.16.2)."""

from __future__ import annotations

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.results.source.geometry import FramePlane, slice_thickness
from node.results.source.images import SourceImage
from node.results.source.references import source_images


def state_size_and_direction(groups: Dataset, plane: FramePlane, image: SourceImage, frame_number: int) -> None:
    """Shared groups: pixel measures and plane orientation, as those of this source frame."""
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = [_decimal(value) for value in plane.spacing]
    measures.SliceThickness = slice_thickness(image, frame_number)
    orientation.ImageOrientationPatient = [_decimal(v) for v in (*plane.row_direction, *plane.column_direction)]
    groups.PixelMeasuresSequence, groups.PlaneOrientationSequence = [measures], [orientation]


def frame_groups(
    content: Dataset,
    image: SourceImage,
    frame_number: int,
    derivation: Code,
    *,
    spatial_locations_preserved: bool = True,
) -> Dataset:
    """Groups of one frame: its content, and the source frame that it was derived from in this way (CID 7203)."""
    groups, derived, source = Dataset(), Dataset(), source_images([image])[0]
    if image.is_multi_frame:
        source.ReferencedFrameNumber = frame_number
    source.SpatialLocationsPreserved = "YES" if spatial_locations_preserved else "NO"
    derived.SourceImageSequence = [source]
    derived.DerivationCodeSequence = [CodedConcept.from_code(derivation)]
    groups.FrameContentSequence, groups.DerivationImageSequence = [content], [derived]
    return groups


def state_position(groups: Dataset, plane: FramePlane) -> None:
    """Plane position of one frame."""
    place = Dataset()
    place.ImagePositionPatient = [_decimal(value) for value in plane.position]
    groups.PlanePositionSequence = [place]


def _decimal(value: float) -> str:
    """A number within the 16 characters of VR DS."""
    return f"{value:.9g}"
