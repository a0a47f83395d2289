"""Who calls: senders that were refused, with what to enter for them, and places for associations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from node.config.destinations import DicomDestination, dicom_destinations
from node.config.models import Configuration, share_of
from node.desk.words import clock_text
from node.dimse.addresses import literal, plain_address
from node.store.callers import Caller, RefusedCaller
from node.store.resolved import ResolvedHost

_NO_CALLER = "others"


def to_enter(refused: RefusedCaller, configuration: Configuration) -> str:
    """What lets this caller in, where that is a line of the configuration, else what has to be put right there."""
    node, title = configuration.node, refused.calling_ae_title
    if title == _NO_CALLER and not refused.address:
        return "too many to count apart: the log has each"
    if not refused.called_ae_title:
        return _for_tls(refused.reason)
    if refused.called_ae_title not in (node.ae_title, *node.also_called):
        called = refused.called_ae_title
        return f"there, that we are {node.ae_title}; or node.also_called: [{', '.join([*node.also_called, called])}]"
    modality = next((name for name, each in configuration.modalities.items() if each.ae_title == title), None)
    if modality is not None:
        named = configuration.modalities[modality]
        if "certificate" in refused.reason:
            return f"modalities.{modality}.certificate: not what it showed"
        addresses = ", ".join([*map(str, named.addresses), refused.address])
        return f"modalities.{modality}.addresses: [{addresses}]"
    destinations = dicom_destinations(configuration.destinations)
    destination = next((name for name, each in destinations.items() if each.ae_title == title), None)
    if destination is not None and "certificate" in refused.reason:
        return f"there, to call the TLS port with a certificate; or {_as_modality(refused)}"
    if destination is not None:
        also = ", ".join([*map(str, destinations[destination].also_from), refused.address])
        return f"destinations.{destination}.also_from: [{also}]"
    return _as_modality(refused)


def _for_tls(reason: str) -> str:
    """What has to be put right where no association was asked for."""
    if "signed" in reason:
        return "node.listen.tls.authorities: the authority that signed it, if that is to be trusted"
    if "list of revoked" in reason or "among those of revoked" in reason:
        return "node.listen.tls.revoked: a list of its authority that is good"
    if "our certificate" in reason:
        return "there, our authority; or node.listen.tls.certificate: one that it trusts"
    return "there, " + (
        "another certificate" if "certificate that is refused" in reason else "TLS as in node.listen.tls"
    )


def _as_modality(refused: RefusedCaller) -> str:
    title = refused.calling_ae_title
    return f"modalities: {{{name_of(title)}: {{ae_title: {title}, addresses: [{refused.address}]}}}}"


def name_of(title: str) -> str:
    """A name for the configuration, made of an AE title."""
    kept = "".join(each if each.isalnum() and each.isascii() else "-" for each in title.lower()).strip("-")
    return kept or "sender"


def crowds(callers: Mapping[Caller, int], configuration: Configuration) -> Iterator[str]:
    """Callers that have all the associations that one may have."""
    most = configuration.node.maximum_associations
    for (title, address), count in callers.items():
        if count >= share_of(most):
            yield (
                f"{title} at {address} has {count} of {most} associations open, all that one caller may have: further "
                "ones are refused, or take the place of its idle ones (node.maximum_associations)"
            )


def from_elsewhere(
    seen: Iterable[Caller], configuration: Configuration, resolved: Mapping[str, ResolvedHost]
) -> Iterator[str]:
    """Destinations that are no modalities, and sent of late from addresses that their configuration does not name.

    `resolved`: names of hosts as receivers know them; of one that they do not know yet nothing is said.
    """
    if configuration.node.accept == "any":
        return
    modalities = {each.ae_title for each in configuration.modalities.values()}
    for title, text in seen:
        known = dicom_destinations(configuration.destinations)
        named = {name: each for name, each in known.items() if each.ae_title == title}
        if named and title not in modalities and not _is_one_of(named.values(), text, resolved):
            name, destination = next(iter(named.items()))
            line = ", ".join([*map(str, destination.also_from), text])
            yield (
                f"{name}: {title} sent from {text} last week, which is not the address of its host; that is refused "
                f"now. To let it in: destinations.{name}.also_from: [{line}]"
            )


def _is_one_of(destinations: Iterable[DicomDestination], text: str, resolved: Mapping[str, ResolvedHost]) -> bool:
    address = plain_address(text)
    for each in destinations:
        if any(address in network for network in each.also_from):
            return True
        written, known = literal(each.host), resolved.get(each.host)
        if written == address or (written is None and (known is None or str(address) in known.addresses)):
            return True
    return False


def unresolved(
    configuration: Configuration, known: Mapping[str, ResolvedHost], now: datetime
) -> Iterator[tuple[str, str]]:
    """(severity, what) of destinations whose hosts have names that do not resolve now, as receivers found them."""
    if configuration.node.accept == "any":
        return
    for name, each in dicom_destinations(configuration.destinations).items():
        found = known.get(each.host)
        if found is None or found.failing_since is None:
            continue
        since = clock_text(found.failing_since, configuration.node.zone, now)
        about = f"{name}: {each.host} does not resolve since {since}"
        if found.addresses:
            last = ", ".join(found.addresses)
            yield "warning", f"{about}: {each.ae_title} may still call from its last known address ({last})"
        else:
            yield "alert", f"{about}, and never did here: {each.ae_title} is refused, unless it is in also_from"
