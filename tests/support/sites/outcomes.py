"""Jobs and deliveries put into a ledger as the stages behind the indexer would have made them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from node.deliver.ways.dimse import dimse
from node.ledger import decisions, deliveries, jobs
from node.ledger.database import Database, Ledger
from node.ledger.decisions import DecisionOutcome, StoredDecision
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.job import Job, JobInput, NewJob


def queue_job(ledger: Ledger, at: datetime, study: str, receipts: list[str], **changes: Any) -> Job:
    """A decision on the study and its job on these receipts; `changes` by field of NewJob."""
    with ledger.transaction() as database:
        return enqueue_job(database, at, study, receipts, **changes)


def enqueue_job(database: Database, at: datetime, study: str, receipts: list[str], **changes: Any) -> Job:
    """The same in the transaction of the caller."""
    fields: dict[str, Any] = {
        "study_instance_uid": study,
        "revision": 1,
        "rule": "lungs",
        "step": "run",
        "subject": "study",
        "plugin": "lung_density",
        "parameters": {},
        "inputs": (JobInput("ct", "1.2.3.1.1", tuple(receipts)),),
        "inputs_digest": "d" + "".join(receipts),
        "destinations": ("pacs",),
        "mode": "pilot",
        "priority": 0,
        "on_correction": "hold",
        "images_complete_at": at,
    } | changes
    new = NewJob(**fields)
    decisions.keep_rule_set(database, at, "rules", "rules: []")
    decision = decisions.record(
        database,
        at,
        study=study,
        revision=new.revision,
        rule=new.rule,
        rule_set="rules",
        outcome=DecisionOutcome.MATCHED,
        trace={},
    )
    job = jobs.enqueue(database, at, decision, new)
    assert job is not None
    return job


def match(database: Database, at: datetime, study: str, rule: str = "r", text: str = "Look.") -> StoredDecision:
    """One more decision on the study, by a rule that says `text` to people whenever it notifies them."""
    notify = {"notify": {"text": text}}
    content = json.dumps([{"name": rule, **notify, "wait": notify}])
    decisions.keep_rule_set(database, at, content, content)
    taken = decisions.record(
        database,
        at,
        study=study,
        revision=1,
        look=len(decisions.of_study(database, study)),
        rule=rule,
        rule_set=content,
        outcome=DecisionOutcome.MATCHED,
        trace={},
    )
    return decisions.get(database, taken)


def deliver(
    ledger: Ledger, at: datetime, study: str, job: str | None, uid: str, status: DeliveryStatus = DeliveryStatus.WAITING
) -> Delivery:
    """A delivery of one result object, as far on its way as `status`: waiting, sending or delivered."""
    with ledger.transaction() as database:
        deliveries.enqueue(
            database,
            at,
            sop_instance_uid=uid,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
            study=study,
            job=job,
            file=f"results/{uid}.dcm",
            destination="pacs",
        )
        (made,) = [one for one in deliveries.of_study(database, study) if one.item == uid]
        if status in (DeliveryStatus.SENDING, DeliveryStatus.DELIVERED):
            deliveries.sending(database, at, made.id)
        if status is DeliveryStatus.DELIVERED:
            deliveries.delivered(database, at, made.id, dimse(0))
        return deliveries.get(database, made.id)
