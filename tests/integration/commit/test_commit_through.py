"""`commit_through` with Orthanc as the archive: it opens associations of its own to report (case 70)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.ledger import commitments
from node.ledger.commitment import CommitmentStatus
from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from tests.support.dimse.commitment import Requester
from tests.support.programs.orthanc import Orthanc
from tests.support.programs.peers import storescu
from tests.support.sites.site import Site, destination
from tests.support.wait import until


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return chest_series.write_series(Chest(size=32, slice_mm=46.0), tmp_path_factory.mktemp("ct"))


@pytest.fixture(scope="module")
def patient() -> Iterator[Requester]:
    """CT1 waits for the archive."""
    with Requester("CT1") as asking:
        yield asking


@pytest.fixture(scope="module")
def hasty() -> Iterator[Requester]:
    """CT2 waits for three seconds."""
    with Requester("CT2") as asking:
        yield asking


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc"), options={"DicomAssociationCloseDelay": 0}) as pacs:
        yield pacs


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, patient: Requester, hasty: Requester, archive: Orthanc
) -> Iterator[Site]:
    asking = {
        "ct1": patient.settings(commit_through="pacs"),
        "ct2": hasty.settings(commit_through="pacs", wait_for_archive="8s"),
    }
    destinations = {"pacs": destination("PACS", archive.dicom_port)}
    folder = tmp_path_factory.mktemp("site") / "node"
    with Site(folder, destinations, [], modalities=asking) as running:
        archive.put("/modalities/node", {"AET": "PACSNODE", "Host": "127.0.0.1", "Port": running.port})
        yield running


def test_fault_70_success_only_once_the_archive_has_all(
    site: Site, patient: Requester, archive: Orthanc, files: list[Path]
) -> None:
    """One image is not in the archive yet: nothing is reported, it is asked again, and once it has it, success."""
    assert storescu(archive.dicom_port, files[:2], called="PACS").returncode == 0
    with patient.association(site.port) as association:
        references = patient.send(association, files[:3])
        transaction = patient.ask(association, references)
        until(lambda: _lacking(site) == [references[2][1]], what="the archive to say what it lacks")
        assert patient.of(transaction) == []
        assert storescu(archive.dicom_port, files[2:3], called="PACS").returncode == 0
        (report,) = until(lambda: patient.of(transaction), what="the report")
    assert (report.event_type, report.committed) == (1, {uid for _, uid in references})


def test_fault_70_what_the_archive_never_has_fails_in_time(
    site: Site, hasty: Requester, archive: Orthanc, files: list[Path]
) -> None:
    """After `wait_for_archive`: failure with the archive's reason, and an alert; the rest is success."""
    assert storescu(archive.dicom_port, files[3:4], called="PACS").returncode == 0
    with hasty.association(site.port) as association:
        references = hasty.send(association, files[3:5])
        transaction = hasty.ask(association, references)
    (report,) = until(lambda: hasty.of(transaction), what="the report")
    assert report.committed == {references[0][1]}
    assert report.failed == {references[1][1]: 0x0112}
    said = site.status()
    assert [each["kind"] for each in said["alerts"]] == ["commitment.archive-late"]
    assert said["queues"]["commitments"]["reported"] >= 1


def _lacking(site: Site) -> list[str]:
    """What the archive said it does not have, of the newest request."""
    rows = commitments.with_status(site.ledger.database, [CommitmentStatus.AT_ARCHIVE])
    return [
        item.sop_instance_uid
        for row in rows
        for item in commitments.items(site.ledger.database, row.id)
        if item.archive_said == 0x0112
    ]
