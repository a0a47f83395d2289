"""What in the node and its site needs a warning, in words: the top of `pacsnode status`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from node.config.destinations import Destination
from node.config.models import Configuration
from node.desk import callers
from node.desk.certificates import reminders
from node.desk.overview import Overview
from node.desk.site import SiteConfiguration
from node.desk.words import clock_text
from node.dicom import report_classes
from node.ledger import fallbacks
from node.ledger.delivery import DeliveryStatus
from node.ledger.fallbacks import Fallbacks
from node.ledger.pauses import Pausable, Pause
from node.ledger.withdrawals import WithdrawalStatus
from node.store.health import refusing_associations

_NAMED = 3
"""Examples in a line."""
LOW_SPACE = 5 * 2**30
"""Bytes of free space under the data folder below which there is a warning."""


def _paused(pause: Pause, since: str) -> tuple[str, str]:
    if pause.what is Pausable.SUSPENSION:
        resume = f"pacsnode resume suspension {pause.name} --why REASON"
        return "alert", f"studies are not analysed since {since}, suspended by a stop rule: {pause.why} ({resume})"
    return "warning", f"{pause.what} {pause.name} is paused since {since} by {pause.by}: {pause.why}"


def of(found: Overview, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """(severity, what) of everything that a person should know before the tables."""
    yield from _storage_warnings(found, configuration)
    for each in found.attention.pauses:
        since = clock_text(each.since, configuration.node.zone, found.now)
        yield _paused(each, since)
    for recall, states in found.attention.withdrawn:
        since = clock_text(recall.at, configuration.node.zone, found.now)
        left = sum(states.get(each, 0) for each in (WithdrawalStatus.LISTED, WithdrawalStatus.REFUSED))
        more = f"; {left} objects are still to be taken out at destinations (pacsnode review)" if left else ""
        yield "warning", f"{recall.sentence}, since {since} by {recall.by}{more}"
    if found.attention.missing is not None:
        gone = found.attention.missing
        missing = f"{gone.images} of images, {gone.results} of results"
        examples = ", ".join(gone.examples[:_NAMED])
        yield "alert", f"files that the ledger names were missing after the last upgrade: {missing}; such as {examples}"
    if found.attention.behind is not None:
        yield (
            "alert",
            "the ledger did not know images that are stored: they are indexed again, and their studies are held",
        )
    if found.attention.perhaps_sent:
        studies = len({each.study_instance_uid for each in found.attention.perhaps_sent})
        yield "alert", f"destinations may have results of {studies} studies from before the restore: pacsnode restored"
    yield from _backup_warnings(found, configuration)
    yield from _failing(found, configuration) if found.health.running is not None else ()
    yield from _not_in_force(found.standing) if found.health.running is not None else ()
    for key, severity, text in reminders(configuration, found.now):
        yield severity, f"{text} ({key})"
    if found.health.confinement.severity:
        yield found.health.confinement.severity, found.health.confinement.text
    for plugin in found.health.confinement.plugins:
        if plugin.severity:
            yield plugin.severity, f"{plugin.name}: {plugin.text}"
    yield from _destination_warnings(found, configuration)
    yield from callers.unresolved(configuration, found.hosts, found.now)
    elsewhere = callers.from_elsewhere(found.seen, configuration, found.hosts)
    for text in (*callers.crowds(found.health.callers, configuration), *elsewhere):
        yield "warning", text
    if configuration.node.accept == "any":
        yield "warning", "any calling AE title may send (accept: any)"


def _backup_warnings(found: Overview, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """None yet, or on the disk that they are to outlive."""
    settings = configuration.backup
    if settings is None:
        return
    if found.attention.last_backup is None:
        yield "warning", "no backup has been made yet (backup)"
    with suppress(OSError):  # it is not there: the next backup says so
        if settings.to.stat().st_dev == configuration.node.data.stat().st_dev:
            yield "warning", f"backups are on the disk of node.data, and are lost with it (backup.to: {settings.to})"


def _not_in_force(standing: SiteConfiguration) -> Iterator[tuple[str, str]]:
    """What the file says and the node does not use."""
    if standing.headlines:
        more = f" (and {len(standing.headlines) - 1} more)" if len(standing.headlines) > 1 else ""
        yield (
            "alert",
            f"the changed configuration is refused, the previous rules stay in force (pacsnode check): "
            f"{standing.headlines[0]}{more}",
        )
    if standing.needs_restart:
        yield "warning", f"changed in the file, takes effect after a restart: {', '.join(standing.needs_restart)}"
    if standing.pending:
        yield "warning", "the file differs from what is in force: just saved, or refused (see Alerts)"


def _destination_warnings(found: Overview, configuration: Configuration) -> Iterator[tuple[str, str]]:
    for name, destination in configuration.destinations.items():
        if destination.asks_by and destination.identity_check == "none":
            yield "warning", f"{name}: results are sent without an identity check (identity_check: none)"
        if refusal := found.fallbacks.get(name):
            yield "warning", _refused_class(name, destination, refusal)
    for each in found.kept.refusers:
        if each.required:
            yield "alert", f"{each.destination} does not accept storage commitment (commitment: require): {each.reason}"
        else:
            told = "what it has stored is delivered, and not committed"
            yield "warning", f"{each.destination} does not accept storage commitment (commitment: try): {told}"
    for name in sorted((found.deliveries.keys() | found.images.keys()) - configuration.destinations.keys()):
        both = (found.deliveries.get(name, {}), found.images.get(name, {}))
        waiting = sum(counts.get(DeliveryStatus.WAITING, 0) for counts in both)
        if waiting:
            yield "warning", f"{name}: {waiting} deliveries wait for a destination that the configuration no longer has"


def _failing(found: Overview, configuration: Configuration) -> Iterator[tuple[str, str]]:
    for name, each in found.health.failing.items():
        since = clock_text(each.at, configuration.node.zone, found.now)
        yield "alert", f"{name} has failed repeatedly since {since} and does no work: {each.reason}"


def _refused_class(name: str, destination: Destination, found: Fallbacks) -> str:
    sr_class = destination.encoding.sr_class
    stated, used = report_classes.NAMES[sr_class], report_classes.name_of(found.sop_class_uid)
    reports = "a report was" if found.reports == 1 else f"{found.reports} reports were"
    remedy = fallbacks.remedy(name, found.sop_class_uid, stated)
    return f"{name} refuses {stated} (sr_class: {sr_class}): {reports} re-encoded as {used}; {remedy}"


def _storage_warnings(found: Overview, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """What keeps the node from receiving, or soon will."""
    node = configuration.node
    refusing = refusing_associations(found.health.load, node.limits)
    free = found.health.load.free_bytes
    if refusing:
        yield "alert", f"associations are refused: {refusing} (node.limits)"
    elif free < max(LOW_SPACE, 2 * node.limits.free_space):
        yield "alert", f"only {free / 2**30:.1f} GiB are free under {node.data}"
    if found.health.unwritable:
        yield "alert", f"nothing can be received: {node.data} cannot be written ({found.health.unwritable})"
    elif found.health.trouble:
        when = clock_text(found.health.trouble.at, node.zone, found.now)
        yield "alert", f"what was received {when} could not be written ({found.health.trouble.reason})"
