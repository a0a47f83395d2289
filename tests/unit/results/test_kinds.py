"""Heat maps, key images and regions as objects of their own, and that nothing is left out unsaid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from node.config.encoding import EncodingProfile, Kind
from node.results.context import prepare
from node.results.encode import encode
from node.results.encoded import EncodedObject
from node.results.errors import NotEncodableError
from node.results.pages import heat
from node.results.pages.key_slice import decode, key_slices
from node.results.tracking import finding_identifiers
from plugins.contract import Code, Heatmap, ImageReference, KeyImage, Result
from tests.support.results import reports

ACTIVATION = Code("130402", "DCM", "Class activation")
ALL: frozenset[Kind] = frozenset(("sr", "sc", "seg", "pm", "ko", "pr"))


def _encode(tmp_path: Path, result: Result, kind: str = "ct", kinds: frozenset[Kind] = ALL) -> dict[str, list[Dataset]]:
    paths = reports.write_series(kind, tmp_path / "in")
    made = encode(reports.request(paths, result, profile=EncodingProfile(kinds=kinds)), tmp_path / "out")
    return _by_kind(made)


def _by_kind(made: tuple[EncodedObject, ...]) -> dict[str, list[Dataset]]:
    found: dict[str, list[Dataset]] = {}
    for one in made:
        found.setdefault(one.kind, []).append(dcmread(one.path))
    return found


def _texts(report: Dataset) -> list[str]:
    found = [str(report.TextValue)] if "TextValue" in report else []
    return found + [text for item in report.get("ContentSequence", ()) for text in _texts(item)]


def _references(report: Dataset) -> set[str]:
    own = {str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence", ())}
    return own.union(*(_references(item) for item in report.get("ContentSequence", ())), set())


def _evidence(report: Dataset) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


# --- heat maps --------------------------------------------------------------------------------------


def test_a_heat_map_arrives_as_the_numbers_that_the_plugin_gave(tmp_path: Path) -> None:
    """Values, quantity, unit, order and source frames of a Parametric Map are the heat map's own."""
    frames = tuple(reports.frames("enhanced-ct")[::-1])
    values = np.random.default_rng(5).normal(size=(3, reports.ROWS, reports.COLUMNS)).astype(np.float32)
    result = replace(
        reports.nodule(frames[0]),
        heatmaps=(Heatmap(values, frames, ACTIVATION),),
    )
    (made,) = _encode(tmp_path, result, "enhanced-ct")["pm"]
    assert np.array_equal(np.frombuffer(made.FloatPixelData, "<f4").reshape(values.shape), values)
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130402"
    places = [
        (
            group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber,
            float(group.PlanePositionSequence[0].ImagePositionPatient[2]),
        )
        for group in made.PerFrameFunctionalGroupsSequence
    ]
    assert places == [(3, 10.0), (2, 5.0), (1, 0.0)]


def test_companions_carry_identity_marking_and_algorithm_and_stand_in_the_evidence(tmp_path: Path) -> None:
    """Each object of a set is of the same patient and study, marked, says who made it; the report lists all others."""
    made = _encode(tmp_path, reports.mapped(reports.reference("ct")))
    assert set(made) == {"sr", "sc", "pm", "ko", "pr"}
    (report,) = made["sr"]
    others = [each for kind in ("sc", "pm", "ko", "pr") for each in made[kind]]
    assert {str(each.SOPInstanceUID) for each in others} < _evidence(report)
    for each in [report, *others]:
        assert (each.PatientID, each.AccessionNumber, each.StudyInstanceUID) == ("12345678", "A0001", reports.STUDY_UID)
        assert each.SeriesDescription.startswith("AI-INV lung_density - ")
        algorithm = each.ContributingEquipmentSequence[0]
        assert (algorithm.ManufacturerModelName, algorithm.SoftwareVersions) == ("lung_density", "1.0.0")
        assert algorithm.DeviceUID == report.ContributingEquipmentSequence[0].DeviceUID
    assert len({str(each.SeriesInstanceUID) for each in [report, *others]}) == 5


def test_the_report_refers_to_the_parametric_map(tmp_path: Path) -> None:
    """The content tree names the map and says in words what it is."""
    made = _encode(tmp_path, reports.mapped(reports.reference("ct")))
    assert str(made["pm"][0].SOPInstanceUID) in _references(made["sr"][0])
    assert "Where the detector looked: Saliency, 0 to 0.94, frames: 1" in _texts(made["sr"][0])


@pytest.mark.parametrize("kind", ["dx", "us"])
def test_a_map_that_has_no_place_in_the_patient_is_shown_on_a_page(tmp_path: Path, kind: str) -> None:
    """The Parametric Map IOD wants a position for every frame: projections and ultrasound have the colour page."""
    made = _encode(tmp_path, reports.mapped(reports.reference(kind)), kind)
    assert "pm" not in made
    assert len(made["sc"]) == 3
    assert any("Where the detector looked" in text for text in _texts(made["sr"][0]))


def test_a_map_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    """Fault 73: it is of another image."""
    heatmap = Heatmap(np.zeros((1, 3, 4), np.float32), (reports.reference("ct"),), Code("130404", "DCM", "S"))
    with pytest.raises(NotEncodableError, match=r"Heatmap.values.*\(3, 4\).*\(64, 64\)"):
        _encode(tmp_path, replace(reports.no_findings(), heatmaps=(heatmap,)))


def test_the_page_shows_the_hottest_slice_in_colour(tmp_path: Path) -> None:
    """Where the map is high the page is light and yellow, where it is low the image is as it was."""
    paths = reports.write_series("us", tmp_path)
    context = prepare(reports.request(paths, reports.mapped(ImageReference(f"{reports.STUDY_UID}.2.1", 2))))
    key = key_slices(context)[-1]
    assert key.heatmap is not None
    assert (key.frame_number, key.reason) == (2, "Where the detector looked")
    shown = decode(context, key).draw((640, 640))
    red, green, blue = (int(value) for value in shown[270, 210])
    assert red > 180
    assert red > blue
    assert green > 150
    assert tuple(shown[600, 600]) == (90, 90, 90)


def test_colours_grow_ever_lighter() -> None:
    """The scale reads without colour vision and in greyscale print."""
    light = heat.colours(np.linspace(0, 1, 50)) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all()


def test_numbers_of_the_scale_are_for_people() -> None:
    """What is nothing against the span is 0; a map of one value has a scale too."""
    frame = (ImageReference("1.2"),)
    quantity = Code("130404", "DCM", "Saliency")
    assert heat.range_text(Heatmap(np.array([[1e-9, 0.876543]], np.float32), frame, quantity)) == "0 – 0.877"
    assert heat.value_range(Heatmap(np.full((1, 2, 2), 3, np.float32), frame, quantity)) == (3.0, 4.0)


# --- key images -------------------------------------------------------------------------------------


def test_key_images_are_selected_once_with_all_their_frames(tmp_path: Path) -> None:
    """Two frames of one image make one item; the text has the marking and the reasons."""
    keys = tuple(KeyImage(frame, reason) for frame, reason in zip(reports.frames("us"), ("a", "b", "a"), strict=True))
    (document,) = _encode(tmp_path, replace(reports.no_findings(), key_images=keys), "us")["ko"]
    title = document.ConceptNameCodeSequence[0]
    assert (title.CodeValue, document.Modality) == ("113000", "KO")
    images = [item for item in document.ContentSequence if item.ValueType == "IMAGE"]
    assert [list(item.ReferencedSOPSequence[0].ReferencedFrameNumber) for item in images] == [[1, 2, 3]]
    (text,) = [text for text in _texts(document) if text.startswith("AI-INV lung_density")]
    assert text.endswith("a; b")
    assert _evidence(document) == {f"{reports.STUDY_UID}.2.1"}


# --- presentation states ----------------------------------------------------------------------------


def test_every_region_is_drawn_where_it_is_under_its_tracking_uid(tmp_path: Path) -> None:
    """Point, line, box, polygon and ellipse: graphic type, pixels and tracking UID equal the report's."""
    result = reports.regions(reports.reference("dx"))
    made = _encode(tmp_path, result, "dx")
    (state,) = made["pr"]
    assert (state.PresentationLUTShape, state.Modality) == ("INVERSE", "PR")  # the image is MONOCHROME1
    graphics = [item.GraphicObjectSequence[0] for item in state.GraphicAnnotationSequence]
    types = [graphic.GraphicType for graphic in graphics]
    assert types == ["POINT", "POLYLINE", "POLYLINE", "POLYLINE", "ELLIPSE"]
    assert list(graphics[2].GraphicData) == [10.0, 20.0, 30.0, 20.0, 30.0, 40.0, 10.0, 40.0, 10.0, 20.0]
    assert [graphic.TrackingID for graphic in graphics] == list(finding_identifiers(result))
    assert {str(graphic.TrackingUID) for graphic in graphics} == _tracking_uids(made["sr"][0])


def _tracking_uids(report: Dataset) -> set[str]:
    own = set()
    if "UID" in report and report.ConceptNameCodeSequence[0].CodeValue == "112040":
        own = {str(report.UID)}
    return own.union(*(_tracking_uids(item) for item in report.get("ContentSequence", ())), set())


def test_the_window_is_the_key_images_or_the_sources(tmp_path: Path) -> None:
    """A presentation state shows the image as the plugin asked, else as the image itself says."""
    image = reports.reference("ct")
    (state,) = _encode(tmp_path / "own", reports.regions(image))["pr"]
    assert (state.SoftcopyVOILUTSequence[0].WindowCenter, state.RescaleSlope) == (-600, 1)
    asked = replace(reports.regions(image), key_images=(KeyImage(image, "x", (40.0, 400.0)),))
    (state,) = _encode(tmp_path / "asked", asked)["pr"]
    assert (state.SoftcopyVOILUTSequence[0].WindowCenter, state.SoftcopyVOILUTSequence[0].WindowWidth) == (40, 400)


def test_colour_images_get_no_greyscale_presentation_state(tmp_path: Path) -> None:
    """Ultrasound in colour: its regions are in the report and on the pages."""
    assert "pr" not in _encode(tmp_path, reports.regions(reports.reference("us")), "us")


# --- nothing is left out unsaid ---------------------------------------------------------------------


def test_what_a_destination_does_not_get_stands_in_its_report(tmp_path: Path) -> None:
    """A profile of the report alone: segmentation, heat map and picture are named as not sent."""
    frames = reports.frames("ct")
    picture = reports.illustrated(frames[0]).pictures
    heatmaps = reports.mapped(frames[0]).heatmaps
    result = replace(reports.segmented(frames), pictures=picture, heatmaps=heatmaps)
    made = _encode(tmp_path / "sr", result, kinds=frozenset({"sr"}))
    texts = _texts(made["sr"][0])
    assert {"Segmentation", f"Picture: {picture[0].caption}", "Heat map: Where the detector looked"} <= set(texts)
    made = _encode(tmp_path / "all", result)
    assert not {"Segmentation", "Heat map: Where the detector looked"} & set(_texts(made["sr"][0]))


def test_an_empty_segmentation_is_named(tmp_path: Path) -> None:
    """All background is nothing to send; the report says that it was so."""
    segmentation = reports.lungs(reports.frames("ct"))
    empty = replace(segmentation, labels=np.zeros_like(segmentation.labels))
    made = _encode(tmp_path, replace(reports.measured(), segmentation=empty))
    assert "seg" not in made
    assert "Segmentation (it is empty)" in _texts(made["sr"][0])
