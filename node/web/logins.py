"""How the node says who it is to a web service: each way makes the header `Authorization` of a request.

Secrets are files, read again at each use, so that a new one needs no restart. None is ever part of an error.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

from node.config.people import read_secret
from node.config.web_destinations import ClientCredentials, DicomWebDestination
from node.errors import PermanentError, TransientError
from node.web import client
from node.web.client import WebRequest
from node.web.exchange import deadline

_MOST = 64 << 10
"""Bytes of a token server's answer."""
_LONGEST_TOKEN = 16 << 10
_BY_DEFAULT = 300.0
"""Seconds that a token is good for where the token server does not say."""
_EARLY = 30.0
"""Seconds before the end of a token at which another one is asked for."""
_FOR_A_PERSON = frozenset({400, 401, 403, 404, 405})
"""What a token server says to a client that it does not know, or for an address that is wrong (RFC 6749 5.2)."""


class Login(Protocol):
    """One way to log in; for several threads."""

    def header(self) -> Mapping[str, str]:
        """The header of the next request. TransientError, PermanentError where there is none now."""
        ...

    def was_refused(self) -> bool:
        """The service refused the header (401); whether another one may be taken."""
        ...


class NoLogin:
    """The service asks for none, or for a certificate."""

    def header(self) -> Mapping[str, str]:
        """None."""
        return {}

    def was_refused(self) -> bool:
        """There is no other."""
        return False


class BasicLogin:
    """User name and password (RFC 7617)."""

    def __init__(self, username: str, password_file: Path) -> None:
        self._username, self._file = username, password_file

    def header(self) -> Mapping[str, str]:
        """With the password that the file holds now."""
        pair = f"{self._username}:{_secret(self._file, 'ascii')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    def was_refused(self) -> bool:
        """There is no other."""
        return False


class TokenLogin:
    """A token in a file."""

    def __init__(self, token_file: Path) -> None:
        self._file = token_file

    def header(self) -> Mapping[str, str]:
        """With the token that the file holds now."""
        return {"Authorization": f"Bearer {_secret(self._file, 'latin-1')}"}

    def was_refused(self) -> bool:
        """There is no other before somebody writes one."""
        return False


class ClientCredentialsLogin:
    """A token of a token server (RFC 6749 4.4), kept until shortly before it ends."""

    def __init__(self, settings: ClientCredentials, seconds: float) -> None:
        """`seconds`: the longest that the token server may take."""
        self._settings, self._seconds = settings, seconds
        self._lock = threading.Lock()
        self._token, self._ends = "", 0.0

    def header(self) -> Mapping[str, str]:
        """With the token that is kept, or a new one."""
        with self._lock:
            if not self._token or time.monotonic() >= self._ends:
                self._token, good_for = self._ask()
                self._ends = time.monotonic() + max(good_for - _EARLY, good_for / 2)
            return {"Authorization": f"Bearer {self._token}"}

    def was_refused(self) -> bool:
        """The token is forgotten: the next one is new."""
        with self._lock:
            self._token = ""
        return True

    def _ask(self) -> tuple[str, float]:
        """A token, and the seconds that it is good for."""
        settings = self._settings
        named = f"token server {urlsplit(settings.token_url).hostname}"
        # RFC 6749 2.3.1: both are form-encoded before they are joined
        pair = f"{quote_plus(settings.client_id)}:{quote_plus(_secret(settings.client_secret_file, 'ascii'))}"
        form = {"grant_type": "client_credentials"} | ({"scope": settings.scope} if settings.scope else {})
        headers = {
            "Authorization": f"Basic {b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        request = WebRequest("POST", settings.token_url, headers, urlencode(form).encode())
        try:
            context = client.tls_context(settings.authorities)
        except OSError as error:
            raise TransientError(f"{named} cannot be asked: {settings.authorities}: {error.strerror}") from error
        with deadline(named, self._seconds) as exchange:
            try:
                with client.answer(exchange, request, context) as found:
                    status, body = found.status_code, client.body_of(found, _MOST)
            except TransientError as error:
                raise TransientError(f"{named} {error}") from error
        if status in _FOR_A_PERSON:
            raise PermanentError(f"{named} answers {status}: it gives {settings.client_id} no token")
        if status != 200 or body is None:
            raise TransientError(f"{named} answers {status}, without a token")
        return _read(named, body)


def _read(named: str, body: bytes) -> tuple[str, float]:
    """A successful response (RFC 6749 5.1)."""
    try:
        found = json.loads(body)
        token, kind, seconds = found["access_token"], found.get("token_type", "bearer"), found.get("expires_in")
        good_for = _BY_DEFAULT if seconds is None else float(seconds)
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise TransientError(f"{named} gives an answer that is not one of OAuth 2.0 (RFC 6749 5.1)") from None
    if not isinstance(token, str) or not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii():
        raise TransientError(f"{named} gives a token that cannot be sent")
    if not token.isprintable() or " " in token or str(kind).lower() != "bearer" or not good_for > 0:
        raise TransientError(f"{named} gives a token that is not of type bearer, or good for no time")
    return token, good_for


def _secret(path: Path, charset: Literal["ascii", "latin-1"]) -> str:
    try:
        return read_secret(path, charset)
    except OSError as error:
        raise TransientError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TransientError(str(error)) from error


def login_of(destination: DicomWebDestination) -> Login:
    """The way to log in there."""
    if destination.username is not None and destination.password_file is not None:
        return BasicLogin(destination.username, destination.password_file)
    if destination.token_file is not None:
        return TokenLogin(destination.token_file)
    if destination.oauth2 is not None:
        return ClientCredentialsLogin(destination.oauth2, destination.timeout.total_seconds())
    return NoLogin()
