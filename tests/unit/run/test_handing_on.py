"""The result of an earlier step on its way to a later one: under the same pseudonyms, and only on the same images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from node.dicom.confidentiality.key import Key
from node.run import handing_on
from node.run.handing_on import ResultsToHandOn, ResultUnusableError
from plugins import exchange, handed_on
from plugins.contract import (
    Code,
    Finding,
    ImageReference,
    Point,
    Result,
    ResultStatus,
    Segment,
    Segmentation,
)
from plugins.earlier import EarlierResult
from plugins.exchange import InputFile, InputResult, InputSeries, PluginReference, Request, RequestFacts

CODE = Code("1", "99TEST", "Thing")
SIZE = (4, 5)
KEY = Key(b"k" * 32, "PSEUDONYM", -30)


def _request(*uids: str) -> Request:
    files = tuple(InputFile(f"{uid}.dcm", uid, 1, "1.9", *SIZE) for uid in uids)
    return Request(
        "job-2",
        PluginReference("Later", "1", ""),
        RequestFacts("1.2"),
        (InputSeries("1.2.1", "CT", files),),
        results=(InputResult("mask", "first", "finds", "1"),),
    )


def _kept(folder: Path, *uids: str, finding: Finding | None = None) -> Path:
    """The folder of a result with a mask of these images, as the node keeps it."""
    (folder / exchange.OUT).mkdir(parents=True)
    labels = np.zeros((len(uids), *SIZE), np.uint8)
    labels[0, 1, 2:4] = 7
    mask = Segmentation(labels, tuple(ImageReference(uid) for uid in uids), (Segment(7, "Thing", CODE, CODE),))
    found = finding or Finding(CODE, True, segments=(7,))
    exchange.write_result(folder, Result(ResultStatus.FINDINGS, "Seen.", (found,), mask))
    return folder


def _handed(folder: Path, kept: Path, request: Request, key: Key | None = None) -> EarlierResult:
    handing_on.make(ResultsToHandOn({"mask": kept}, request, folder, key))
    return handed_on.read(folder / exchange.IN / "results" / "mask")


def test_a_mask_of_the_same_images_is_handed_on_as_it_is(tmp_path: Path) -> None:
    """Frames, segments and voxels, also where it has fewer images than the later step; the arrays are read again."""
    handed = _handed(tmp_path / "new", _kept(tmp_path / "kept", "1.2.1.2", "1.2.1.3"), _request("1.2.1.2", "1.2.1.3"))
    assert handed.segmentation is not None
    assert [each.sop_instance_uid for each in handed.segmentation.frames] == ["1.2.1.2", "1.2.1.3"]
    assert np.argwhere(np.asarray(handed.segmentation.labels)).tolist() == [[0, 1, 2], [0, 1, 3]]
    assert [(each.code, each.present, each.segments) for each in handed.findings] == [(CODE, True, (7,))]


@pytest.mark.parametrize("uids", [("1.2.1.2", "1.2.5.3"), ("1.2.5.1", "1.2.5.2")])
def test_a_mask_of_other_images_is_refused_and_never_handed_on_in_part(tmp_path: Path, uids: tuple[str, ...]) -> None:
    """Of one image or of all: the step is named, and nothing is in the job's folder."""
    kept, folder = _kept(tmp_path / "kept", *uids), tmp_path / "new"
    with pytest.raises(ResultUnusableError, match=r"of the step first cannot be used here: .*segmentation\.frames"):
        _handed(folder, kept, _request("1.2.1.1", "1.2.1.2"))
    assert not (folder / exchange.IN).exists()


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    """An image that was replaced by one of other rows has the same UID."""
    request = _request("1.2.1.1")
    (series,) = request.series
    other = replace(series, files=tuple(replace(each, rows=8) for each in series.files))
    with pytest.raises(ResultUnusableError, match="4 × 5 pixels a slice, its images have 8 × 5"):
        _handed(tmp_path / "new", _kept(tmp_path / "kept", "1.2.1.1"), replace(request, series=(other,)))


def test_what_a_finding_refers_to_has_the_pseudonyms_of_the_images(tmp_path: Path) -> None:
    """Frames of the mask, images and frames of reference of regions: no UID of the hospital is in the folder."""
    region = Point(np.array([[1.0, 2.0]]), image=ImageReference("1.2.1.1"))
    finding = Finding(CODE, True, segments=(7,), regions=(region,))
    kept, folder = _kept(tmp_path / "kept", "1.2.1.1", finding=finding), tmp_path / "new"
    handed = _handed(folder, kept, _request("1.2.1.1"), KEY)
    assert handed.segmentation is not None
    assert [each.sop_instance_uid for each in handed.segmentation.frames] == [KEY.uid("1.2.1.1")]
    (image,) = [each.image for found in handed.findings for each in found.regions]
    assert image == ImageReference(KEY.uid("1.2.1.1"))
    written = (folder / exchange.IN / "results" / "mask" / "result.json").read_text()
    assert "1.2.1.1" not in written
