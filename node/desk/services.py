"""Web services as people see them: whether they answer, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from node.config.models import Configuration
from node.config.problems import ConfigurationError
from node.config.services import WebService
from node.desk import boxes, site
from node.errors import NotFoundError
from node.ledger import attempts, contacts, services
from node.ledger.boxes import Turnaround
from node.ledger.contacts import ContactKind, WorkerContact
from node.ledger.database import Database


@dataclass(frozen=True, slots=True)
class ServiceCondition:
    """How things stand with one web service."""

    name: str
    place: str
    contact: WorkerContact | None
    turnaround: Turnaround | None
    open_jobs: int


def standing(database: Database, configured: Mapping[str, WebService]) -> list[ServiceCondition]:
    """Of every service of the configuration, in its order."""
    return [
        ServiceCondition(
            name,
            service.place,
            contacts.get(database, ContactKind.SERVICE, name),
            services.turnaround(database, name),
            len(attempts.open_at(database, services.place_of(name))),
        )
        for name, service in configured.items()
    ]


def sentence(found: ServiceCondition, zone: tzinfo, now: datetime) -> str:
    """As in `lungs (ai.example:443 over TLS) answers; 2 jobs there; takes 4 min (median of 37), the last one 3 min`."""
    parts = boxes.condition_words(found.name, found.place, found.contact, found.turnaround, found.open_jobs, zone, now)
    return "; ".join(parts)


def plain_standing(found: ServiceCondition) -> dict[str, Any]:
    """The same for scripts."""
    return boxes.plain_condition(found.name, found.place, found.contact, found.turnaround, found.open_jobs)


def find(name: str, config: Path) -> WebService | None:
    """The web service of this name; None where there is none, or a destination is called so."""
    try:
        configuration: Configuration = site.load(config)
    except (ConfigurationError, NotFoundError):
        return None
    return None if name in configuration.destinations else configuration.services.get(name)


def ask(name: str, service: WebService) -> None:
    """Ask whether it is there and takes our token, without an image; TransientError where not."""
    from node.run.services.asking import ServiceCaller  # the client takes a while to load

    ServiceCaller(name, service, keep_free=0).is_there()
