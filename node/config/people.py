"""Who can be notified by a rule, and how: the sections `people` and `notify`."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from node.config.retrying import Retry
from node.config.sections import Party, Section, SitePath, TakenUpBy
from node.config.values import Duration, Host, Port, check_host

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def _check_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError(f"{value!r} is not an e-mail address: write it as in duty@hospital.example")
    return value


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError(f"{value!r} is not an address of a web service: it begins with https:// or http://")
    if not value.isascii():
        raise ValueError(f"{value!r} is not an address of a web service: write other characters than ASCII as %C3%A9")
    if parts.username is not None:
        raise ValueError("the address of a web service names no user: put the token into token_file")
    check_host(parts.hostname)
    if parts.port == 0:  # a port that is not a number, or too great, raises ValueError itself
        raise ValueError(f"{value!r} is not an address of a web service: there is no port 0")
    return value


def _check_username(value: str) -> str:
    if not value or not value.isascii() or not value.isprintable():
        raise ValueError(f"{value!r} cannot be sent to a mail server: printable ASCII only")
    return value


def read_secret(path: Path, charset: Literal["ascii", "latin-1"]) -> str:
    """The token or password that a file holds, without the blanks around it.

    ASCII is what a mail server's login takes, Latin-1 what a header of HTTP takes. Raises OSError, and ValueError where
    it could never be sent; the text does not quote it.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
        secret.encode(charset)
    except UnicodeError:
        raise ValueError(f"{path}: it holds a character that cannot be sent ({charset.upper()} only)") from None
    if not secret:
        raise ValueError(f"{path}: it is empty")
    if not secret.isprintable():
        raise ValueError(f"{path}: it holds a line break or another control character; one line is wanted")
    return secret


Address = Annotated[str, AfterValidator(_check_address)]
URL = Annotated[str, AfterValidator(_check_url)]


class Webhook(Section):
    """A web service that takes an HTTP POST with JSON: a pager, a chat, the hospital's message broker."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    url: URL
    """Where it listens."""
    token_file: SitePath | None = None
    """File with the token that it wants to see (`Authorization: Bearer …`)."""
    authorities: SitePath | None = None
    """PEM file of the authorities that sign its certificate, where the system's do not."""
    timeout: Duration = timedelta(seconds=10)
    """How long it may take to answer."""


class Person(Section):
    """Somebody who can be notified, by every way that is given."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    email: Address | None = None
    """The e-mail address."""
    webhook: Webhook | None = None
    """The web service that reaches the person."""

    @model_validator(mode="after")
    def _somehow(self) -> Person:
        if self.email is None and self.webhook is None:
            raise ValueError("a person needs email or webhook, or no notification could be sent")
        return self


class Mail(Section):
    """The mail server that takes our messages (SMTP)."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    host: Host
    """Its name or address."""
    port: Port = 587
    """Where it listens: 587 for starttls, 465 for tls."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """starttls: or nothing is sent. tls: from the first byte (port 465). none: only within a network you trust."""
    authorities: SitePath | None = None
    """PEM file of the authorities that sign its certificate, where the system's do not."""
    sender: Address
    """Whom the messages are from."""
    username: Annotated[str, AfterValidator(_check_username)] | None = None
    """Where it wants to know who we are."""
    password_file: SitePath | None = None
    """File with the password, so that no configuration holds it."""
    timeout: Duration = timedelta(seconds=30)
    """How long it may take to answer."""

    @model_validator(mode="after")
    def _pair(self) -> Mail:
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        return self


class Notifications(Section):
    """How people are notified."""

    taken_up_by: ClassVar[frozenset[Party]] = frozenset({Party.NODE})

    mail: Mail | None = None
    """The mail server; without one, nobody has e-mail."""
    accession_number: bool = False
    """Whether messages name the accession number; patients are never named."""
    language: Literal["en", "ko"] = "en"
    """The language of messages."""
    retry: Annotated[Retry, TakenUpBy.only(Party.NODE)] = Retry(
        longest=timedelta(minutes=5), give_up_after=timedelta(days=1)
    )
    """While a channel does not take it. What is given up is an alert, and sent only by `pacsnode retry`."""
