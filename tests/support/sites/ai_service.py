"""A web service that analyses images, as docs/http.md has it: a small Starlette application that a test can spoil."""

from __future__ import annotations

import io
import json
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import uvicorn
from pydicom import Dataset, dcmread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

KEY = "Idempotency-Key"
FOUND = {"code": {"value": "1", "scheme": "99TEST", "meaning": "Thing"}, "present": True}


@dataclass
class SubmittedStudy:
    """What came under one key."""

    key: str
    files: Mapping[str, bytes]
    headers: Mapping[str, str]
    polls: int = 0

    @property
    def images(self) -> list[Dataset]:
        """Its DICOM files, in their order."""
        return [dcmread(io.BytesIO(data)) for name, data in self.files.items() if name.endswith(".dcm")]

    @property
    def request(self) -> dict[str, Any]:
        """Its request.json."""
        found: dict[str, Any] = json.loads(self.files["request.json"])
        return found


def result(**keys: Any) -> bytes:
    """A result.json with one finding, unless something else is said."""
    return json.dumps({"schema": 1, "status": "findings", "summary": "A thing.", "findings": [FOUND]} | keys).encode()


def in_json(study: SubmittedStudy) -> Response:
    """The usual answer."""
    return answer(study, result(), "application/json")


def answer(study: SubmittedStudy, body: bytes, content_type: str, **headers: str) -> Response:
    """An answer to what came."""
    return Response(body, 200, {KEY: study.key, **headers}, media_type=content_type)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return kept.getvalue()


def multipart(parts: list[tuple[str, bytes]], boundary: str = "cut") -> bytes:
    """multipart/related, from content types and contents."""
    pieces = [f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + data + b"\r\n" for kind, data in parts]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


@dataclass
class AiService:
    """Keeps what it is sent by its key: what comes again under a key is not begun again."""

    answers: Callable[[SubmittedStudy], Response] = in_json
    polls: int = 0
    """How often it says that it is not ready."""
    first: list[Callable[[], Response]] = field(default_factory=list)
    """What the next requests get, before anything is done."""
    after: list[Callable[[], Response]] = field(default_factory=list)
    """What the next submissions get, after they were taken."""
    waits: Mapping[str, str] = field(default_factory=dict)
    """Headers of what says that it works."""
    token: str = ""
    studies: dict[str, SubmittedStudy] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    """Keys of the analyses that it began."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    url: str = ""

    @property
    def only(self) -> SubmittedStudy:
        """The one that came."""
        (study,) = self.studies.values()
        return study

    def application(self) -> Starlette:
        """It, to be served."""
        return Starlette(
            routes=[
                Route("/analyses", self._submit, methods=["POST"]),
                Route("/analyses/{key}", self._ask, methods=["GET"]),
            ]
        )

    async def _submit(self, request: Request) -> Response:
        body = await request.body()
        if early := self._before(request):
            return early
        key = request.headers[KEY]
        if key not in self.studies:
            files = _files(body, request.headers["content-type"])
            self.studies[key] = SubmittedStudy(key, files, dict(request.headers))
            self.begun.append(key)
        if self.after:
            return self.after.pop(0)()
        return Response(status_code=202, headers={"Location": f"/analyses/{key}", **self.waits})

    async def _ask(self, request: Request) -> Response:
        if early := self._before(request):
            return early
        study = self.studies.get(request.path_params["key"])
        if study is None:
            return Response(status_code=404)
        study.polls += 1
        if study.polls <= self.polls:
            return Response(status_code=202, headers=dict(self.waits))
        return self.answers(study)

    def _before(self, request: Request) -> Response | None:
        self.asked.append((request.method, request.url.path))
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return Response(status_code=401)
        return self.first.pop(0)() if self.first else None


def _files(body: bytes, content_type: str) -> dict[str, bytes]:
    if content_type == "application/zip":
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    boundary = content_type.split('boundary="')[1].split('"')[0].encode()
    found = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        named = BytesParser().parsebytes(head, headersonly=True)["Content-Location"]
        found[str(named)] = data.removesuffix(b"\r\n")
    return found


@contextmanager
def serving(service: AiService, certificate: Path | None = None, key: Path | None = None) -> Iterator[AiService]:
    """It listens on the loopback interface; with a certificate by TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            service.application(),
            log_config=None,
            lifespan="off",
            ssl_certfile=certificate,
            ssl_keyfile=key,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        service.url = f"http{'s' if certificate else ''}://127.0.0.1:{listening.getsockname()[1]}/analyses"
        thread.start()
        try:
            yield service
        finally:
            server.should_exit = True
            thread.join(timeout=120)
