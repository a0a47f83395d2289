"""Storage commitment of what was sent, over the network: an archive with every habit, and Orthanc (case 70)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.commit.asking import CommitmentRequester
from node.deliver.outbox import Outbox
from node.deliver.ways.dimse import peer_of
from node.dimse import commitment_scu
from node.dimse.demo_pacs import DemoPACS
from node.index.children import HeaderReader
from node.ledger import alerts, deliveries, studies
from node.ledger.delivery import DeliveryStatus
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.dimse.committing_pacs import CommittingPACS, ReportsBy
from tests.support.images.receipts import STUDY
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.sites.commit_room import CommitRoom, images
from tests.support.sites.index_room import room_of
from tests.support.sites.receiver import Receiver
from tests.support.sites.site import Site, destination, rule
from tests.support.wait import until

UIDS = [uid for _, uid in images(1, 2)]


class CommitSite:
    """A real receiver, and the stages of storage commitment run by hand over its data folder."""

    def __init__(self, receiver: Receiver, room: CommitRoom) -> None:
        self.receiver = receiver
        self.room = room
        self.requester = CommitmentRequester("pacs", room.node, room.journal, room.settings, peer_of)

    def ask(self, **passed: float) -> None:
        """Time passes, and what is due is asked for."""
        self.room.clock.pass_(**(passed or {"seconds": 6}))
        self.requester.run_once()

    def wait(self, **kept: str) -> None:
        """Until the commitments of the deliveries are these; `_1` is that of the first."""
        wanted = {name.lstrip("_"): state for name, state in kept.items()}

        def reached() -> bool:
            self.room.commit.run_once()
            return self.room.kept() == wanted

        until(reached, what=f"{wanted}")


@pytest.fixture(scope="module")
def reader() -> Iterator[HeaderReader]:
    made = HeaderReader(children=1)
    yield made
    made.close()


@pytest.fixture
def sites(tmp_path: Path, reader: HeaderReader, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CommitSite]]:
    """A node whose destination listens on this port."""
    monkeypatch.setattr(commitment_scu, "_REPORT_MAY_FOLLOW", 1.0)
    opened: list[Receiver] = []

    def make(port: int, **pacs: Any) -> CommitSite:
        settings = {"port": port, "timeout": "30s", "commitment": "require", **pacs}
        destinations = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", **settings}}
        modalities = {"ct1": {"ae_title": "CT1", "storage_commitment": {"host": "127.0.0.1", "port": 11199}}}
        receiver = Receiver(tmp_path / "node", destinations=destinations, modalities=modalities)
        opened.append(receiver)
        receiver.__enter__()
        return CommitSite(receiver, CommitRoom(room_of(receiver.data_folder, reader), settings))

    yield make
    for each in opened:
        each.__exit__()


@pytest.mark.parametrize("by", [ReportsBy.BEFORE, ReportsBy.SAME])
def test_fault_70_a_report_on_the_association_of_the_request(sites: Callable[..., CommitSite], by: ReportsBy) -> None:
    """Before or after the answer: it is taken, and what it says is so."""
    with CommittingPACS(by) as pacs:
        site = sites(pacs.port)
        site.room.sent(1, 2)
        site.ask()
        site.wait(_1="committed", _2="committed")
    assert pacs.answers == [0x0000]


@pytest.mark.parametrize("role", [True, False])
def test_fault_70_a_report_on_an_association_of_the_archive(sites: Callable[..., CommitSite], role: bool) -> None:
    """Late, in part, then twice: what it lacks alone is asked for again, and the second report does nothing new."""
    with CommittingPACS() as pacs:
        site = sites(pacs.port)
        pacs.node_port = site.receiver.port
        site.room.sent(1, 2)
        site.ask()
        site.wait(_1="asked", _2="asked")
        pacs.lacks, pacs.reason = {UIDS[1]}, 0x0110
        assert pacs.report(pacs.asked[0], role=role) == 0x0000
        site.wait(_1="committed", _2="wanted")
        site.ask(minutes=20)
        assert [each.uids for each in pacs.asked] == [["1", "2"], ["2"]]
        pacs.lacks = set()
        for _ in range(2):
            assert pacs.report(pacs.asked[1], role=role) == 0x0000
            site.wait(_1="committed", _2="committed")
    assert len(site.room.events("commitment.archive-answered")) == 2


def test_fault_70_an_archive_that_never_reports(sites: Callable[..., CommitSite]) -> None:
    """Asked again under another Transaction UID; in the end an alert; what it says after that still counts."""
    with CommittingPACS() as pacs:
        site = sites(pacs.port, commit_within="20m")
        pacs.node_port = site.receiver.port
        site.room.sent(1)
        site.ask()
        site.ask(minutes=16)
        assert len({each.transaction for each in pacs.asked}) == 2
        site.ask(minutes=16)
        assert site.room.kept() == {"1": "overdue"}
        assert [each.kind for each in alerts.open_ones(site.room.ledger.database, 9)] == ["commitment.overdue"]
        assert pacs.report(pacs.asked[0]) == 0x0000
        site.wait(_1="committed")


def test_fault_70_strangers_cannot_report(sites: Callable[..., CommitSite]) -> None:
    """The archive's name from another address, an AE that only asks, an unknown one: each is refused."""
    with CommittingPACS() as pacs:
        site = sites(pacs.port)
        pacs.node_port = site.receiver.port
        site.room.sent(1)
        site.ask()
        assert pacs.report(pacs.asked[0], address="127.0.0.2") is None
        assert pacs.report(pacs.asked[0], calling="CT1", role=False) == 0x0124
        assert pacs.report(pacs.asked[0], calling="NOBODY") is None
        site.room.commit.run_once()
        assert site.room.kept() == {"1": "asked"}
        (refused,) = site.receiver.events("receive.commitment-report-refused")
        assert refused["calling"] == "CT1"
        assert pacs.report(pacs.asked[0]) == 0x0000
        site.wait(_1="committed")


def test_a_destination_without_storage_commitment(sites: Callable[..., CommitSite], tmp_path: Path) -> None:
    """It stores and refuses the presentation context: an alert, and nothing is lost."""
    with DemoPACS(tmp_path / "pacs", "PACS") as pacs:
        site = sites(pacs.port)
        site.room.sent(1)
        site.ask()
    assert site.room.kept() == {"1": "wanted"}
    assert [each.kind for each in alerts.open_ones(site.room.ledger.database, 9)] == ["commitment.unsupported"]


def test_fault_70_orthanc_commits_itself_to_forwarded_images(sites: Callable[..., CommitSite], tmp_path: Path) -> None:
    """Orthanc has lost one of three: it says 0112, that one is sent again under its UID, and then all are committed."""
    with Orthanc(tmp_path / "orthanc", options={"DicomAssociationCloseDelay": 0}) as pacs:
        site = sites(pacs.dicom_port)
        pacs.put("/modalities/node", {"AET": "PACSNODE", "Host": "127.0.0.1", "Port": site.receiver.port})
        room = site.room
        room.to_forward(1, 2, 3)
        outbox = Outbox("pacs", room.node, room.settings)
        outbox.run_once()
        assert room.kept() == {"1": "wanted", "2": "wanted", "3": "wanted"}
        (lost,) = pacs.find("Instance", SOPInstanceUID=UIDS[1])
        pacs.delete(f"/instances/{lost['ID']}")
        site.ask()
        site.wait(_1="committed", _2="none", _3="committed")
        found = {each.item: each for each in deliveries.of_study(room.ledger.database, STUDY)}
        assert (found[UIDS[1]].status, found[UIDS[1]].resends) == (DeliveryStatus.WAITING, 1)
        outbox.run_once()
        outbox.close()
        site.ask()
        site.wait(_1="committed", _2="committed", _3="committed")
        assert len(pacs.find("Instance", StudyInstanceUID=STUDY)) == 3


def test_fault_70_a_node_has_results_and_images_committed(tmp_path: Path) -> None:
    """A whole node between a scanner and Orthanc: what it forwards and what it makes is committed; `status` says so."""
    forward = {"name": "forward", "when": {"Modality": "CT"}, "mode": "clinical", "forward": {"to": ["pacs"]}}
    files = chest_series.write_series(Chest(size=32, slice_mm=46.0), tmp_path / "ct")
    with Orthanc(tmp_path / "orthanc", options={"DicomAssociationCloseDelay": 0}) as pacs:
        destinations = {"pacs": destination("PACS", pacs.dicom_port, commitment="require")}
        with Site(tmp_path / "node", destinations, [rule(), forward]) as site:
            pacs.put("/modalities/node", {"AET": "PACSNODE", "Host": "127.0.0.1", "Port": site.port})
            assert storescu(site.port, files, called="PACSNODE", calling="CT1").returncode == 0

            def kept() -> list[str]:
                seen = studies.latest(site.ledger.database, 1)
                sent = [
                    each for one in seen for each in deliveries.of_study(site.ledger.database, one.study_instance_uid)
                ]
                return [each.commitment for each in sent] if any(not each.is_image for each in sent) else []

            until(lambda: set(kept()) == {"committed"}, 300, "everything to be committed")
            said = site.status()
    counts = said["queues"]["commitment_of_destinations"]["pacs"]
    assert counts["images"]["committed"] == len(files)
    assert counts["results"]["committed"] >= 1
    assert said["alerts"] == []
