"""One conversation with a mail server or a web service, from the connection to the last byte within one deadline.

A timeout of a socket counts for each read: a server that sends a byte now and then would hold the conversation for
ever. At the deadline the connection is ended under whoever reads from it or writes to it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from node.errors import TransientError


class Exchange:
    """The connections of one conversation; `deadline` makes it."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer: threading.Timer | None = None
        self.is_over = False
        """Whether the deadline ended it, or `end`."""

    @property
    def left(self) -> float:
        """Seconds; TimeoutError where there are none."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def watch(self, connection: socket.socket) -> None:
        """End this connection with the conversation."""
        same = socket.socket(fileno=socket.dup(connection.fileno()))  # TLS takes the first one over
        with self._lock:
            self._watched.append(same)
            if self._timer is None:
                self._timer = threading.Timer(max(self._ends - time.monotonic(), 0.0), self.end)
                self._timer.daemon = True
                self._timer.start()
            is_over = self.is_over
        if is_over:
            self.end()

    def end(self) -> None:
        """It is over, whoever reads or writes."""
        with self._lock:
            self.is_over = True
            for each in self._watched:
                with contextlib.suppress(OSError):  # it ended on its own
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """It went well, or failed otherwise."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            for each in self._watched:
                each.close()
            self._watched.clear()


@contextmanager
def deadline(where: str, seconds: float) -> Iterator[Exchange]:
    """A conversation of at most this many seconds; TransientError, which names `where`, where it is not over then."""
    exchange = Exchange(seconds)
    told = f"{where} did not come to an end in {seconds:g} s"
    try:
        yield exchange
    except Exception as error:
        if exchange.is_over:
            raise TransientError(told) from error
        raise
    finally:
        exchange.close()
    if exchange.is_over:  # the end of the connection may have been taken for the end of an answer
        raise TransientError(told)
