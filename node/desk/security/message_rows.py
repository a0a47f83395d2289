"""What leaves the hospital's imaging network as messages: mail, webhooks, signs of life."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from node.config.models import Configuration
from node.desk.security.network_rows import is_local
from node.desk.security.row import SecurityDocument, SecurityRow, SecuritySeverity

_GOOD, _NOTE, _WARNING = SecuritySeverity.GOOD, SecuritySeverity.NOTE, SecuritySeverity.WARNING


def rows(configuration: Configuration, document: SecurityDocument) -> Iterator[SecurityRow]:
    """Each way out, and what messages hold."""
    mail = configuration.notify.mail
    if mail is not None:
        path = ("notify", "mail", "tls")
        place = f"messages by mail through {mail.host}:{mail.port}"
        if mail.tls == "none" and not is_local(mail.host):
            yield document.row("messages", _WARNING, f"{place}, without TLS", path, "tls: starttls")
        else:
            yield document.row("messages", _NOTE, f"{place} ({mail.tls}), from where they may go anywhere", path)
    for name, person in configuration.people.items():
        if person.webhook is not None:
            yield _web(f"messages to {name}", person.webhook.url, ("people", name, "webhook", "url"), document)
    if configuration.heartbeat is not None and configuration.heartbeat.url is not None:
        yield _web("a sign of life", configuration.heartbeat.url, ("heartbeat", "url"), document)
    if (server := configuration.audit.syslog) is not None:
        said = f"the audit trail (Patient IDs, no names) goes to {server.host}:{server.port} over TLS"
        yield document.row("audit", _GOOD, said, ("audit", "syslog", "host"))
    else:
        said = "the audit trail is on this machine alone: root can make it again, and nobody would know"
        yield document.row("audit", _NOTE, said, ("audit",), "audit: {syslog: {host: …, tls: {authorities: …}}}")
    if configuration.notify.accession_number:
        key = ("notify", "accession_number")
        said = "messages name the accession number; they never name patients"
        yield document.row("messages", _NOTE, said, key, "accession_number: false")


def _web(what: str, url: str, path: tuple[str, ...], document: SecurityDocument) -> SecurityRow:
    parts = urlsplit(url)
    if parts.scheme == "https" or is_local(parts.hostname or ""):
        return document.row("messages", _NOTE, f"{what} by {parts.scheme} to {parts.hostname}", path)
    return document.row("messages", _WARNING, f"{what} to {parts.hostname}, without TLS", path, "https://…")
