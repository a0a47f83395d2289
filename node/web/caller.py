"""A web service that is called again and again: with our login and certificate, answers of any size bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from node.clock import SystemClock
from node.errors import TransientError
from node.web import client
from node.web.client import NotConnectedError, WebRequest, WebSession
from node.web.exchange import deadline
from node.web.logins import Login
from node.web.waiting import retry_after

_UNAUTHORISED = 401


@dataclass(frozen=True, slots=True)
class WebCallee:
    """Whom to call, and how long that may take."""

    named: str
    """In errors: `DICOMweb at https://pacs.example/dicom-web`."""
    authorities: Path | None
    certificate: Path | None
    key: Path | None
    silence: float
    """Seconds, at most."""
    whole: float
    """Seconds for one request and its answer, at most."""


@dataclass(frozen=True, slots=True)
class WebReply:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes | None
    """None where it has more bytes than anybody wants, or is compressed."""
    again_after: timedelta | None
    """When it wants to be asked again (Retry-After)."""
    warning: str = ""
    """What the header of that name says (RFC 7234 5.5)."""


class WebCaller:
    """One conversation after the other with a web service; for one thread. `calling` makes it."""

    def __init__(self, callee: WebCallee, login: Login, session: WebSession) -> None:
        self._callee, self._login, self._session = callee, login, session

    def ask(self, request: WebRequest, most: int) -> WebReply:
        """The answer; `most`: bytes of its body. TransientError where there is no whole one; NotConnectedError where
        nothing was said, also because there is no login now.

        PermanentError where the token server gives no token. A request that was refused for its token is made once
        more with a new one.
        """
        found = self._ask(request, most)
        if found.status == _UNAUTHORISED and self._login.was_refused():
            return self._ask(request, most)
        return found

    def _ask(self, request: WebRequest, most: int) -> WebReply:
        try:
            login = self._login.header()
        except TransientError as error:
            raise NotConnectedError(str(error)) from error
        headers = {"Accept-Encoding": "identity", **request.headers, **login}
        whole = WebRequest(request.method, request.url, headers, request.content)
        callee = self._callee
        with deadline(callee.named, callee.whole) as exchange:
            try:
                with self._session.answer(exchange, whole) as found:
                    return WebReply(
                        found.status_code,
                        found.headers.get("content-type", "").partition(";")[0].strip().lower(),
                        client.body_of(found, most),
                        retry_after(found.headers.get("retry-after"), SystemClock().now()),
                        found.headers.get("warning", ""),
                    )
            except TransientError as error:
                raise type(error)(f"{callee.named} {error}") from error


@contextmanager
def calling(callee: WebCallee, login: Login) -> Iterator[WebCaller]:
    """Call it within this block; TransientError where our certificate cannot be used."""
    try:
        context = client.tls_context(callee.authorities, callee.certificate, callee.key)
    except OSError as error:
        raise TransientError(f"{callee.named} cannot be called: {error}") from error
    with WebSession(context, silence=callee.silence) as session:
        yield WebCaller(callee, login, session)
