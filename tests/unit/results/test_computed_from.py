"""What a report says of the earlier results that its numbers rest on."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from node.config.encoding import EncodingProfile
from node.results.request import ComputedFrom
from tests.support.results.earlier_results import SEGMENTATION, report_of

SAID = "Computed from the result of the step lungs (finds 3), which is an AI result, too"


def _items(item: Dataset, value_type: str) -> list[Dataset]:
    found = [item] if item.get("ValueType") == value_type else []
    return found + [one for child in item.get("ContentSequence", ()) for one in _items(child, value_type)]


def _named(item: Dataset) -> list[str]:
    return [str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for one in _items(item, "IMAGE")]


def _evidence(report: Dataset) -> dict[str, str]:
    return {
        str(one.ReferencedSOPInstanceUID): str(one.ReferencedSOPClassUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


@pytest.mark.parametrize("sr_class", ["comprehensive", "comprehensive-3d", "enhanced"])
def test_every_number_names_the_segmentation_that_it_was_computed_from(tmp_path: Path, sr_class: str) -> None:
    """As Source of Measurement (TID 320); in the tree it stands by itself, and the evidence lists it."""
    profile = EncodingProfile.model_validate({"sr_class": sr_class, "kinds": ["sr"]})
    report = dcmread(report_of(tmp_path, (SEGMENTATION,), profile))
    uid = SEGMENTATION.sop_instance_uid
    numbers = _items(report, "NUM")
    assert numbers
    assert all(uid in _named(number) for number in numbers)
    assert _named(report).count(uid) == len(numbers) + 1
    assert _evidence(report)[uid] == SegmentationStorage
    assert SAID in [one.TextValue for one in _items(report, "TEXT")]


def test_a_destination_without_segmentations_is_told_in_words_alone(tmp_path: Path) -> None:
    """No reference dangles: the sentence is there, and the evidence is what it would be without."""
    plain = dcmread(report_of(tmp_path / "plain", None))
    told = dcmread(report_of(tmp_path / "told", ()))
    assert SAID in [one.TextValue for one in _items(told, "TEXT")]
    assert SAID not in [one.TextValue for one in _items(plain, "TEXT")]
    assert _evidence(told) == _evidence(plain)
    assert sorted(_named(told)) == sorted(_named(plain))


def test_where_readers_edit_regions_numbers_name_their_region_alone(tmp_path: Path) -> None:
    """OHIF takes a number over with its region; the segmentation is named in the tree."""
    profile = EncodingProfile.model_validate({"kinds": ["sr"], "editable": True})
    report = dcmread(report_of(tmp_path, (SEGMENTATION,), profile))
    assert all(SEGMENTATION.sop_instance_uid not in _named(number) for number in _items(report, "NUM"))
    assert SEGMENTATION.sop_instance_uid in _named(report)


def test_what_a_result_was_computed_from_survives_the_ledger() -> None:
    """Equal ones are equal texts, so that nothing is encoded twice; none is no text."""
    those = (ComputedFrom("lungs", "finds", "3", (SEGMENTATION,)), ComputedFrom("lobes", "parts", "1"))
    assert ComputedFrom.all_from_json(ComputedFrom.all_to_json(those)) == those
    assert ComputedFrom.all_to_json(()) == ""
    assert ComputedFrom.all_from_json("") == ()
