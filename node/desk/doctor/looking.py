"""The whole examination, in the order in which a person would mend things."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from node.desk import site
from node.desk.doctor import machine_checks, network_checks, plugin_checks, site_checks, system_checks
from node.desk.doctor.finding import Diagnosis, DoctorFinding
from node.errors import LedgerError, NotFoundError
from node.ledger import instances, refused_callers

_WEEK = timedelta(days=7)
_REFUSED = 20


def look(config: Path, now: datetime) -> Iterator[DoctorFinding]:
    """A finding of each thing, as soon as it is known; ConfigurationError where the configuration cannot be used."""
    loaded = site.read(config)
    configuration = loaded.configuration
    running = site.running(configuration.node.data)
    yield DoctorFinding("configuration", Diagnosis.GOOD, f"{config} can be used")
    yield from site_checks.configuration_warnings(loaded.warnings)
    yield machine_checks.user(running)
    yield site_checks.permissions(configuration)
    yield from network_checks.ports(configuration, running)
    yield machine_checks.clock(configuration, now)
    yield from machine_checks.disk(configuration)
    yield machine_checks.log_file(running)
    yield from system_checks.look(list(loaded.warnings))
    yield plugin_checks.sandbox(configuration)
    yield plugin_checks.gpu(configuration)
    yield from site_checks.validity(configuration, now)
    yield from network_checks.destinations(configuration)
    try:
        ledger = site.open_ledger(configuration)
    except (NotFoundError, LedgerError) as error:
        yield DoctorFinding("ledger", Diagnosis.NOT_SEEN, str(error), "It is there once the node has run.")
        return
    with ledger.snapshot() as database:
        heard = instances.callers_of_late(database, now - _WEEK)
        refused = refused_callers.recent(database, now, _REFUSED)
        decoded = site_checks.character_sets(database)
    yield from network_checks.callers(configuration, heard, refused)
    yield decoded
