"""One request to a web service, and what its answer means: the one place that reads status codes of such services.

Nothing that the service says is quoted: its status codes are, and what a result says, which is checked elsewhere.
"""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from node.config.people import read_secret
from node.config.services import WebService
from node.errors import TransientError
from node.run.services.submission import SubmissionBody
from node.web import client
from node.web.client import WebAnswer, WebRequest
from node.web.exchange import Exchange, deadline
from node.web.waiting import retry_after
from plugins import limits

KEY_HEADER = "Idempotency-Key"
MOST = limits.ARRAY_BYTES + limits.OBJECTS_BYTES + limits.JSON_BYTES
"""Bytes of one answer."""
_ACCEPTS = "multipart/related, application/zip, application/json, application/dicom"
_REFUSES_THIS = frozenset({400, 413, 415, 422})
"""Of a submission: it will never be taken. All else may be put right, there or here, before the deadline."""
_NOT_NOW = frozenset({401, 403, 405, 408, 409, 425, 429})
"""Of a question for an answer: it may be put right before the deadline."""
_UNKNOWN = frozenset({404, 410})
_IS_THERE = frozenset({400, 404, 405, 411, 415, 422, 501})
"""What a service may say to HEAD that takes POST alone; 404 where it has no such method."""
_LONGEST_LOCATION = 2048
_FREE_CHECKED_EVERY = 16 * 2**20


class ReplyKind(Enum):
    """What the service says."""

    TAKEN = auto()
    """It has the images, and works on them."""
    ANSWERED = auto()
    """The body is what it found."""
    UNKNOWN = auto()
    """It does not know them any more."""
    LATER = auto()
    """It could not be asked, or cannot say; to be asked again."""
    REFUSED = auto()
    """It does not take these images, or could not analyse them."""
    BROKEN = auto()
    """It says what cannot be accepted."""


@dataclass(frozen=True, slots=True)
class ServiceReply:
    """An answer, read."""

    kind: ReplyKind
    why: str = ""
    """For the admin."""
    location: str | None = None
    """Where to ask for what it finds."""
    after: timedelta | None = None
    """When it wants to be asked again (Retry-After); None where it does not say."""
    content_type: str = ""


class ServiceCaller:
    """Speaks to one service; for one thread, but for `end`."""

    def __init__(self, name: str, settings: WebService, keep_free: int) -> None:
        """`keep_free`: bytes of the disk that an answer must leave."""
        self._name, self._settings, self._keep_free = name, settings, keep_free
        self._lock = threading.Lock()
        self._current: Exchange | None = None
        self._is_ended = False

    def end(self) -> None:
        """Break off what is under way, and ask nothing more."""
        with self._lock:
            self._is_ended = True
            if self._current is not None:
                self._current.end()

    def submit(self, body: SubmissionBody, key: str, target: Path, now: datetime) -> ServiceReply:
        """Hand the images over; where it answers at once, `target` has the body. OSError where that is not written."""
        headers = {
            "Content-Type": body.content_type,
            "Content-Length": str(body.length),
            "Accept": _ACCEPTS,
            KEY_HEADER: key,
        }
        request = WebRequest("POST", self._settings.url, headers, body.pieces)
        return self._asked(request, key, target, now, is_submission=True)

    def ask(self, location: str, key: str, target: Path, now: datetime) -> ServiceReply:
        """Ask for what it found; `target` has the body where it answers. OSError where that is not written."""
        request = WebRequest("GET", location, {"Accept": _ACCEPTS, KEY_HEADER: key})
        return self._asked(request, key, target, now, is_submission=False)

    def is_there(self) -> None:
        """Ask whether it is there, and takes our token; TransientError where not."""
        seconds = self._settings.timeout.total_seconds()
        with self._answer(WebRequest("HEAD", self._settings.url, {}), seconds) as found:
            if not (200 <= found.status_code < 300 or found.status_code in _IS_THERE):
                raise TransientError(f"{self._named} {_said(found.status_code)}")

    @property
    def _named(self) -> str:
        return f"service {self._name} ({self._settings.host})"

    def _asked(
        self, request: WebRequest, key: str, target: Path, now: datetime, *, is_submission: bool
    ) -> ServiceReply:
        try:
            with self._answer(request, self._settings.transfer.total_seconds()) as found:
                reply = self._read(found, key, now, is_submission=is_submission)
                if reply.kind is ReplyKind.ANSWERED and (problem := self._keep(found, target)):
                    return ServiceReply(ReplyKind.BROKEN, problem)
                return reply
        except TransientError as error:
            return ServiceReply(ReplyKind.LATER, str(error))

    @contextmanager
    def _answer(self, request: WebRequest, seconds: float) -> Iterator[WebAnswer]:
        headers = {"Accept-Encoding": "identity", **request.headers}
        settings = self._settings
        try:
            if settings.token_file is not None:
                headers["Authorization"] = f"Bearer {read_secret(settings.token_file, 'latin-1')}"
            context = client.tls_context(settings.authorities, settings.certificate, settings.key)
        except (OSError, ValueError) as error:
            raise TransientError(f"{self._named} cannot be asked: {error}") from error
        with deadline(self._named, seconds) as exchange, self._watched(exchange):
            whole = WebRequest(request.method, request.url, headers, request.content)
            try:
                silence = settings.timeout.total_seconds()
                with client.answer(exchange, whole, context, silence=silence) as found:
                    yield found
            except TransientError as error:
                raise TransientError(f"{self._named} {error}") from error

    @contextmanager
    def _watched(self, exchange: Exchange) -> Iterator[None]:
        with self._lock:
            if self._is_ended:
                raise TransientError("the node is being stopped")
            self._current = exchange
        try:
            yield
        finally:
            with self._lock:
                self._current = None

    def _read(self, found: WebAnswer, key: str, now: datetime, *, is_submission: bool) -> ServiceReply:
        status, after = found.status_code, retry_after(found.headers.get("retry-after"), now)
        if status == 200:
            return self._answered(found, key)
        if is_submission and status in (201, 202):
            return self._taken(found, after)
        if status == 202:
            return ServiceReply(ReplyKind.TAKEN, after=after)
        why = f"{self._named} {_said(status)}"
        if not is_submission and status in _UNKNOWN:
            return ServiceReply(ReplyKind.UNKNOWN, why, after=after)
        if status in _REFUSES_THIS if is_submission else 400 <= status < 500 and status not in _NOT_NOW:
            return ServiceReply(ReplyKind.REFUSED, why)
        return ServiceReply(ReplyKind.LATER, why, after=after)

    def _answered(self, found: WebAnswer, key: str) -> ServiceReply:
        """The body is an answer: to what, its key says."""
        if found.headers.get(KEY_HEADER, "").strip('" ') != key:
            told = "is to another submission" if KEY_HEADER in found.headers else f"has no {KEY_HEADER}"
            return ServiceReply(ReplyKind.BROKEN, f"the answer of {self._named} {told}")
        if found.headers.get("content-encoding", "identity") != "identity":
            return ServiceReply(ReplyKind.BROKEN, f"the answer of {self._named} is encoded, which nobody asked for")
        if "content-length" not in found.headers and found.headers.get("transfer-encoding") != "chunked":
            return ServiceReply(ReplyKind.BROKEN, f"the answer of {self._named} does not say where it ends")
        return ServiceReply(ReplyKind.ANSWERED, content_type=found.headers.get("content-type", ""))

    def _taken(self, found: WebAnswer, after: timedelta | None) -> ServiceReply:
        """Where its answer is asked for: nobody is sent elsewhere."""
        given = found.headers.get("location", "")
        if not given or len(given) > _LONGEST_LOCATION or not given.isascii() or not given.isprintable():
            return ServiceReply(ReplyKind.BROKEN, f"{self._named} does not say where its answer is (Location)")
        try:
            location = urljoin(self._settings.url, given)
            is_same = _origin(location) == _origin(self._settings.url)
        except ValueError:
            is_same = False
        if not is_same:
            told = f"{self._named} says that its answer is at another host, port or scheme, where nobody asks"
            return ServiceReply(ReplyKind.BROKEN, told)
        return ServiceReply(ReplyKind.TAKEN, location=location, after=after)

    def _keep(self, found: WebAnswer, target: Path) -> str:
        """Write the body; what is wrong with it, "" where nothing is. OSError where the disk has no room."""
        size = checked = 0
        with target.open("wb") as out:
            for piece in found.iter_raw():
                size += len(piece)
                if size > MOST:
                    return f"the answer of {self._named} has more than {MOST >> 20} MiB"
                if size >= checked:
                    checked = size + _FREE_CHECKED_EVERY
                    if shutil.disk_usage(target.parent).free < self._keep_free:
                        raise OSError(errno.ENOSPC, "the data disk has no room for an answer", str(target))
                out.write(piece)
        return ""


def _said(status: int) -> str:
    if 300 <= status < 400:
        return f"redirects elsewhere [{status}], which is not followed"
    if status in (401, 403):
        return f"does not accept our token or certificate [{status}]"
    return f"answers {status}"


def _origin(url: str) -> tuple[str, str | None, int | None, bool]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, port, parts.username is not None
