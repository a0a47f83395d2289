"""Identities that were adopted: under which patient and order a destination gets the results of a study since then.

A destination may have merged the patient or moved the study to another order after the images came here. Each adoption
is a revision of the study's identity at that destination; the newest counts. Results that were made under an older one
are re-encoded by the stage `results` and never sent (`outdated`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from node.clock import from_text, to_text
from node.ledger import deliveries, events, said, withdrawals
from node.ledger.connection import Database
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.rows import one, query, to_json
from node.ledger.unreadable import readable


@dataclass(frozen=True, slots=True)
class Adoption:
    """One row of `adoptions`."""

    id: int
    study_instance_uid: str
    destination: str
    number: int
    """Of the study at this destination, from 1."""
    identity: Mapping[str, str]
    """Attributes of patient and order by keyword, as the destination states them; empty ones are not stated."""
    by: str
    """Who adopted it, as an actor: the node, where the destination says it of itself."""
    at: datetime


_ADOPTED = (
    "PatientID",
    "IssuerOfPatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
)
_NEWEST = "SELECT * FROM adoptions WHERE study_instance_uid=? AND destination=? ORDER BY number DESC LIMIT 1"
_MADE_UNDER = (
    "coalesce((SELECT json_extract(nullif(adopted, ''), '$.number') FROM objects JOIN encodings"
    " ON encodings.job=objects.job AND encodings.name=objects.encoding"
    " WHERE objects.sop_instance_uid=deliveries.item), 0)"
)
"""Number of the adoption under which the object of a delivery was made; 0: under the identity of its images."""
_OUTDATED = (
    f"{_MADE_UNDER}<coalesce((SELECT max(number) FROM adoptions"  # noqa: S608 - our own text
    " WHERE adoptions.study_instance_uid=deliveries.study_instance_uid"
    " AND adoptions.destination=deliveries.destination), 0)"
)
UNSENT = (DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.REFUSED)
"""A result under an older identity that is in one of these is re-encoded, and takes no other way out."""
_UNDER_WAY = (*UNSENT, DeliveryStatus.SENDING)
_RE_ENCODED = (*UNSENT, DeliveryStatus.DELIVERED)


def adoptable(answer: Mapping[str, str]) -> dict[str, str]:
    """What of a destination's answer about a study is adopted: patient and order, by keyword."""
    return {keyword: answer.get(keyword, "").strip() for keyword in _ADOPTED}


def newest(database: Database, study: str, destination: str) -> Adoption | None:
    """The identity under which this destination gets the study's results; None: that of the images."""
    row = one(database, _NEWEST, [study, destination])
    return _adoption(row) if row else None


def is_outdated(database: Database, delivery: Delivery) -> bool:
    """Whether it was made under an older identity than the destination is to get: it must not be sent."""
    return one(database, f"SELECT 1 FROM deliveries WHERE id=? AND {_OUTDATED}", [delivery.id]) is not None  # noqa: S608 - our own text


def adopt(
    database: Database, at: datetime, study: str, destination: str, identity: Mapping[str, str], by: str
) -> Adoption:
    """From now on; what the destination has under the older identity is listed for withdrawal."""
    earlier = newest(database, study, destination)
    number = earlier.number + 1 if earlier else 1
    database.execute("UPDATE adoptions SET open=0 WHERE study_instance_uid=? AND destination=?", [study, destination])
    database.execute(
        "INSERT INTO adoptions (study_instance_uid, destination, number, identity, by, at, open)"
        " VALUES (?,?,?,?,?,?,1)",
        [study, destination, number, to_json(dict(identity)), by, to_text(at)],
    )
    sent = [
        each
        for each in deliveries.results_of_study(database, study)
        if each.destination == destination and each.status is DeliveryStatus.DELIVERED
    ]
    events.record(
        database,
        at,
        EventKind.IDENTITY_ADOPTED,
        study=study,
        actor=by,
        destination=destination,
        revision=number,
        to_withdraw=len(sent) or None,
    )
    found = newest(database, study, destination)
    assert found is not None, study
    list_for_withdrawal(database, at, found, sent)
    return found


def list_for_withdrawal(database: Database, at: datetime, adoption: Adoption, those: Sequence[Delivery]) -> None:
    """These were delivered under an older identity."""
    reason = f"{adoption.destination} has the study under another patient or order than these results say"
    withdrawals.enter(database, at, adoption.study_instance_uid, those, reason)


def open_ones(database: Database) -> list[Adoption]:
    """Adoptions under which results are still to be re-encoded, oldest first; none of a study that is held."""
    rows = query(
        database,
        "SELECT adoptions.* FROM adoptions JOIN studies USING (study_instance_uid)"
        " WHERE open=1 AND studies.hold IS NULL ORDER BY adoptions.id",
    )
    return readable(database, "adoptions", rows, _adoption)


def to_re_encode(database: Database, adoption: Adoption) -> dict[str, list[Delivery]]:
    """By job, what of its result is to be re-encoded: it waits, or the destination has it under the older identity.

    Not a result that a newer one has replaced since, one that has been re-encoded already, or one of a withdrawn
    version.
    """
    found: dict[str, list[Delivery]] = {}
    sql = (
        "SELECT deliveries.* FROM deliveries JOIN jobs ON jobs.id=deliveries.job"  # noqa: S608 - our own text
        " WHERE deliveries.study_instance_uid=? AND destination=? AND kind<>'image' AND deliveries.status IN"
        f" ({','.join('?' for _ in _RE_ENCODED)}) AND {_OUTDATED}"
        " AND (deliveries.status<>'delivered' OR NOT EXISTS (SELECT 1 FROM jobs AS later WHERE"
        "  later.supersedes=jobs.id AND later.status='reported' AND later.outcome<>'failed'))"
        " AND NOT EXISTS (SELECT 1 FROM recalled_jobs JOIN recalls ON recalls.id=recall"
        "  WHERE recalled_jobs.job=jobs.id AND rests=0 AND recalls.ended_at IS NULL)"
        " ORDER BY deliveries.id"
    )
    rows = query(database, sql, [adoption.study_instance_uid, adoption.destination, *_RE_ENCODED])
    for each in readable(database, "deliveries", rows, deliveries.of_row):
        found.setdefault(each.job or "", []).append(each)
    return {job: those for job, those in found.items() if _is_to_be_made(database, adoption, job, those)}


def _is_to_be_made(database: Database, adoption: Adoption, job: str, outdated: list[Delivery]) -> bool:
    """Whether one of them waits, or nothing has been made of the job for this identity, nor cannot be."""
    if any(each.status in UNSENT for each in outdated):
        return True
    if said.was(database, EventKind.JOB_REFUSED_FOR, job, str(adoption.id)):
        return False
    there = [each for each in deliveries.of_job(database, job) if each.destination == adoption.destination]
    return all(is_outdated(database, each) for each in there)


def refuse(database: Database, adoption: Adoption, job: str) -> None:
    """The result of this job cannot be made under this identity: not tried again because of what was delivered."""
    said.once(database, EventKind.JOB_REFUSED_FOR, job, str(adoption.id))


def close(database: Database, adoption: Adoption) -> None:
    """All that can be re-encoded has been, unless something waits or is being sent under the older identity."""
    marks = ",".join("?" for _ in _UNDER_WAY)
    database.execute(
        "UPDATE adoptions SET open=0 WHERE id=? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE study_instance_uid=?"  # noqa: S608 - our own text
        f" AND destination=? AND kind<>'image' AND status IN ({marks}) AND {_OUTDATED})",
        [adoption.id, adoption.study_instance_uid, adoption.destination, *_UNDER_WAY],
    )


def reopen(database: Database, study: str, destination: str) -> None:
    """A result under an older identity waits again: a person had it sent."""
    database.execute(
        "UPDATE adoptions SET open=1 WHERE study_instance_uid=? AND destination=? AND number="
        "(SELECT max(number) FROM adoptions WHERE study_instance_uid=? AND destination=?)",
        [study, destination, study, destination],
    )


def _adoption(row: dict[str, Any]) -> Adoption:
    values = {name: row[name] for name in Adoption.__slots__}
    return Adoption(**{**values, "identity": json.loads(row["identity"]), "at": from_text(row["at"])})
