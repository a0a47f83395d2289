"""A site with a past: a configuration, and a ledger in which things went well, badly and not yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from node.deliver.ways.dimse import dimse
from node.ledger import alerts, attempts, decisions, deliveries, forwards, identities, instances, jobs, studies
from node.ledger.alert_kinds import AlertKind
from node.ledger.attempts import AttemptCourse, AttemptFailureKind
from node.ledger.database import Database, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.delivery import DeliveryStatus
from node.ledger.identities import IdentityStatus
from node.ledger.instances import Instance, InstanceStatus
from node.ledger.job import Job, JobInput, JobOutcome, NewJob

NOW = datetime(2026, 3, 2, 4, 30, tzinfo=UTC)
ROOT = "1.2.840.113619.2.55.3.604688119.971.1772424000"
GOOD, HELD, FAILED, ARRIVING = f"{ROOT}.4711", f"{ROOT}.4712", f"{ROOT}.4713", f"{ROOT}.4714"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
TRACE = {
    "format": 1,
    "rule": "thin-chest",
    "matched": True,
    "why": "it took series 3",
    "problems": [],
    "near_miss": None,
    "when": {"clause": "Modality: CT", "passed": True, "why": "CT in all 275 instances"},
    "choose": [],
}
CONFIG = """\
node:
  time_zone: Asia/Seoul
  data: data
destinations:
  pacs: {ae_title: PACS, host: 127.0.0.1, port: 11113}
  research: {ae_title: RESEARCH, host: 127.0.0.1, port: 11114, audience: evaluation, identity_check: none}
"""


def tell(database: Database) -> None:
    """Four studies: reported, held, failed for good, still arriving."""
    decisions.keep_rule_set(database, NOW, "d" * 64, "[]")
    good = _analysed(database, GOOD, "20260302-0017")
    _reported(database, good, JobOutcome.FINDINGS)
    for number, destination in enumerate(("pacs", "research", "pacs")):
        _delivery(database, good, number, destination)
    deliveries.sending(database, _at(75), 1)
    deliveries.delivered(database, _at(76), 1, dimse(0))
    deliveries.sending(database, _at(75), 2)
    deliveries.dead(database, _at(77), 2, "RESEARCH refuses this object [A900]", dimse(0xA900))
    deliveries.hold(database, _at(77), 3, "pacs has the study under another PatientID")
    identities.answered(database, _at(70), GOOD, "pacs", IdentityStatus.DIFFERS, "PatientID")

    _study(database, HELD, "20260302-0018")
    studies.hold(database, _at(80), HELD, "a correction arrived: PatientID differs")

    failed = _analysed(database, FAILED, "20260302-0019")
    jobs.started(database, _at(62), failed.id, {"name": "lung-density"})
    log = f"results/{failed.id}/log.txt"
    attempts.note(
        database, failed.id, AttemptCourse(AttemptFailureKind.DEADLINE, seconds=600.0, peak_memory=2**30, log=log)
    )
    jobs.ended(database, _at(660), failed.id, JobOutcome.FAILED, "results/x", "the plugin was ended after 600 s")

    _study(database, ARRIVING, "20260302-0020", complete=False)
    alerts.raised(database, _at(90), AlertKind.ITEM_FAILED, "index receipt:1", free="[bold]4 GB[/bold]\x1b[31m")


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _study(database: Database, uid: str, accession: str, *, complete: bool = True) -> None:
    studies.received(
        database,
        NOW,
        study=uid,
        patient_id="SECRET-4711",
        issuer_of_patient_id="",
        accession_number=accession,
        association="a1",
        received_at=NOW,
        due_at=_at(60),
    )
    series = f"{uid}.3"
    studies.series_received(
        database, study=uid, series=series, modality="CT", description="Chest 1.0 B30", received_at=NOW
    )
    for number in range(3):
        instances.insert(database, _instance(uid, series, number))
    if complete:
        studies.complete(database, _at(60), uid)


def _instance(study: str, series: str, number: int) -> Instance:
    return Instance(
        receipt=f"{study[-4:]}{number:028x}",
        sop_instance_uid=f"{series}.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        status=InstanceStatus.CURRENT,
        digest="0" * 64,
        comparison={},
        marks={},
        frames=1,
        bytes=1000,
        calling_ae_title="CT1",
        called_ae_title="PACSNODE",
        peer_address="10.0.0.5",
        association="a1",
        origin="received",
        received_at=NOW,
    )


def _analysed(database: Database, uid: str, accession: str) -> Job:
    """A complete study with a job that waits."""
    _study(database, uid, accession)
    decision = decisions.record(
        database,
        _at(60),
        study=uid,
        revision=1,
        rule="thin-chest",
        rule_set="d" * 64,
        outcome=DecisionOutcome.MATCHED,
        trace=TRACE,
    )
    studies.decided(database, _at(60), uid, 1)
    new = NewJob(
        study_instance_uid=uid,
        revision=1,
        rule="thin-chest",
        step="lung-density",
        subject=uid,
        plugin="lung-density",
        parameters={},
        inputs=(JobInput("", f"{uid}.3", ("r1",)),),
        inputs_digest="e" * 64,
        destinations=("pacs", "research"),
        mode="pilot",
        priority=0,
        on_correction="hold",
        images_complete_at=_at(60),
        asked="Emphysema",
    )
    job = jobs.enqueue(database, _at(60), decision, new)
    assert job is not None
    return job


def _reported(database: Database, job: Job, outcome: JobOutcome) -> None:
    jobs.started(database, _at(61), job.id, {"name": "lung-density", "version": "1.0.0"})
    jobs.ended(database, _at(68), job.id, outcome, f"results/{job.id}")
    jobs.reported(database, _at(70), job.id, 3)


def _delivery(database: Database, job: Job, number: int, destination: str) -> None:
    deliveries.enqueue(
        database,
        _at(70),
        sop_instance_uid=f"2.25.31415926535{number}",
        sop_class_uid=COMPREHENSIVE_SR,
        study=job.study_instance_uid,
        job=job.id,
        file=f"results/{job.id}/{number}.dcm",
        destination=destination,
    )


def images(ledger: Ledger) -> None:
    """Two images of the failed study that a rule sends on: one is dead, one waits."""
    with ledger.transaction() as database:
        found = instances.of_study(database, FAILED)[:2]
        forwards.enqueue(database, _at(80), FAILED, forwards.ForwardTerms("research", 1, "on"), found)
        first = deliveries.of_study(database, FAILED)[-len(found)]
        deliveries.dead(database, _at(81), first.id, "RESEARCH accepts none of them")


def statuses(ledger: Ledger, study: str) -> list[DeliveryStatus]:
    """Where the deliveries of a study stand."""
    return [each.status for each in deliveries.of_study(ledger.database, study)]
