"""Results by STOW-RS into Orthanc, whose DICOMweb plugin is another maker's; identity by its QIDO-RS."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from node.config.web_destinations import DicomWebDestination
from node.deliver.outbox import Outbox
from node.deliver.ways import dicomweb
from node.ledger.delivery import DeliveryStatus
from node.results.encoded import EncodedSet
from node.stage import Node
from node.wake import Wakes
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.validators import dciodvfy
from tests.support.results import reports
from tests.support.sites.configurations import with_destinations
from tests.support.sites.outbox_room import OutboxRoom


def made(folder: Path) -> tuple[list[Path], EncodedSet]:
    """The images of a study, and a report, a page, a segmentation and a heat map of it."""
    result = replace(reports.segmented(reports.frames("ct")), heatmaps=reports.mapped(reports.reference("ct")).heatmaps)
    request = reports.request(reports.write_series("ct", folder / "in"), result)
    return sorted((folder / "in").rglob("*.dcm")), reports.whole(request, folder / "out")


def test_results_arrive_by_stow_rs_in_the_study_that_orthanc_has(tmp_path: Path) -> None:
    """They wait until QIDO-RS has the study; then each is there, byte for byte, and the report is valid."""
    images, results = made(tmp_path)
    with Orthanc(tmp_path / "pacs", dicomweb=True) as pacs:
        destination = DicomWebDestination(url=f"{pacs.url}/dicom-web")
        room = OutboxRoom(tmp_path / "data", 1)
        node = Node(room.ledger, room.data_folder, room.clock, Wakes())
        room.outbox = Outbox("pacs", node, with_destinations(pacs=destination))
        for one in results:
            room.put(one.path, one.sop_instance_uid, one.sop_class_uid, one.study_instance_uid)
        room.run()
        assert {room.status(one.sop_instance_uid) for one in results} == {DeliveryStatus.WAITING}
        way = dicomweb.archive(destination, "PACSNODE")
        with way.connect([]) as sender:
            assert {sender.store(each).code for each in images} == {"http:200"}
        room.clock.pass_(hours=1)
        room.run()
        room.outbox.close()
        assert {room.status(one.sop_instance_uid) for one in results} == {DeliveryStatus.DELIVERED}
        stored = {str(dcmread(BytesIO(each)).SOPInstanceUID): each for each in pacs.files()}
        assert all(stored[one.sop_instance_uid] == one.path.read_bytes() for one in results)
        (report,) = (one for one in results if one.kind == "sr")
        series = str(dcmread(report.path).SeriesInstanceUID)
        assert way.has_instance(report.study_instance_uid, series, report.sop_instance_uid)
        assert not way.has_instance(report.study_instance_uid, series, "1.2.3")
        assert series in {
            each["SeriesInstanceUID"] for each in way.find_series(reports.STUDY_UID, ["SeriesInstanceUID"])
        }
    (tmp_path / "there.dcm").write_bytes(stored[report.sop_instance_uid])
    assert dciodvfy(tmp_path / "there.dcm") == []
