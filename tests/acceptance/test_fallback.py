"""A whole node and a PACS that refuses the SOP class of its reports; kill -9 on the way to the one that it takes."""

from __future__ import annotations

from pathlib import Path

from pydicom.uid import SecondaryCaptureImageStorage

from node.dicom.report_classes import SOP_CLASSES
from node.ledger import deliveries
from node.ledger.delivery import DeliveryStatus
from node.reading import reader
from tests.acceptance.in_the_pacs import send, small_ct
from tests.support.dimse.choosy_pacs import ChoosyPACS
from tests.support.sites.site import Site, destination
from tests.support.wait import until

OBJECTS = 3  # the SR, its summary page, the plugin's picture
FILE_THERE_BEFORE_ROWS = "node.results.making:ObjectMaker.report_alone:after"


def test_fault_55_node_killed_while_it_makes_a_refused_report_anew(tmp_path: Path) -> None:
    """The PACS refuses Comprehensive 3D SR, the node dies and goes on: one Comprehensive SR is there, and its pages."""
    ct = small_ct(tmp_path / "ct")
    environment = {"PACSNODE_TEST_KILL": FILE_THERE_BEFORE_ROWS, "PACSNODE_TEST_KILL_ONCE": str(tmp_path / "killed")}
    with ChoosyPACS(tmp_path / "pacs", {SOP_CLASSES["comprehensive-3d"]}) as pacs:
        pacs.put(ct.files)
        target = destination("PACS", pacs.port, sr_class="comprehensive-3d")
        with Site(tmp_path / "node", {"pacs": target}, environment=environment) as site:
            send(ct, site)
            until((tmp_path / "killed").exists, what="the node to be killed")
            site.wait_delivered(ct.study, OBJECTS)
            warnings = site.status()["health"]["warnings"]
            sent = deliveries.results_of_study(site.ledger.database, ct.study)
        assert pacs.classes() == {SOP_CLASSES["comprehensive"]: 1, SecondaryCaptureImageStorage: OBJECTS - 1}
        assert pacs.received_again == 0
        (report,) = [each for each in pacs.results() if each.Modality == "SR"]
        assert reader.read_sr(report).findings
        (refused,) = [each for each in sent if each.status is not DeliveryStatus.DELIVERED]
        successor = next(each for each in sent if each.id == refused.successor)
        assert (refused.status, successor.item) == (DeliveryStatus.REPLACED, report.SOPInstanceUID)
        assert [each for each in warnings if "set sr_class: comprehensive for pacs" in each]
