"""A DICOMweb server of a test's own: it stores what it is sent, and answers by a script where a test wants it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import Dataset, dcmread

JSON = "application/dicom+json"


@dataclass(frozen=True)
class Heard:
    """One request."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def part(self) -> bytes:
        """The one part of a STOW-RS request."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        _, part = BytesParser().parsebytes(head + self.body).walk()
        found = part.get_payload(decode=True)
        assert isinstance(found, bytes)
        return found

    @property
    def dataset(self) -> Dataset:
        """The object that was sent."""
        return dcmread(BytesIO(self.part))


Step = Callable[[BaseHTTPRequestHandler, Heard], None]
"""What is done instead of the usual."""


def say(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes | Any = b"",
    kind: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer; what is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def saying(status: int, body: bytes | Any = b"", kind: str = JSON, **headers: str) -> Step:
    """A step that answers this; `Retry_After` is written Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: say(handler, status, body, kind, named)


def us(tag: str, value: int) -> dict[str, Any]:
    """An attribute with a number."""
    return {tag: {"vr": "US", "Value": [value]}}


def item(dataset: Dataset, **more: Any) -> dict[str, Any]:
    """The item about an object in a store response."""
    uids = {"00081150": dataset.SOPClassUID, "00081155": dataset.SOPInstanceUID}
    return {tag: {"vr": "UI", "Value": [str(uid)]} for tag, uid in uids.items()} | more


def refused(dataset: Dataset, reason: int) -> dict[str, Any]:
    """A store response that says why it was not stored."""
    return {"00081198": {"vr": "SQ", "Value": [item(dataset, **us("00081197", reason))]}}


def stored(dataset: Dataset, **more: Any) -> dict[str, Any]:
    """A store response that says that it was stored."""
    return {"00081199": {"vr": "SQ", "Value": [item(dataset, **more)]}}


@dataclass
class DicomWebServer:
    """`script` has what the next POSTs get instead, in their order; `questions` the next GETs."""

    port: int = 0
    token: str = ""
    """What has to be in Authorization; nothing where it is empty."""
    script: list[Step] = field(default_factory=list)
    questions: list[Step] = field(default_factory=list)
    greetings: list[Step] = field(default_factory=list)
    """What the next OPTIONS get."""
    heard: list[Heard] = field(default_factory=list)
    held: dict[str, Dataset] = field(default_factory=dict)
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The root of its services."""
        return f"{self.scheme}://localhost:{self.port}/dicom-web"

    def of(self, method: str) -> list[Heard]:
        """The requests of a method."""
        return [each for each in self.heard if each.method == method]

    def answer(self, handler: BaseHTTPRequestHandler, request: Heard) -> None:
        """One request."""
        self.heard.append(request)
        if self.token and request.headers.get("authorization") != self.token:
            say(handler, 401)
        elif request.method == "POST":
            (self.script.pop(0) if self.script else self.store)(handler, request)
        elif request.method == "GET":
            (self.questions.pop(0) if self.questions else self._find)(handler, request)
        else:
            (self.greetings.pop(0) if self.greetings else saying(200))(handler, request)

    def store(self, handler: BaseHTTPRequestHandler, request: Heard) -> None:
        """STOW-RS."""
        self.keep(request)
        say(handler, 200, stored(request.dataset))

    def keep(self, request: Heard) -> None:
        """Have it, without an answer."""
        self.held[str(request.dataset.SOPInstanceUID)] = request.dataset

    def _find(self, handler: BaseHTTPRequestHandler, request: Heard) -> None:
        """QIDO-RS: every instance that matches, as if each were a study of its own."""
        path = request.path.split("/")
        wanted = {name: values[0] for name, values in request.query.items() if name[0].isupper()}
        if "instances" in path:
            wanted["StudyInstanceUID"] = path[path.index("studies") + 1]
        found = [each for each in self.held.values() if all(str(each[name].value) == wanted[name] for name in wanted)]
        fields = ("StudyInstanceUID", "SOPInstanceUID", "PatientID", "AccessionNumber", "PatientName")
        answers = [Dataset({each[name].tag: each[name] for name in fields}).to_json_dict() for each in found]
        say(handler, 200, answers)


@contextmanager
def serving(server: DicomWebServer, tls: ssl.SSLContext | None = None) -> Iterator[DicomWebServer]:
    """Listen on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def _do(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.answer(self, Heard(self.command, parts.path, parse_qs(parts.query), headers, body))

        do_GET = do_POST = do_OPTIONS = _do  # noqa: N815 - the names of http.server

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Listening(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Whoever called has gone."""

    listening = Listening(("127.0.0.1", 0), Handler)
    listening.daemon_threads, listening.block_on_close = True, False
    if tls is not None:
        server.scheme, listening.socket = "https", tls.wrap_socket(listening.socket, server_side=True)
    server.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
