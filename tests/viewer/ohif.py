"""OHIF as a hospital serves it: its files, and Orthanc's DICOMweb on the same origin. Loopback only."""

from __future__ import annotations

import mimetypes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

import httpx

HERE = Path(__file__).resolve().parent
DIST = HERE / "node_modules" / ".ohif" / "dist"
_TYPES = {".wasm": "application/wasm", ".js": "text/javascript", ".mjs": "text/javascript"}


class OHIF:
    """OHIF on a free port before one archive: `with OHIF(pacs.url) as ohif: browser.go(ohif.viewer(study))`."""

    def __init__(self, archive: str) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(archive))
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def study_list(self, patient_id: str) -> str:
        """Address that lists the studies of a patient."""
        return f"http://127.0.0.1:{self._server.server_port}/?mrn={patient_id}"

    def viewer(self, study: str) -> str:
        """Address that opens a study."""
        return f"http://127.0.0.1:{self._server.server_port}/viewer?StudyInstanceUIDs={study}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(archive: str) -> type[BaseHTTPRequestHandler]:
    session = httpx.Client(trust_env=False)  # a proxy of the environment must not stand before the loopback

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/dicom-web/"):
                accept = {"Accept": self.headers.get("Accept", "*/*")}
                answer = session.get(archive + self.path, headers=accept, timeout=60)
                self._send(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)
            elif path == "/app-config.js":
                self._send(200, "text/javascript", (HERE / "app-config.js").read_bytes())
            else:
                file = _file(path)
                kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                self._send(200, kind, file.read_bytes())

        def _send(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "Cross-Origin-Opener-Policy": "same-origin",  # both for SharedArrayBuffer, which decoders use
                "Cross-Origin-Embedder-Policy": "require-corp",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the tests say what went wrong."""

    return Handler


def _file(path: str) -> Path:
    """The file of an address; the page itself for the addresses that the program in it makes up."""
    file = (DIST / path.lstrip("/")).resolve()
    return file if file.is_file() and file.is_relative_to(DIST) else DIST / "index.html"
