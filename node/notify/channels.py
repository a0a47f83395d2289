"""The ways to a person: SMTP, and an HTTP POST with JSON.

Each raises TransientError where it may work later (or when a person at the site has put something right), and
PermanentError where this message will never be taken. What the other side says is reported by its number, and never
quoted: a server may answer with the message itself.
"""

from __future__ import annotations

import contextlib
import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from node import ourselves
from node.config.models import Configuration
from node.config.people import Mail, Person, Webhook, read_secret
from node.errors import NodeError, PermanentError, TransientError
from node.notify.words import Message
from node.web import client
from node.web.client import WebRequest
from node.web.exchange import Exchange, deadline

Channel = Callable[[Message], None]
"""Brings a message to one person; TransientError, PermanentError."""
_NEVER = frozenset({400, 404, 410, 413, 415, 422})
"""Status codes of HTTP that speak of this message or its address, not of the moment."""


def of(person: Person, configuration: Configuration) -> dict[str, Channel]:
    """The person's channels by name: `email`, `webhook`."""
    found: dict[str, Channel] = {}
    mail, address, webhook = configuration.notify.mail, person.email, person.webhook
    if mail is not None and address is not None:
        found["email"] = lambda message: send_mail(mail, address, message)
    if webhook is not None:
        found["webhook"] = lambda message: post(webhook, message)
    return found


def send_mail(mail: Mail, address: str, message: Message) -> None:
    """By the site's mail server; TransientError, PermanentError."""
    where = f"mail server {mail.host}:{mail.port}"
    with (
        _named(where),
        deadline(where, mail.timeout.total_seconds()) as exchange,
        _session(mail, exchange) as session,
    ):
        session.send_message(_email(mail, address, message), mail.sender, [address])


def _email(mail: Mail, address: str, message: Message) -> EmailMessage:
    email = EmailMessage()
    email["From"] = mail.sender
    email["To"] = address
    email["Subject"] = f"[{ourselves.MODEL_NAME}] {message.subject}"
    email["Message-ID"] = f"<{message.key}@{mail.sender.partition('@')[2]}>"
    email["Auto-Submitted"] = "auto-generated"
    if message.plain["urgent"]:
        email["Importance"] = "high"
    email.set_content(message.body)
    return email


@contextmanager
def _session(mail: Mail, exchange: Exchange) -> Iterator[smtplib.SMTP]:
    name = socket.gethostname()
    name = name if name.isascii() and name.isprintable() else "localhost"  # a greeting (EHLO) is ASCII
    context = client.tls_context(mail.authorities) if mail.tls == "tls" else None
    with contextlib.closing(MailSession(exchange, mail.host, mail.port, name, context)) as session:
        if mail.tls == "starttls":
            session.starttls(context=client.tls_context(mail.authorities))
        if mail.username is not None and mail.password_file is not None:
            session.login(mail.username, _secret(mail.password_file, "ascii"))
        yield session
        with contextlib.suppress(smtplib.SMTPException, OSError):  # it has the message, however it takes our leave
            session.quit()


class MailSession(smtplib.SMTP):
    """SMTP on a connection of an exchange; `context` for TLS from its first byte."""

    def __init__(self, exchange: Exchange, host: str, port: int, name: str, context: ssl.SSLContext | None) -> None:
        self._exchange = exchange
        self._context = context
        super().__init__(host, port, name)

    def _get_socket(self, host: str, port: int, _timeout: float | None) -> socket.socket:
        """As smtplib's, which has no other place for it."""
        connection = socket.create_connection((host, port), self._exchange.left)
        self._exchange.watch(connection)
        return self._context.wrap_socket(connection, server_hostname=host) if self._context else connection


def post(webhook: Webhook, message: Message) -> None:
    """To a web service, which may not redirect: nobody would be notified; TransientError, PermanentError."""
    headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": message.key}
    with _named(f"webhook {webhook.url}"):
        if webhook.token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(webhook.token_file, 'latin-1')}"
        content = json.dumps(message.plain, ensure_ascii=False).encode()
    request = WebRequest("POST", webhook.url, headers, content)
    _ask(f"webhook {webhook.url}", request, webhook.authorities, webhook.timeout.total_seconds())


def ping(url: str, authorities: Path | None, seconds: float) -> None:
    """Ask for an address by GET, and pass over what comes; TransientError, PermanentError."""
    _ask(f"heartbeat {url}", WebRequest("GET", url, {}), authorities, seconds, follows_redirects=True)


def _ask(
    where: str, request: WebRequest, authorities: Path | None, seconds: float, *, follows_redirects: bool = False
) -> None:
    with _named(where), deadline(where, seconds) as exchange:
        context = client.tls_context(authorities)
        try:
            with client.answer(exchange, request, context, follows_redirects=follows_redirects) as found:
                status = found.status_code
        except TransientError as error:
            raise TransientError(f"{where} {error}") from error
        if not 200 <= status < 300:
            kind = PermanentError if status in _NEVER else TransientError
            raise kind(f"{where} answers {status}, not that it has it")


def _secret(path: Path, charset: Literal["ascii", "latin-1"]) -> str:
    """What the file holds by now; TransientError where it cannot be sent, until a person puts it right."""
    try:
        return read_secret(path, charset)
    except ValueError as error:
        raise TransientError(str(error)) from None


@contextmanager
def _named(where: str) -> Iterator[None]:
    """What went wrong, in words of ours, with its place."""
    try:
        yield
    except NodeError:
        raise
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        raise _smtp(where, "refuses the recipient", min(codes, default=0)) from error
    except smtplib.SMTPAuthenticationError as error:
        raise TransientError(f"{where} does not accept username and password [{error.smtp_code}]") from error
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise _smtp(where, "refuses the message", error.smtp_code) from error
    except smtplib.SMTPResponseException as error:
        raise TransientError(f"{where} refuses [{error.smtp_code}]") from error
    except smtplib.SMTPException as error:
        raise TransientError(f"{where}: {_SMTP.get(type(error), 'it does not speak SMTP as it should')}") from error
    except ssl.SSLCertVerificationError as error:
        raise TransientError(f"{where}: its certificate is not accepted ({error.verify_message})") from error
    except OSError as error:
        raise TransientError(f"{where} cannot be reached: {_reason(error)}") from error


_SMTP: dict[type[Exception], str] = {
    smtplib.SMTPNotSupportedError: "it does not offer what the configuration asks for (STARTTLS or login)",
    smtplib.SMTPServerDisconnected: "it ended the connection",
}


def _smtp(where: str, what: str, code: int) -> NodeError:
    kind = PermanentError if 500 <= code < 600 else TransientError
    return kind(f"{where} {what} [{code}]")


def _reason(error: OSError) -> str:
    """Without what the other side may have said."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or "the connection failed"
