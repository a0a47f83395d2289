"""Who comes first, who is away, who knows better: the node beside a PACS that lives its own life.

One node and one PACS serve most of them: each test sends studies of a patient of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.ledger import deliveries, events, instances, jobs, objects, outages, studies
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.reading import reader
from plugins.phantoms.chest_series import SeriesHeader
from tests.acceptance.conftest import MakeSite
from tests.acceptance.in_the_pacs import (
    CT,
    Hospital,
    assert_in_the_right_study,
    assert_is_what_the_node_made,
    held,
    numbers_in,
    opened_hospital,
    send,
    small_ct,
)
from tests.support.programs.orthanc import Orthanc
from tests.support.sites.site import Site, rule
from tests.support.wait import until


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with opened_hospital(tmp_path_factory.mktemp("hospital"), [rule()], {}, wait_for_study="1s") as running:
        yield running


OBJECTS = 3  # the SR, its summary page, the plugin's picture


def statuses(site: Site, study: str) -> list[DeliveryStatus]:
    return [each.status for each in deliveries.of_study(site.ledger.database, study)]


def received(site: Site, study: str, status: InstanceStatus) -> int:
    return len(instances.of_study(site.ledger.database, study, [status]))


def alerts_about(site: Site, study: str) -> list[dict[str, Any]]:
    return [each for each in site.status()["alerts"] if each["study_instance_uid"] == study]


def test_topology_1_the_pacs_forwards(hospital: Hospital, tmp_path: Path) -> None:
    """The modality knows the PACS alone, which forwards what it gets; forwarding our own results triggers nothing."""
    pacs, site = hospital.pacs, hospital.site
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_id="FORWARDED", accession_number="FORWARDED"))
    send(ct, pacs)
    (study,) = pacs.find("Study", StudyInstanceUID=ct.study)
    pacs.post("/modalities/PACSNODE/store", study["ID"])
    (job,) = site.wait_delivered(ct.study, OBJECTS)
    callers = {each.calling_ae_title for each in instances.of_study(site.ledger.database, ct.study)}
    assert callers == {pacs.ae_title}
    results = held(pacs, ct.study)
    assert_is_what_the_node_made(site, job, results)
    assert_in_the_right_study(pacs, ct, results)

    pacs.post("/modalities/PACSNODE/store", study["ID"])  # as it does when the study has grown: now with our results
    until(lambda: received(site, ct.study, InstanceStatus.OWN) == OBJECTS, what="our own results to be known as such")
    until(lambda: received(site, ct.study, InstanceStatus.DUPLICATE) == len(ct.files), what="the images to be known")
    assert site.wait_delivered(ct.study, OBJECTS) == [job]


def test_fault_70c_the_study_is_not_in_the_pacs_yet(hospital: Hospital, tmp_path: Path) -> None:
    """The results wait, with one alert when it takes long, and arrive when the study has; then the alert closes."""
    pacs, site = hospital.pacs, hospital.site
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_id="LATE", accession_number="LATE"))
    send(ct, site)
    until(lambda: len(statuses(site, ct.study)) == OBJECTS, what="the results to be in the outbox")
    until(lambda: alerts_about(site, ct.study), what="the alert")
    until(lambda: set(statuses(site, ct.study)) == {DeliveryStatus.WAITING}, what="the results to wait")
    assert pacs.find("Study", StudyInstanceUID=ct.study) == []
    (alert,) = alerts_about(site, ct.study)
    assert (alert["kind"], alert["times"]) == ("identity.overdue", 1)
    send(ct, pacs)
    (job,) = site.wait_delivered(ct.study, OBJECTS)
    until(lambda: alerts_about(site, ct.study) == [], what="the alert to close")
    results = held(pacs, ct.study)
    assert_is_what_the_node_made(site, job, results)
    assert_in_the_right_study(pacs, ct, results)


def test_fault_70b_the_pacs_has_the_study_under_another_patient(hospital: Hospital, tmp_path: Path) -> None:
    """Nothing is sent; a person is alerted, corrects the PACS and says `retry`; then the results arrive."""
    pacs, site = hospital.pacs, hospital.site
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_id="OTHER", accession_number="OTHER"))
    send(under_another_patient(ct, tmp_path / "other"), pacs)
    send(ct, site)
    until(lambda: statuses(site, ct.study) == [DeliveryStatus.HELD] * OBJECTS, what="the results to be held")
    said = site.status()
    assert {each["status"] for each in said["held_deliveries"]} == {"held"}
    assert all("PatientID" in each["hold"] for each in said["held_deliveries"])
    assert {each["kind"] for each in said["alerts"]} >= {"delivery.held"}
    assert held(pacs, ct.study).counts() == {}

    (study,) = pacs.find("Study", StudyInstanceUID=ct.study)
    pacs.delete(f"/studies/{study['ID']}")
    send(ct, pacs)
    for each in said["held_deliveries"]:
        done = site.command("retry", str(each["id"]))
        assert done.returncode == 0, done.stderr
    (job,) = site.wait_delivered(ct.study, OBJECTS)
    results = held(pacs, ct.study)
    assert_is_what_the_node_made(site, job, results)
    assert_in_the_right_study(pacs, ct, results)


def under_another_patient(ct: CT, folder: Path) -> CT:
    """The same images as a PACS has them in which somebody has merged the patient into another one."""
    folder.mkdir()
    files = []
    for path in ct.files:
        dataset = dcmread(path)
        dataset.PatientID = "MERGED-0001"
        dataset.save_as(folder / path.name)
        files.append(folder / path.name)
    return CT(files, ct.header)


def test_fault_61_the_pacs_is_down_and_comes_back(pacs: Orthanc, make_site: MakeSite, tmp_path: Path) -> None:
    """The results wait as long as it takes, also over a restart of the node, and arrive once."""
    ct = small_ct(tmp_path / "ct")
    send(ct, pacs)
    pacs.stop()
    with make_site() as site:
        send(ct, site)
        until(lambda: waiting_for_the_pacs(site, ct.study), what="the results to wait for the PACS")
        site.stop()
        site.restart()
        pacs.start()
        (job,) = site.wait_delivered(ct.study, OBJECTS)
        results = held(pacs, ct.study)
        assert_is_what_the_node_made(site, job, results)
        assert_in_the_right_study(pacs, ct, results)
        assert pacs.rest("/statistics")["CountInstances"] == len(ct.files) + OBJECTS
        assert [each.attempts for each in deliveries.of_study(site.ledger.database, ct.study)] == [1] * OBJECTS


def waiting_for_the_pacs(site: Site, study: str) -> bool:
    found = deliveries.of_study(site.ledger.database, study)
    outage = outages.get(site.ledger.database, "pacs")
    return len(found) == OBJECTS and outage is not None and "no connection" in outage.why


def test_the_same_study_again_changes_nothing_and_a_late_slice_makes_a_new_revision(
    hospital: Hospital, tmp_path: Path
) -> None:
    """Duplicates are known as such (case 32); the new SR names the one that it replaces (case 49)."""
    pacs, site = hospital.pacs, hospital.site
    ct = small_ct(tmp_path / "ct", SeriesHeader(patient_id="AGAIN", accession_number="AGAIN"))
    early, late = ct.files[:-1], ct.files[-1:]
    send(ct, pacs)
    send(ct, site, files=early)
    (first,) = site.wait_delivered(ct.study, OBJECTS)
    before = held(pacs, ct.study)
    ((_, _, mean),) = numbers_in(before.reports[0])

    send(ct, site, files=early)
    until(lambda: received(site, ct.study, InstanceStatus.DUPLICATE) == len(early), what="the duplicates to be known")
    assert site.wait_delivered(ct.study, OBJECTS) == [first]
    row = studies.get(site.ledger.database, ct.study)
    assert row is not None
    assert row.revision == 1
    assert held(pacs, ct.study).files == before.files

    send(ct, site, files=late)
    _, second = site.wait_delivered(ct.study, 2 * OBJECTS, revision=2)
    assert second.supersedes == first.id
    after = held(pacs, ct.study)
    assert after.counts() == {"sr": 2, "sc": 4}
    assert before.files.items() <= after.files.items()
    (old,) = before.datasets["sr"]
    (new,) = (each for each in after.datasets["sr"] if each.SOPInstanceUID != old.SOPInstanceUID)
    assert predecessors(new) == [old.SOPInstanceUID]
    assert predecessors(old) == []
    made = [each for each in objects.of_job(site.ledger.database, second.id) if each.kind == "sr"]
    assert [each.sop_instance_uid for each in made] == [new.SOPInstanceUID]
    assert mean_of(new) != mean
    assert [job.revision for job in jobs.of_study(site.ledger.database, ct.study)] == [1, 2]
    assert not [each for each in events.of_study(site.ledger.database, ct.study) if each.severity == "alert"]


def predecessors(report: Any) -> list[str]:
    """SOP Instance UIDs of Predecessor Documents (PS3.3 C.17.2)."""
    return [
        str(instance.ReferencedSOPInstanceUID)
        for document in report.get("PredecessorDocumentsSequence") or ()
        for series in document.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]


def mean_of(report: Any) -> float | None:
    ((_, _, value),) = numbers_in(reader.read_sr(report))
    return value
