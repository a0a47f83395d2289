"""One conversation with a mail server or a web service, from the connection to the last byte within one deadline.

A timeout of a socket counts for each read: a server that sends a byte now and then would hold the conversation for
ever. At the deadline the connection is ended under whoever reads from it or writes to it.
"""

from __future__ import annotations

import contextlib
import http.client
import smtplib
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from node.errors import TransientError


class Exchange:
    """The connection of one conversation; `deadline` makes it."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._watched: tuple[threading.Timer, socket.socket] | None = None
        self.is_over = False
        """Whether the deadline ended it."""

    def open(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """Connect, and watch the connection from then on; as `socket.create_connection`, whose other arguments it
        passes over."""
        left = self._left()
        if left <= 0:
            raise TimeoutError
        connection = socket.create_connection(address, left)
        same = socket.socket(fileno=socket.dup(connection.fileno()))  # TLS takes the first one over
        timer = threading.Timer(self._left(), self._end, (same,))
        timer.daemon = True
        timer.start()
        self._watched = timer, same
        return connection

    def _left(self) -> float:
        return self._ends - time.monotonic()

    def _end(self, connection: socket.socket) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):  # it ended on its own
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """It went well, or failed otherwise."""
        if self._watched is not None:
            timer, connection = self._watched
            timer.cancel()
            connection.close()


@contextmanager
def deadline(where: str, seconds: float) -> Iterator[Exchange]:
    """A conversation of at most this many seconds; TransientError, which names `where`, where it is not over then."""
    exchange = Exchange(seconds)
    try:
        yield exchange
    except Exception as error:
        if exchange.is_over:
            raise TransientError(f"{where} did not come to an end in {seconds:g} s") from error
        raise
    finally:
        exchange.close()


class MailSession(smtplib.SMTP):
    """SMTP on a connection of an exchange; `context` for TLS from its first byte."""

    def __init__(self, exchange: Exchange, host: str, port: int, name: str, context: ssl.SSLContext | None) -> None:
        self._exchange = exchange
        self._context = context
        super().__init__(host, port, name)

    def _get_socket(self, host: str, port: int, _timeout: float | None) -> socket.socket:
        """As smtplib's, which has no other place for it."""
        connection = self._exchange.open((host, port))
        return self._context.wrap_socket(connection, server_hostname=host) if self._context else connection


def opener(exchange: Exchange, context: ssl.SSLContext, *more: urllib.request.BaseHandler) -> Any:
    """An urllib opener whose connections are those of the exchange."""

    def watched(kind: Callable[..., http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        def made(*arguments: Any, **options: Any) -> http.client.HTTPConnection:
            connection = kind(*arguments, **options)
            connection._create_connection = exchange.open  # type: ignore[attr-defined] # what http.client connects by
            return connection

        return made

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(watched(http.client.HTTPConnection), request)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(watched(http.client.HTTPSConnection), request, context=context)

    return urllib.request.build_opener(*more, Plain, Secure)
