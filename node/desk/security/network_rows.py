"""Who can reach the node, whom it calls, and what goes over the network unencrypted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from node.accounts import users
from node.accounts.database import FILE as ACCOUNTS
from node.accounts.database import Accounts
from node.accounts.roles import Role
from node.config.destinations import DicomDestination
from node.config.folder_destination import FolderDestination
from node.config.models import Configuration
from node.config.web_destinations import DicomWebDestination
from node.desk.security.row import SecurityDocument, SecurityRow, SecuritySeverity

_GOOD, _NOTE = SecuritySeverity.GOOD, SecuritySeverity.NOTE
_WARNING, _CRITICAL = SecuritySeverity.WARNING, SecuritySeverity.CRITICAL
_LONG_IDLE = timedelta(hours=1)
_PLAIN = "images and names can be read on the network"


def rows(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    """Ports, callers, and the systems that are called."""
    yield from _ports(configuration, document)
    yield from _console(configuration, document)
    yield from _pages(configuration, document)
    yield from _callers(configuration, document)
    yield from _destinations(configuration, document)
    yield from _boxes(configuration, document)
    yield from _services(configuration, document)


def _ports(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    listen = configuration.node.listen
    if listen.port != "off":
        local = is_local(listen.host)
        said = f"DICOM on {listen.host} port {listen.port}, without TLS{'' if local else f': {_PLAIN}'}"
        change = "" if local else "port: off, and a section tls"
        yield document.row("port", _NOTE if local else _WARNING, said, ("node", "listen", "port"), change)
    if listen.tls is not None:
        shown = listen.tls.client_certificates
        said = f"DICOM over TLS on {listen.host} port {listen.tls.port}, client certificates {shown}"
        key = ("node", "listen", "tls", "client_certificates")
        good = shown == "required"
        change = "" if good else "client_certificates: required"
        yield document.row("port", _GOOD if good else _WARNING, said, key, change)
        if good and listen.tls.revoked is None:
            said = "a client certificate that was revoked is accepted until it ends"
            yield document.row("port", _NOTE, said, ("node", "listen", "tls"), "revoked: FILE OR FOLDER")


def _console(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    console = configuration.console
    if console is None:
        return
    who = "this machine" if is_local(console.host) else "every machine that reaches it"
    encrypted = f"over TLS on {console.host}" if console.tls else f"on {console.host}"
    said = f"metrics and health {encrypted} port {console.port}, for {who}, without a password"
    if is_local(console.host):
        yield document.row("port", _GOOD, said, ("console", "host"), "")
    elif console.tls:
        yield document.row("port", _NOTE, said, ("console", "host"), "host: 127.0.0.1")
    else:
        yield document.row("port", _WARNING, said, ("console", "host"), "host: 127.0.0.1, or a section tls")


def _pages(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    """Who may log in to the console, and how."""
    console = configuration.console
    if console is None:
        return
    if not console.has_pages:
        said = "no pages: a password would go over the network in the clear"
        yield document.row("console", _GOOD, said, ("console", "host"), "tls, for pages to people")
        return
    if console.proxy is not None:
        said = f"whom {', '.join(console.proxy.addresses)} names in {console.proxy.user_header} is logged in"
        change = "the proxy has to remove this header from what browsers send"
        yield document.row("console", _NOTE, said, ("console", "proxy"), change)
    if console.idle > _LONG_IDLE:
        said = "a browser that was left open is logged in for longer than an hour"
        yield document.row("console", _WARNING, said, ("console", "idle"), "idle: 15m")
    yield from _users(configuration, document)


def _users(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    if not (configuration.node.data / ACCOUNTS).exists():
        return
    accounts = Accounts(configuration.node.data)
    found = [each for each in users.every(accounts) if not each.disabled]
    accounts.close()
    admins = [each.name for each in found if each.role is Role.ADMIN]
    at = ("console",)
    if not admins:
        yield document.row("console", _NOTE, "nobody is admin", at, "pacsnode users add NAME --role admin")
    else:
        yield document.row("console", _GOOD, f"admins of the console: {', '.join(admins)}", at)
    waiting = [each.name for each in found if each.must_change]
    if waiting:
        said = f"never logged in with a password of their own: {', '.join(waiting)}"
        yield document.row("console", _WARNING, said, at, "pacsnode users disable NAME, or users password NAME")


def _callers(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    if configuration.node.accept == "any":
        said = "any calling AE title may store and is answered (accept: any)"
        yield document.row("sender", _CRITICAL, said, ("node", "accept"), "accept: known")
    else:
        yield document.row("sender", _GOOD, "only AE titles that are entered may associate", ("node", "accept"))
    for name, each in configuration.modalities.items():
        path = ("modalities", name)
        if each.certificate is not None:
            yield document.row("sender", _GOOD, f"{each.ae_title} proves itself by its certificate", path)
        elif each.addresses:
            where = ", ".join(map(str, each.addresses))
            yield document.row("sender", _GOOD, f"{each.ae_title} may call from {where}", path)
        else:
            said = f"{each.ae_title} may call from any address, and its AE title is no proof"
            yield document.row("sender", _WARNING, said, path, "addresses: [ITS ADDRESS], or certificate")


def _destinations(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    for name, each in configuration.destinations.items():
        path = ("destinations", name)
        if isinstance(each, DicomDestination):
            yield _call("destination", each.place, each.host, each.tls is not None, document, path)
            for network in each.also_from:
                if network.prefixlen == 0:
                    said = f"{each.ae_title} may call from everywhere ({network})"
                    yield document.row("sender", _WARNING, said, (*path, "also_from"), "also_from: [ITS ADDRESSES]")
        if isinstance(each, DicomWebDestination):
            yield _call(
                "destination", each.place, each.host, each.is_secure, document, (*path, "url"), "url: https://…"
            )
            yield from _login(name, each, document, path)
        if isinstance(each, FolderDestination):
            said = f"{name}: files with patients' data in {each.folder}, for every user who can read it"
            yield document.row("destination", _NOTE, said, (*path, "folder"))
        if not each.asks_by:
            said = f"{name}: it cannot be asked which patient a study belongs to; results go there as they are"
            yield document.row("destination", _NOTE, said, path)
        elif each.identity_check == "none":
            said = f"{name}: results are sent without asking which patient the study belongs to"
            yield document.row("destination", _WARNING, said, (*path, "identity_check"), "identity_check: study")
    for name, modality in configuration.modalities.items():
        reports = modality.storage_commitment
        if reports is not None:
            place = f"storage commitment reports to {modality.ae_title} at {reports.host}:{reports.port}"
            key = ("modalities", name, "storage_commitment")
            yield _call("destination", place, reports.host, reports.tls is not None, document, key)


def _login(
    name: str, destination: DicomWebDestination, document: SecurityDocument, path: tuple[str, ...]
) -> Iterator[SecurityRow]:
    """Whether it learns who calls, and the token server's way there."""
    ours = (destination.username, destination.token_file, destination.oauth2, destination.certificate)
    if not any(ours):
        said = f"{name} does not learn who calls: neither a login nor a certificate of ours"
        yield document.row("destination", _NOTE, said, path, "token_file, oauth2, username, or certificate and key")
    if destination.oauth2 is not None:
        parts = urlsplit(destination.oauth2.token_url)
        place, key = f"the token server {parts.hostname}", (*path, "oauth2", "token_url")
        yield _call("destination", place, parts.hostname or "", parts.scheme == "https", document, key, "https://…")


def _boxes(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    for name, box in configuration.boxes.items():
        place = f"images to the box {box.ae_title} at {box.host}:{box.port}"
        yield _call("box", place, box.host, box.tls is not None, document, ("boxes", name))


def _services(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    for name, service in configuration.services.items():
        path = ("services", name)
        place = f"images to the web service {service.place}"
        host = service.host.rpartition(":")[0].strip("[]")
        yield _call("service", place, host, service.is_secure, document, (*path, "url"), "url: https://…")
        if service.token_file is None and service.certificate is None:
            said = f"{name} does not learn who calls: neither a token nor a certificate of ours"
            yield document.row("service", _NOTE, said, path, "token_file, or certificate and key")


def _call(
    topic: str,
    place: str,
    host: str,
    is_secure: bool,
    document: SecurityDocument,
    path: tuple[str, ...],
    change: str = "a section tls",
) -> SecurityRow:
    """A system that is called. What goes over loopback does not leave the machine."""
    if is_secure:
        return document.row(topic, _GOOD, place if "over TLS" in place else f"{place} over TLS", path)
    if is_local(host):
        return document.row(topic, _NOTE, f"{place}, without TLS, on this machine", path)
    return document.row(topic, _WARNING, f"{place}, without TLS: {_PLAIN}", path, change)


def is_local(host: str) -> bool:
    """Whether it is this machine by its loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
