"""Where an image lies, which side it is of and how it is shown: certain, or left out; never a guess."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGLSNearLossless

from node.config.encoding import EncodingProfile
from node.results.pages.key_slice import frame_pixels
from node.results.pages.overlay import breast_view
from node.results.source.geometry import patient_orientation, pixel_aspect, plane_of
from node.results.source.images import SourceImage, read_sources
from node.results.source.laterality import side_of
from plugins.contract import ImageReference, KeyImage, NotApplicableError
from tests.support.results import reports

Change = Callable[[Dataset], None]


def stated(**attributes: Any) -> Change:
    """The attributes in the image's header."""

    def change(dataset: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)

    return change


def item(**attributes: Any) -> Dataset:
    """One item of a sequence."""
    made = Dataset()
    stated(**attributes)(made)
    return made


def source(folder: Path, kind: str, change: Change) -> SourceImage:
    """An image of a kind, as the encoder reads it."""
    dataset = reports.SOURCES[kind](1)
    change(dataset)
    return read_sources((reports.write(dataset, folder / "image.dcm"),)).anchor


# --- where it lies -----------------------------------------------------------------------------------


def _plane_of_the_whole(dataset: Dataset) -> None:
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    dataset.PixelSpacing = [1, 1]


def _two_spacings(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[1].PixelMeasuresSequence = [item(PixelSpacing=[4, 4])]


def _two_positions(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence.append(item(ImagePositionPatient=[0, 0, 99]))


def _position_at_the_root(dataset: Dataset) -> None:
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    dataset.ImagePositionPatient = [0, 0, 0]


NOWHERE: dict[str, tuple[str, Change]] = {
    "cosines of zero": ("ct", stated(ImageOrientationPatient=[0] * 6)),
    "parallel directions": ("ct", stated(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])),
    "cosines of two": ("ct", stated(ImageOrientationPatient=[2, 0, 0, 0, 1, 0])),
    "one plane for all frames of a run": ("xa", _plane_of_the_whole),
    "two spacings of a frame": ("enhanced-ct", _two_spacings),
    "two positions of a frame": ("enhanced-ct", _two_positions),
    "one position for all frames": ("enhanced-ct", _position_at_the_root),
}


@pytest.mark.parametrize(("kind", "change"), NOWHERE.values(), ids=NOWHERE)
def test_finding_n3_a_place_that_is_not_certain_is_no_place(tmp_path: Path, kind: str, change: Change) -> None:
    """No millimetre is turned into a pixel by it, no position is stated under it, no side is drawn."""
    image = source(tmp_path, kind, change)
    assert plane_of(image, min(2, image.frames)) is None


def test_finding_n3_a_frame_has_the_place_of_its_functional_groups(tmp_path: Path) -> None:
    """Position of its own, direction and spacing shared, and said twice alike."""

    def change(dataset: Dataset) -> None:
        dataset.PerFrameFunctionalGroupsSequence[1].PixelMeasuresSequence = [item(PixelSpacing=[2.0, 2.0])]

    plane = plane_of(source(tmp_path, "enhanced-ct", change), 2)
    assert plane is not None
    assert (plane.position.tolist(), plane.spacing) == ([-100, -100, 5], (2.0, 2.0))


# --- which way is right ------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [["L", "L"], ["L", "R"], ["L", "LF"], ["LR", "F"], ["AP", "F"], ["l", "f"]])
def test_finding_n3_an_orientation_that_cannot_be_is_not_drawn(tmp_path: Path, orientation: list[str]) -> None:
    """Rows and columns in one direction, or a direction that is two: nobody knows where right is."""
    assert patient_orientation(source(tmp_path, "cr", stated(PatientOrientation=orientation))) is None


@pytest.mark.parametrize(
    ("orientation", "anatomy"),
    [(["L", "F"], ""), (["RA", "F"], "BIPED"), (["CD", "D"], ""), (["PA", "DI"], "QUADRUPED")],
)
def test_finding_n3_an_orientation_that_can_be_is_drawn(tmp_path: Path, orientation: list[str], anatomy: str) -> None:
    """Of people and of animals (C.7.6.1.1.1)."""
    change = stated(PatientOrientation=orientation, AnatomicalOrientationType=anatomy)
    assert patient_orientation(source(tmp_path, "cr", change)) == tuple(orientation)


@pytest.mark.parametrize(
    ("orientation", "drawn"),
    [(["L", "P"], ("L", "P")), (["L", "PF"], ("L", "P")), (["R", "P"], None), (["L", "A"], None)],
)
def test_finding_n3_letters_that_contradict_the_cosines_are_not_drawn(
    tmp_path: Path, orientation: list[str], drawn: tuple[str, str] | None
) -> None:
    """Mirrored by a program that changed one attribute of the two: which one is right is not certain."""
    assert patient_orientation(source(tmp_path, "ct", stated(PatientOrientation=orientation))) == drawn


def _coded(value: str, scheme: str, **attributes: Any) -> Change:
    side = item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="side")
    region = item(CodeValue="76752008", CodingSchemeDesignator="SCT", CodeMeaning="Breast")
    region.AnatomicRegionModifierSequence = [side]
    return stated(AnatomicRegionSequence=[region], **attributes)


def _of_frames(side: str, **attributes: Any) -> Change:
    group = item(FrameAnatomySequence=[item(FrameLaterality=side)])
    return stated(SharedFunctionalGroupsSequence=[group], **attributes)


SIDES: dict[str, tuple[Change, str]] = {
    "of the image": (stated(ImageLaterality="L"), "L"),
    "of the series": (stated(ImageLaterality="", Laterality="L"), "L"),
    "the same twice": (stated(ImageLaterality="L", Laterality="L"), "L"),
    "two sides": (stated(ImageLaterality="R", Laterality="L"), ""),
    "of the frames": (_of_frames("L", ImageLaterality=""), "L"),
    "of the frames, another": (_of_frames("L", ImageLaterality="R"), ""),
    "by code": (_coded("7771000", "SCT", ImageLaterality=""), "L"),
    "by an old code": (_coded("G-A101", "SRT", ImageLaterality=""), "L"),
    "by code, another": (_coded("7771000", "SCT", ImageLaterality="R"), ""),
    "by a code of something else": (_coded("261183002", "SCT", ImageLaterality="R"), "R"),
    "a side and both": (stated(ImageLaterality="B", Laterality="L"), ""),
}


@pytest.mark.parametrize(("change", "side"), SIDES.values(), ids=SIDES)
def test_finding_n3_a_side_that_is_contradicted_is_none(tmp_path: Path, change: Change, side: str) -> None:
    """Attributes, functional groups and coded regions say one side, or none is written and drawn."""
    image = source(tmp_path, "mg", change)
    assert side_of(image) == side
    assert breast_view(image) == (f"{side} CC" if side else "")


# --- how it is shown ---------------------------------------------------------------------------------

ASPECTS: dict[str, tuple[str, Change, float]] = {
    "imager": ("dx", stated(ImagerPixelSpacing=[0.2, 0.4]), 0.5),
    "scanned film": ("cr", stated(NominalScannedPixelSpacing=[0.2, 0.4]), 0.5),
    "ratio": ("us", stated(PixelAspectRatio=[2, 1]), 2.0),
    "functional group": (
        "xa",
        stated(SharedFunctionalGroupsSequence=[item(PixelMeasuresSequence=[item(PixelSpacing=[0.2, 0.4])])]),
        0.5,
    ),
    "nothing": ("xa", stated(), 1.0),
}


@pytest.mark.parametrize(("kind", "change", "aspect"), ASPECTS.values(), ids=ASPECTS)
def test_finding_n3_pixels_have_their_shape(tmp_path: Path, kind: str, change: Change, aspect: float) -> None:
    """Whatever attribute says how high a pixel is by its width, pages show it so."""
    assert pixel_aspect(source(tmp_path, kind, change)) == pytest.approx(aspect)


@pytest.mark.parametrize(("spacing", "aspect"), [([0.2, 0.4], [1, 2]), ([0.15, 0.1], [3, 2]), ([0.2, 0.2], [1, 1])])
def test_finding_n3_a_presentation_state_keeps_the_shape_of_pixels(
    tmp_path: Path, spacing: list[float], aspect: list[int]
) -> None:
    """A radiograph of pixels that are not square is not stretched under the regions that are drawn on it."""
    image = reports.dx()
    image.ImagerPixelSpacing = spacing
    result = reports.regions(reports.reference("dx"))
    profile = EncodingProfile(kinds=frozenset({"sr", "pr"}))
    paths = [reports.write(image, tmp_path / "image.dcm")]
    made = reports.whole(reports.request(paths, result, profile=profile), tmp_path / "out")
    (state,) = (dcmread(one.path) for one in made if one.kind == "pr")
    assert state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio == aspect


@pytest.mark.parametrize(("frame", "window"), [(2, [50, 400]), (1, [-600, 1500])])
def test_finding_n3_a_window_is_that_of_its_frame(tmp_path: Path, frame: int, window: list[int]) -> None:
    """The window that a plugin wants for one frame is not taken for another of the same image."""
    result = reports.regions(reports.reference("enhanced-ct"))
    key = KeyImage(ImageReference(reports.reference("enhanced-ct").sop_instance_uid, frame), "Look here", (50.0, 400.0))
    changed = reports.replace(result, key_images=(key,))
    profile = EncodingProfile(kinds=frozenset({"sr", "pr"}))
    paths = reports.write_series("enhanced-ct", tmp_path)
    made = reports.whole(reports.request(paths, changed, profile=profile), tmp_path / "out")
    windows = [dcmread(one.path).SoftcopyVOILUTSequence[0] for one in made if one.kind == "pr"]
    assert [[each.WindowCenter, each.WindowWidth] for each in windows] == [window]


CONTRADICTIONS: dict[str, Change] = {
    "twice the pixels": lambda dataset: setattr(dataset, "PixelData", dataset.PixelData * 2),
    "a column less": stated(Columns=reports.COLUMNS - 1),
}


@pytest.mark.parametrize("kind", ["ct", "us"])
@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_finding_n4_pixels_that_are_not_what_the_header_says_are_not_shown(
    tmp_path: Path, kind: str, change: Change
) -> None:
    """Grey or colour: no picture, not a sheared one or that of another frame."""
    with pytest.raises(NotApplicableError, match="bytes of pixel data"):
        frame_pixels(source(tmp_path, kind, change), 1)


def test_finding_n4_a_palette_of_sixteen_bits_that_holds_eight_is_not_black(tmp_path: Path) -> None:
    """A known slip of makers: the descriptor says 16 bits, the entries go to 255."""

    def change(dataset: Dataset) -> None:
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.NumberOfFrames = "PALETTE COLOR", 1, 1
        dataset.PixelData = bytes(range(256)) * (reports.ROWS * reports.COLUMNS // 256)
        for colour in ("Red", "Green", "Blue"):
            setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(dataset, f"{colour}PaletteColorLookupTableData", np.arange(256, dtype="<u2").tobytes())

    rgb, _ = frame_pixels(source(tmp_path, "us", change), 1)
    assert rgb[0, 50].tolist() == [50, 50, 50]


def test_finding_n4_a_voi_lut_that_begins_below_zero_is_applied_however_it_is_written(tmp_path: Path) -> None:
    """−900 as unsigned is 64636, beyond all values: the picture would be black."""
    pictures = []
    for first, vr in ((-900, "SS"), (64636, "US")):
        table = Dataset()
        table.add_new("LUTDescriptor", vr, [1000, first, 12])
        table.add_new("LUTData", "OW", np.linspace(0, 4095, 1000).astype("<u2").tobytes())

        def change(dataset: Dataset, table: Dataset = table) -> None:
            del dataset.WindowCenter, dataset.WindowWidth
            dataset.VOILUTSequence = [table]

        pictures.append(frame_pixels(source(tmp_path, "ct", change), 1)[0])
    assert np.array_equal(pictures[0], pictures[1])
    assert (pictures[0].min(), pictures[0].max()) == (0, 255)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSNearLossless])
def test_finding_n4_what_was_made_of_lossy_pixels_says_so(tmp_path: Path, syntax: UID) -> None:
    """These transfer syntaxes are for lossy images: a source that says nothing of it is lossy all the same."""
    paths = reports.write_series("cr", tmp_path)
    for path in paths:
        image = dcmread(path)
        image.file_meta.TransferSyntaxUID = syntax
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.PixelData = b"\xfe\xff\0\xe0\0\0\0\0"
        image.save_as(path)
    result = reports.segmented(reports.frames("cr"))
    profile = EncodingProfile(kinds=frozenset({"sr", "seg"}))
    made = reports.whole(reports.request(paths, result, profile=profile), tmp_path / "out")
    assert {dcmread(one.path).LossyImageCompression for one in made if one.kind == "seg"} == {"01"}
