"""Regions as Grayscale Softcopy Presentation State: drawn by the viewer over the source itself (PS3.3 A.33.1).

Written by hand: highdicom 0.28.2 wants one transformation for all images and refuses private SOP classes.
Colour images get none (that is another SOP class, which few viewers know): the pages show their regions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import isfinite

from highdicom.color import CIELabColor
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from node.results.context import Context, complete
from node.results.pages.display import meaning_of
from node.results.report.regions import LocatedRegion, locate
from node.results.source.copying import readable
from node.results.source.geometry import functional_group, pixel_aspect, plane_of
from node.results.source.images import SourceImage
from node.results.source.laterality import state_laterality
from node.results.source.marking import ascii_name
from node.results.source.values import problem_of
from node.results.tracking import finding_numbers
from plugins.contract import ImageReference

_LAYER = "AI"
_YELLOW = (255, 214, 10)


@dataclass(frozen=True)
class _NumberedRegion:
    """One region with the number that its finding has on the pages, its tracking identifier and what it is."""

    number: int
    name: str
    identifier: str
    located: LocatedRegion


def _regions(context: Context) -> list[_NumberedRegion]:
    """Every region on a greyscale image, numbered as on the pages."""
    result = context.request.result
    drawn = []
    everything = zip(result.findings, context.identifiers, finding_numbers(result), strict=True)
    for finding, identifiers, number in everything:
        # what has no regions has identifiers too
        for identifier, region in zip(identifiers, finding.regions, strict=False):
            located = locate(region, context.sources)
            if located is not None and _is_grey(located.image):
                drawn.append(_NumberedRegion(number, finding.code.meaning, identifier, located))
    return drawn


def _is_grey(image: SourceImage) -> bool:
    return image.code("PhotometricInterpretation").startswith("MONOCHROME")


def _first(dataset: Dataset, keyword: str) -> str:
    """The first of one or several numbers, as text within VR DS; empty where there is none that is right."""
    value = readable(dataset, keyword)
    try:
        first = float(value[0] if isinstance(value, MultiValue) else value)
    except (TypeError, ValueError):
        return ""
    return f"{first:.9g}" if isfinite(first) else ""


@dataclass(frozen=True, order=True)
class _Display:
    """What one presentation state says once for all its images (C.11.1, C.11.2, C.11.6, C.10.4)."""

    series: str
    rows: int
    columns: int
    spacing: tuple[str, ...]
    aspect: tuple[int, int]
    """Height and width of a pixel, for what has no spacing in the patient."""
    rescale: tuple[str, str, str]
    window: tuple[str, str]
    shape: str


def _display(context: Context, located: LocatedRegion) -> _Display:
    image, frame_number = located.image, located.frame_number
    header = image.header
    plane = plane_of(image, frame_number)
    rescale = functional_group(header, "PixelValueTransformationSequence", frame_number)
    voi = functional_group(header, "FrameVOILUTSequence", frame_number)
    window = (_first(voi, "WindowCenter"), _first(voi, "WindowWidth"))
    for key in context.request.result.key_images:
        if key.window and key.image == ImageReference(image.reference.sop_instance_uid, frame_number):
            window = (f"{key.window[0]:.9g}", f"{key.window[1]:.9g}")
    slope, intercept = _first(rescale, "RescaleSlope"), _first(rescale, "RescaleIntercept")
    meaning = meaning_of(header, frame_number)
    if meaning is None or meaning.table is not None:  # a window of values that this object would not make
        window = ("", "")
    given = bool(slope and intercept and meaning)
    unit = readable(rescale, "RescaleType")
    unit = unit if isinstance(unit, str) and unit and not problem_of("LO", unit) else "US"
    return _Display(
        series=image.reference.series_instance_uid,
        rows=int(header.Rows),
        columns=int(header.Columns),
        spacing=tuple(f"{value:.9g}" for value in plane.spacing) if plane else (),
        aspect=Fraction(pixel_aspect(image, frame_number)).limit_denominator(1000).as_integer_ratio(),
        rescale=(slope, intercept, unit) if given else ("", "", ""),
        window=window if all(window) and float(window[1]) > 0 else ("", ""),
        shape="INVERSE" if image.code("PhotometricInterpretation") == "MONOCHROME1" else "IDENTITY",
    )


def presentation_state_makers(context: Context) -> list[tuple[int, Callable[[], Dataset]]]:
    """Number and maker of one GSPS for all regions on images that are shown alike; none where no region lies on a
    greyscale image.
    """
    groups: dict[_Display, list[_NumberedRegion]] = {}
    for drawn in _regions(context):
        groups.setdefault(_display(context, drawn.located), []).append(drawn)
    return [
        (number, partial(_presentation_state, context, display, groups[display], number))
        for number, display in enumerate(groups, start=1)
    ]


def _presentation_state(context: Context, display: _Display, drawn: Sequence[_NumberedRegion], number: int) -> Dataset:
    made = Dataset()
    made.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    made.SOPInstanceUID = context.uids.instance(GrayscaleSoftcopyPresentationStateStorage, f"regions {number}")
    made.Modality = "PR"
    made.ContentLabel = "AI_REGIONS"
    made.ContentDescription = ascii_name(f"{context.marking}: regions")[:64]
    made.ContentCreatorName = ""
    made_at = context.local(context.request.result_made_at)
    made.PresentationCreationDate, made.PresentationCreationTime = (
        made_at.strftime("%Y%m%d"),
        made_at.strftime("%H%M%S"),
    )
    images = list({d.located.image.reference.sop_instance_uid: d.located.image for d in drawn}.values())
    state_laterality(made, images)
    series = Dataset()
    series.SeriesInstanceUID = display.series
    series.ReferencedImageSequence = [_reference(image) for image in images]
    made.ReferencedSeriesSequence = [series]
    made.GraphicAnnotationSequence = [_annotation(context, one) for one in drawn]
    made.GraphicLayerSequence = [_layer()]
    made.DisplayedAreaSelectionSequence = [_area(display)]
    if display.rescale[0]:
        made.RescaleSlope, made.RescaleIntercept, made.RescaleType = display.rescale
    if display.window[0]:
        voi = Dataset()
        voi.WindowCenter, voi.WindowWidth = display.window
        made.SoftcopyVOILUTSequence = [voi]
    made.PresentationLUTShape = display.shape
    complete(made, context, "pr", number)
    return made


def _reference(image: SourceImage, frame_number: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.reference.sop_class_uid
    item.ReferencedSOPInstanceUID = image.reference.sop_instance_uid
    if frame_number is not None and image.is_multi_frame:
        item.ReferencedFrameNumber = frame_number
    return item


def _layer() -> Dataset:
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = _LAYER, 1
    layer.GraphicLayerRecommendedDisplayCIELabValue = list(CIELabColor.from_rgb(*_YELLOW).value)
    return layer


def _area(display: _Display) -> Dataset:
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [display.columns, display.rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    if display.spacing:
        area.PresentationPixelSpacing = list(display.spacing)
    else:
        area.PresentationPixelAspectRatio = list(display.aspect)
    return area


def _annotation(context: Context, drawn: _NumberedRegion) -> Dataset:
    """The region in pixels from the top-left corner (C.10.5.1.2), its number and name at its right edge."""
    located, item, graphic, text = drawn.located, Dataset(), Dataset(), Dataset()
    outline = located.outline
    graphic.GraphicAnnotationUnits = "PIXEL"
    graphic.GraphicDimensions = 2
    graphic.NumberOfGraphicPoints = len(outline)
    graphic.GraphicData = [float(value) for value in outline.flatten()]
    graphic.GraphicType, graphic.GraphicFilled = located.graphic_type, "N"
    if located.graphic_type == "POINT":
        del graphic.GraphicFilled  # Type 1C: only of what can be closed
    graphic.TrackingID, graphic.TrackingUID = drawn.identifier, context.tracking_uid(drawn.identifier)
    text.AnchorPointAnnotationUnits = "PIXEL"
    text.AnchorPoint = [float(outline[:, 0].max()), float(outline[:, 1].min())]
    text.AnchorPointVisibility = "N"
    text.UnformattedTextValue = f"{drawn.number} {drawn.name}"
    item.ReferencedImageSequence = [_reference(located.image, located.frame_number)]
    item.GraphicLayer = _LAYER
    item.TextObjectSequence, item.GraphicObjectSequence = [text], [graphic]
    return item
