"""How a destination wants its results: each part of its profile changes the objects as it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from pydicom import Dataset, dcmread

from node.config.destinations import PRESETS, DicomDestination
from node.config.encoding import EncodingProfile
from node.results.encode import encode
from plugins.contract import Result, ResultStatus
from tests.support.results import reports
from tests.support.sites.result_site import PACS


def _encode(folder: Path, result: Result | None = None, **destination: Any) -> list[tuple[str, Dataset]]:
    profile = DicomDestination.model_validate(PACS | destination).encoding
    paths = reports.write_series("ct", folder / "in")
    result = result or reports.mapped(reports.reference("ct"))
    made = encode(reports.request(paths, result, profile=profile), folder / "out")
    return [(one.kind, dcmread(one.path)) for one in made]


def test_a_destination_of_which_nothing_is_said_has_the_encoders_defaults() -> None:
    """Two places say the defaults; they are the same."""
    assert DicomDestination.model_validate(PACS).encoding == EncodingProfile()


@pytest.mark.parametrize(
    ("result", "kinds"),
    [(reports.no_findings(), ["sr"]), (reports.failed(), ["sc", "sr"]), (reports.not_applicable(), [])],
)
def test_send_when_says_what_each_end_of_a_job_is_sent_as(tmp_path: Path, result: Result, kinds: list[str]) -> None:
    """By status; a status that is not named is sent as all kinds."""
    made = _encode(tmp_path, result, send_when={"no_findings": ["sr"], "not_applicable": []})
    assert [kind for kind, _ in made] == kinds


@pytest.mark.parametrize("status", ["findings", "no_findings", "failed"])
def test_silence_is_refused_where_it_would_look_like_a_negative(status: str) -> None:
    """An end that must be told has a report or a page."""
    with pytest.raises(ValidationError, match=f"{status} must be sent as sr or sc"):
        DicomDestination.model_validate(PACS | {"send_when": {status: ["seg"]}})


def test_pages_as_frames_of_one_object_are_the_same_pages(tmp_path: Path) -> None:
    """Multi-frame True Color SC: as many frames as there were pages in one object, pixel by pixel the same.

    Frames are all as tall as the tallest page, so the foot of a lower one stands lower.
    """
    single = [page for kind, page in _encode(tmp_path / "single") if kind == "sc"]
    ((_, one),) = [made for made in _encode(tmp_path / "multi", sc_form="multi-frame") if made[0] == "sc"]
    assert one.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.4"
    assert list(one.PageNumberVector) == [1, 2, 3]
    pages = [page.pixel_array for page in single]
    assert len(one.pixel_array) == len(pages)
    assert max(len(page) for page in pages) == one.Rows
    for frame, page in zip(one.pixel_array, pages, strict=True):
        unlike = np.flatnonzero((frame[: len(page)] != page).any(axis=(1, 2)))
        foot = unlike[0] if unlike.size else len(page)
        assert np.array_equal(frame[len(frame) - len(page) + foot :], page[foot:])
        assert foot > len(page) / 2, "what differs is the foot"


def test_one_page_as_multi_frame_points_at_no_increment(tmp_path: Path) -> None:
    """C.8.6.3: with one frame Frame Increment Pointer may not be there, nor then the vector that it would point to."""
    made = _encode(tmp_path, reports.failed(), sc_form="multi-frame")
    (page,) = [dataset for kind, dataset in made if kind == "sc"]
    assert (page.NumberOfFrames, "FrameIncrementPointer" in page, "PageNumberVector" in page) == (1, False, False)


def test_segmentation_as_label_map(tmp_path: Path) -> None:
    """Label Map Segmentation Storage: the plugin's own labels, and the report refers to that object, by its class."""
    result = reports.segmented(reports.frames("ct"))
    assert result.segmentation is not None
    made = dict(_encode(tmp_path, result, seg_form="label-map"))
    seg, report = made["seg"], made["sr"]
    assert (seg.SOPClassUID, seg.SegmentationType) == ("1.2.840.10008.5.1.4.1.1.66.7", "LABELMAP")
    assert np.array_equal(seg.pixel_array, result.segmentation.labels)
    assert [item.SegmentNumber for item in seg.SegmentSequence if item.SegmentNumber] == [1, 2]
    references = [item for item in report.iterall() if item.keyword == "ReferencedSOPSequence"]
    found = {
        (ref.ReferencedSOPClassUID, "ReferencedSegmentNumber" in ref)
        for element in references
        for ref in element.value
        if ref.ReferencedSOPInstanceUID == seg.SOPInstanceUID
    }
    assert found == {(seg.SOPClassUID, True), (seg.SOPClassUID, False)}  # in the groups, and as evidence


def test_series_numbers_and_descriptions(tmp_path: Path) -> None:
    """The site's base and text; the marking still comes first."""
    for kind, made in _encode(tmp_path, series_number_base=700, series_text="chest"):
        assert 700 < made.SeriesNumber < 1700, kind
        assert made.SeriesDescription.startswith("AI-INV lung_density - chest ")
        assert len(made.SeriesDescription) <= 64


def test_transfer_syntax(tmp_path: Path) -> None:
    """An archive that takes nothing but Implicit VR Little Endian gets that."""
    syntaxes = {str(made.file_meta.TransferSyntaxUID) for _, made in _encode(tmp_path, transfer_syntax="implicit")}
    assert syntaxes == {"1.2.840.10008.1.2"}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_objects_that_pass_the_gate(tmp_path: Path, preset: str) -> None:
    """What a preset sets is possible; a key that is given itself counts more."""
    made = dict(_encode(tmp_path, preset=preset, language="ko"))
    fewer = {"pictures-only": {"sr", "sc"}, "ohif": {"sr", "sc"}, "research": {"sr", "sc", "pm", "ko", "pr"}}
    assert fewer.get(preset, {"sr", "sc", "pm", "ko"}) == set(made)
    air = preset in {"ai-results", "research"}
    assert made["sr"].SOPClassUID == f"1.2.840.10008.5.1.4.1.1.88.{34 if air else 33}"
    given = DicomDestination.model_validate(PACS | {"preset": preset, "sr_class": "enhanced"})
    assert (given.sr_class, given.preset) == ("enhanced", preset)


@pytest.mark.parametrize("result", [reports.not_applicable(), reports.failed()])
@pytest.mark.parametrize("keys", [{"preset": "pictures-only"}, {"kinds": ["sc"]}, {"kinds": ["sc", "seg"]}])
def test_finding_r6_who_sees_pictures_alone_gets_a_page_of_every_answer(
    tmp_path: Path, keys: dict[str, Any], result: Result
) -> None:
    """A viewer of pictures shows no report: "not applicable" and "failed" are pages there, never silence."""
    paths = reports.write_series("ct", tmp_path / "in", 1)
    profile = DicomDestination.model_validate(PACS | keys).encoding
    assert "sc" in {made.kind for made in encode(reports.request(paths, result, profile=profile), tmp_path / "out")}


@pytest.mark.parametrize("status", ["not_applicable", "failed", "no_findings"])
def test_finding_r6_pages_cannot_be_switched_off_where_nothing_else_is_shown(status: str) -> None:
    """A report is accompanied by its page; nothing at all is refused when the configuration is read."""
    given = DicomDestination.model_validate(PACS | {"preset": "pictures-only", "send_when": {status: ["sr"]}})
    assert given.encoding.kinds_for(ResultStatus(status)) == {"sr", "sc"}
    with pytest.raises(ValidationError, match=f"{status} must be sent as"):
        DicomDestination.model_validate(PACS | {"preset": "pictures-only", "send_when": {status: []}})
