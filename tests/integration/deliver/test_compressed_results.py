"""Compressed results at archives of other makers: those that take them, and those that take nothing compressed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from node.ledger.delivery import DeliveryStatus
from node.results.encoded import EncodedSet
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.storescp import StoreSCP
from tests.support.results import reports
from tests.support.sites.outbox_room import OutboxRoom


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> EncodedSet:
    """A report, a page, a segmentation and a heat map, as the node keeps them."""
    folder = tmp_path_factory.mktemp("results")
    result = replace(reports.segmented(reports.frames("ct")), heatmaps=reports.mapped(reports.reference("ct")).heatmaps)
    return reports.whole(reports.request(reports.write_series("ct", folder / "in"), result), folder / "out")


def _deliver(results: EncodedSet, data: Path, port: int) -> OutboxRoom:
    """Send them all; what the node keeps is not touched, and no copy is left."""
    room = OutboxRoom(data, port, identity_check="none")
    for one in results:
        room.put(one.path, one.sop_instance_uid, one.sop_class_uid, one.study_instance_uid)
    room.run()
    room.outbox.close()
    assert {room.status(one.sop_instance_uid) for one in results} == {DeliveryStatus.DELIVERED}
    assert all(hashlib.sha256(one.path.read_bytes()).hexdigest() == one.sha256 for one in results)
    assert [*(data / "outgoing").rglob("*.dcm")] == []
    return room


def _same(sent: Dataset, kept: Dataset) -> bool:
    """The same elements, but for how the pixels are written."""
    for dataset in (sent, kept):
        for keyword in ("PixelData", "FloatPixelData"):
            if keyword in dataset:
                pixels = np.ascontiguousarray(dataset.pixel_array).tobytes()
                dataset.add_new(keyword, "OB", pixels)  # implicit VR does not state the VR
    return sent == kept


@pytest.mark.parametrize(
    ("options", "syntax"),
    [((), ExplicitVRLittleEndian), (("+xi",), ImplicitVRLittleEndian)],
    ids=["uncompressed", "implicit"],
)
def test_finding_r13_an_archive_that_takes_nothing_compressed_gets_all(
    results: EncodedSet, tmp_path: Path, options: Sequence[str], syntax: str
) -> None:
    """dcmtk's storescp gets each object in what it takes, under its own UID, with the same elements and pixels."""
    with StoreSCP(tmp_path / "archive", options=options) as archive:
        _deliver(results, tmp_path / "data", archive.port)
    stored = {each.SOPInstanceUID: each for each in map(dcmread, (tmp_path / "archive").iterdir())}
    assert stored.keys() == {one.sop_instance_uid for one in results}
    for one in results:
        sent = stored[one.sop_instance_uid]
        assert sent.file_meta.TransferSyntaxUID == syntax, one.kind
        assert _same(sent, dcmread(one.path)), one.kind


def test_finding_r13_an_archive_that_takes_everything_gets_the_small_form(results: EncodedSet, tmp_path: Path) -> None:
    """dcmtk's storescp with all transfer syntaxes gets the very bytes that the node keeps."""
    with StoreSCP(tmp_path / "archive", options=("+xa",)) as archive:
        _deliver(results, tmp_path / "data", archive.port)
        stored = archive.data_sets()
    small = {"sc": JPEGLSLossless, "seg": DeflatedExplicitVRLittleEndian, "pm": DeflatedExplicitVRLittleEndian}
    for one in results:
        syntax, data_set = stored[one.sop_instance_uid]
        assert syntax == small.get(one.kind, ExplicitVRLittleEndian)
        assert one.path.read_bytes().endswith(data_set)


def test_finding_r13_orthanc_takes_the_small_form_and_shows_it(results: EncodedSet, tmp_path: Path) -> None:
    """Orthanc stores pages as JPEG-LS and maps deflated, and reads all of them."""
    with Orthanc(tmp_path / "pacs") as pacs:
        _deliver(results, tmp_path / "data", pacs.dicom_port)
        stored = {each.SOPInstanceUID: each for each in (dcmread(BytesIO(content)) for content in pacs.files())}
    for one in results:
        kept, held = dcmread(one.path), stored[one.sop_instance_uid]
        assert held.file_meta.TransferSyntaxUID == kept.file_meta.TransferSyntaxUID
        assert _same(held, kept), one.kind
