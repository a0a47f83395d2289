"""A box that does not take the transfer syntax in which images came: without loss in another one, or not at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, JPEGLSNearLossless, RLELossless

from node.ledger.job import JobOutcome, JobStatus
from tests.support.dimse.vendor_box import VendorBox
from tests.support.images.receipts import ct
from tests.support.sites.box_room import BoxRoom

Make = Callable[..., BoxRoom]
_OLD = {"syntaxes": [str(ImplicitVRLittleEndian)]}


def _syntax(image: Dataset) -> str:
    return str(image.file_meta.TransferSyntaxUID)


@pytest.mark.parametrize("box", [_OLD], indirect=True)
def test_a_box_that_takes_implicit_vr_alone_gets_the_same_pixels(make: Make, box: VendorBox) -> None:
    """As a PACS does: of what is compressed without loss nothing is lost, so the UIDs stay."""
    room = make(identity="full")
    job = room.study_with_job(3, syntax=str(JPEGLSLossless))
    room.send()
    assert {_syntax(each) for each in box.received} == {str(ImplicitVRLittleEndian)}
    for number, image in enumerate(box.received, start=1):
        assert np.array_equal(image.pixel_array, np.frombuffer(ct(number).PixelData, "<i2").reshape(64, 64))
        assert image.SOPInstanceUID == f"{image.StudyInstanceUID}.1.{number}"
    room.arrives([box.report()])
    room.passes(seconds=31)
    assert room.get(job).outcome is JobOutcome.FINDINGS
    assert [each.name for each in (room.data_folder.data / "boxes").rglob("*.dcm")] == []


@pytest.mark.parametrize(
    "box", [{"syntaxes": [str(JPEGLSLossless), str(ExplicitVRLittleEndian)]}], indirect=True, ids=["jpeg-ls"]
)
def test_a_box_that_takes_them_as_they_came_gets_them_so(make: Make, box: VendorBox) -> None:
    """Nothing is changed that need not be."""
    room = make()
    room.study_with_job(2, syntax=str(JPEGLSLossless))
    room.send()
    assert [_syntax(each) for each in box.received] == [str(JPEGLSLossless)] * 2


@pytest.mark.parametrize("box", [_OLD], indirect=True)
def test_what_is_compressed_with_loss_is_never_decompressed_for_a_box(make: Make, box: VendorBox) -> None:
    """Decoders differ: the attempt ends, and the reason names the transfer syntax."""
    room = make()
    job = room.study_with_job(2, syntax=str(JPEGLSNearLossless))
    room.send()
    now = room.get(job)
    assert (now.status, now.outcome, box.received) == (JobStatus.ENDED, JobOutcome.FAILED, [])
    assert "cad refuses 1 of 2 images" in str(now.error) or "cad refuses 2 of 2 images" in str(now.error)
    assert str(JPEGLSNearLossless) in str(now.error)


@pytest.mark.parametrize("box", [_OLD], indirect=True)
def test_an_image_that_cannot_be_decoded_ends_the_attempt(make: Make, box: VendorBox) -> None:
    """It is not left out: a box that has a part of a series would analyse that."""
    room = make()
    job = room.study_with_job(2, syntax=str(RLELossless))  # it says so, and is none
    room.send()
    now = room.get(job)
    assert (now.status, now.outcome, box.received) == (JobStatus.ENDED, JobOutcome.FAILED, [])
    assert "cad refuses" in str(now.error)
    assert "transfer syntax" in str(now.error)
