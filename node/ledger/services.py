"""Web services: what each was asked in which attempt, and under which key.

An attempt at a service outlives the node: these rows say where its answer is asked for. The row is there before
anything leaves, so whoever submits again does it under the same key, and the service knows what it has already.
"""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from datetime import datetime

from node.clock import to_text
from node.ledger.boxes import Turnaround, turnaround_of
from node.ledger.connection import Database
from node.ledger.rows import moment, one, query

_PLACE = "service:"
_PURPOSE = "idempotency key of "
_LAST = 50
"""Attempts that the usual turnaround is taken of."""


def place_of(service: str) -> str:
    """The place of attempts at a service (`Attempt.place`)."""
    return f"{_PLACE}{service}"


def service_at(place: str) -> str | None:
    """The service that a place is; None for another place."""
    return place.removeprefix(_PLACE) if place.startswith(_PLACE) else None


def key_of(job: str, secret: bytes) -> str:
    """The idempotency key of a job: the same in each of its attempts and after each restart, and of no other node.

    `secret`: the node's own, so that a service learns nothing of the job.
    """
    return str(uuid.UUID(bytes=hmac.digest(secret, f"{_PURPOSE}{job}".encode(), "sha256")[:16], version=5))


@dataclass(frozen=True, slots=True)
class ServiceAttempt:
    """One row of `service_attempts`: what is known of an attempt at a service since its images were laid out."""

    attempt: str
    service: str
    key: str
    location: str | None
    """Where its answer is asked for; None while the service has not taken it."""
    sent_at: datetime | None
    """When the service took it first."""
    tries: int
    """How often the service was asked in vain since it last answered."""
    error: str | None
    """Why, the last time."""


def laid_out(database: Database, attempt: str, service: str, key: str) -> None:
    """An attempt is about to be submitted."""
    database.execute(
        "INSERT INTO service_attempts (attempt, service, key) VALUES (?,?,?)",
        [attempt, service, key],
    )


def get(database: Database, attempt: str) -> ServiceAttempt | None:
    """What is known of an attempt; None before its images were laid out."""
    row = one(database, "SELECT * FROM service_attempts WHERE attempt=?", [attempt])
    if row is None:
        return None
    values = {**row, "sent_at": moment(row["sent_at"])}
    return ServiceAttempt(**values)


def accepted(database: Database, at: datetime, attempt: str, location: str | None) -> None:
    """The service took it; None where it answered at once, and there is nothing to be asked for."""
    database.execute(
        "UPDATE service_attempts SET location=?, sent_at=coalesce(sent_at, ?), tries=0, error=NULL WHERE attempt=?",
        [location, to_text(at), attempt],
    )


def answered(database: Database, attempt: str) -> None:
    """The service works on it, and said so."""
    database.execute("UPDATE service_attempts SET tries=0, error=NULL WHERE attempt=?", [attempt])


def forgotten(database: Database, attempt: str, error: str) -> None:
    """The service does not know it any more: it is submitted again."""
    database.execute(
        "UPDATE service_attempts SET location=NULL, tries=tries+1, error=? WHERE attempt=?", [error, attempt]
    )


def broke_off(database: Database, attempt: str, error: str) -> None:
    """The service was asked in vain, and is asked again later."""
    database.execute("UPDATE service_attempts SET tries=tries+1, error=? WHERE attempt=?", [error, attempt])


def turnaround(database: Database, service: str) -> Turnaround | None:
    """Of the last attempts that the service answered; None where there is none."""
    rows = query(
        database,
        "SELECT (julianday(ended_at)-julianday(sent_at))*86400 AS seconds FROM service_attempts"
        " JOIN attempts ON attempts.id=attempt WHERE service=? AND sent_at IS NOT NULL AND state='answered'"
        " ORDER BY ended_at DESC LIMIT ?",
        [service, _LAST],
    )
    return turnaround_of([float(row["seconds"]) for row in rows])
