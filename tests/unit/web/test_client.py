"""The client for HTTP: its deadline, what it takes from the environment, and what its errors say."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from node.errors import TransientError
from node.web import client
from node.web.client import WebRequest
from node.web.exchange import deadline

DEADLINE = 60.0
"""Of a test that is right: nothing here takes it."""


@contextmanager
def saying(content: bytes, then: bytes = b"") -> Iterator[int]:
    """A server that says this to whoever comes, and then a piece ten times a second until it is left."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(content)
                    while then:
                        connection.sendall(then)
                        time.sleep(0.1)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(timeout=DEADLINE)


def body_of(port: int, seconds: float = DEADLINE) -> bytes:
    """What is at the port; TransientError."""
    with deadline("it", seconds) as exchange:
        request = WebRequest("GET", f"http://127.0.0.1:{port}/", {})
        with client.answer(exchange, request, ssl.create_default_context()) as found:
            return b"".join(found.iter_raw())


@pytest.mark.parametrize("content", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "body"])
def test_a_server_that_drips_is_left_at_the_deadline(content: bytes) -> None:
    """Of the whole conversation, headers and body: a byte now and then does not prolong it."""
    over = r"did not come to an end in 2 s|no answer in time"  # the second where this process was held up for as long
    with saying(content, b"x") as port, pytest.raises(TransientError, match=over):
        body_of(port, 2)


def test_a_proxy_of_the_environment_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and notifications go where the configuration says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as port:
        assert body_of(port) == b"ok"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHong^Gildong", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20, "not HTTP"),
    ],
    ids=["another protocol", "breaks off", "headers without end"],
)
def test_what_a_server_says_is_never_quoted(content: bytes, why: str) -> None:
    """It may say whose images it got."""
    with saying(content) as port, pytest.raises(TransientError, match=why) as error:
        body_of(port)
    assert "Hong" not in str(error.value)


def test_nobody_there_is_said_in_words() -> None:
    """Not by the name of an error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TransientError, match="cannot be reached: Connection refused"):
        body_of(port)
