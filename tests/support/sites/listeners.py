"""A mail server and a web service of a test's own, on the loopback interface: what they are told, they keep."""

from __future__ import annotations

import json
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from tests.support.programs.peers import find_program


@dataclass
class MailServer:
    """Speaks as much SMTP as a test needs; `answers` overrides what it says to a verb, `DATA.` to the message."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    received: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    encrypted: list[bool] = field(default_factory=list)
    """Of each message whether it came over TLS."""

    def talk(self, handler: socketserver.StreamRequestHandler) -> None:
        say, hear, secure = handler.wfile, handler.rfile, False
        say.write(b"220 mail\r\n")
        while line := hear.readline():
            verb = line.split()[0].decode().upper() if line.split() else ""
            if verb == "STARTTLS" and self.tls:
                say.write(b"220 go on\r\n")
                wrapped = self.tls.wrap_socket(handler.request, server_side=True)
                say = hear = cast(Any, wrapped.makefile("rwb", buffering=0))
                secure = True
                continue
            if verb == "RCPT":
                self.recipients.append(line.decode().strip())
            if verb == "AUTH":
                self.logins.append(line.decode().strip())
            say.write(f"{self._answer(verb, secure)}\r\n".encode())
            if verb == "DATA" and self._answer(verb, secure).startswith("354"):
                content = b""
                while not content.endswith(b"\r\n.\r\n"):
                    content += hear.readline()
                answer = self.answers.get("DATA.", "250 kept")
                if answer.startswith("250"):
                    self.received.append(message_from_bytes(content[:-3], policy=policy.default))
                    self.encrypted.append(secure)
                say.write(f"{answer}\r\n".encode())
            if verb == "QUIT":
                return

    def _answer(self, verb: str, secure: bool) -> str:
        if verb == "EHLO":
            more = ["STARTTLS"] if self.tls and not secure else []
            return "\r\n".join([*(f"250-{each}" for each in ["mail", *more]), "250 AUTH PLAIN"])
        usual = {"DATA": "354 go on", "AUTH": "235 welcome", "QUIT": "221 bye"}
        return self.answers.get(verb, usual.get(verb, "250 ok"))


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None) -> Iterator[MailServer]:
    """One that runs as long as the block."""
    kept = MailServer(tls=tls)

    class Handler(socketserver.StreamRequestHandler):
        timeout = 20

        def handle(self) -> None:
            kept.talk(self)

    with _Server(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_address[1]
        with _serving(server):
            yield kept


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@dataclass
class WebService:
    """Takes POSTs; answers with `status`."""

    url: str = ""
    status: int = 204
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)


@contextmanager
def web_service(tls: ssl.SSLContext | None = None) -> Iterator[WebService]:
    """One that runs as long as the block."""
    kept = WebService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            kept.methods.append("POST")
            if kept.status < 300:
                kept.received.append(json.loads(content))
                kept.headers.append(dict(self.headers))
            self.send_response(kept.status)
            if 300 <= kept.status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            kept.methods.append("GET")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        kept.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/notify"
        with _serving(server):
            yield kept


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(timeout=120)


def own_certificate(folder: Path) -> tuple[ssl.SSLContext, Path] | None:
    """TLS of a server on 127.0.0.1, and the file by which it is trusted; None where there is no openssl."""
    openssl = find_program("openssl")
    if openssl is None:
        return None
    certificate, key = folder / "own.pem", folder / "own.key"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=own",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
