"""Letting in a caller that was refused: the address that was seen, entered into the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from node.config import entering
from node.config.destinations import dicom_destinations
from node.config.in_force import InForce
from node.config.models import Configuration
from node.desk import callers, configuration_files
from node.desk.configuration_files import FileEdit
from node.errors import NotFoundError, PermanentError
from node.ledger import refused_callers
from node.ledger.database import Database, Ledger
from node.store.callers import RefusedCaller

_MOST = 1000
_REASONS = ("not recognised", "from an address that is not its")
"""Why a caller was refused that an entry lets in: it is not known, or not by this address."""


@dataclass(frozen=True, slots=True)
class SeenCaller:
    """Names one of the refused callers."""

    calling_ae_title: str
    called_ae_title: str
    address: str


def can_enter(refused: RefusedCaller, configuration: Configuration) -> bool:
    """Whether an entry lets it in, which binds the address that was seen."""
    known = (configuration.node.ae_title, *configuration.node.also_called)
    is_known_reason = any(each in refused.reason for each in _REASONS)
    return refused.called_ae_title in known and is_known_reason and _is_address(refused.address)


def draft(ledger: Ledger, in_force: InForce, seen: SeenCaller, at: datetime) -> FileEdit:
    """The configuration with the entry that lets this caller in; it has to be checked before it is written.

    Raises NotFoundError where no such caller was refused in the last 24 hours, PermanentError where a person has to
    enter it.
    """
    with ledger.reading() as database:
        refused = _refused(database, seen, at)
    if not can_enter(refused, in_force.configuration):
        raise PermanentError(f"to let it in: {callers.to_enter(refused, in_force.configuration)}")
    file, *_ = configuration_files.files(in_force)
    now = configuration_files.read(file)
    return FileEdit(file, now.digest, _entered(now.text, refused, in_force.configuration))


def _refused(database: Database, seen: SeenCaller, at: datetime) -> RefusedCaller:
    for each in refused_callers.recent(database, at, _MOST):
        if (each.calling_ae_title, each.called_ae_title, each.address) == (
            seen.calling_ae_title,
            seen.called_ae_title,
            seen.address,
        ):
            return each
    raise NotFoundError("no such caller was refused in the last 24 hours")


def _entered(text: str, refused: RefusedCaller, configuration: Configuration) -> str:
    title, address = refused.calling_ae_title, refused.address
    modality = next((name for name, each in configuration.modalities.items() if each.ae_title == title), None)
    if modality is not None:
        return entering.with_item(text, ("modalities", modality, "addresses"), address)
    known = dicom_destinations(configuration.destinations)
    destination = next((name for name, each in known.items() if each.ae_title == title), None)
    if destination is not None:
        return entering.with_item(text, ("destinations", destination, "also_from"), address)
    name = _free_name(callers.name_of(title), [*configuration.modalities])
    value = {"ae_title": title, "addresses": [address]}
    written = f"{{ae_title: {entering.quoted(title)}, addresses: [{entering.quoted(address)}]}}"
    return entering.with_entry(text, ("modalities", name), value, written)


def _free_name(name: str, taken: Sequence[str]) -> str:
    return next(each for each in (name, *(f"{name}-{number}" for number in range(2, 1000))) if each not in taken)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
