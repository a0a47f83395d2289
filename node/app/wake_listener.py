"""Hears the wakes of other processes (`node.wake_socket`)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from node.wake_socket import FILE, address_of

_PAUSE = 0.2
"""Seconds between two wakes, however many bytes come: stages look at everything that is there anyway."""
_MOST = 1024
"""Bytes taken at once: a sender without a gap does not keep the wake from being heard."""
log = structlog.get_logger(__name__)


class WakeListener:
    """Hears the wakes of other processes; a file that an earlier node left is replaced.

    Raises OSError where the socket cannot be made.
    """

    def __init__(self, data: Path, wake: Callable[[], None]) -> None:
        path = data / FILE
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._wake = wake
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            with address_of(path) as address:
                self._socket.bind(address)
            path.chmod(0o600)
        except OSError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._listen, name="wake-socket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        while self._heard() and not self._over.is_set():
            self._wake()
            self._over.wait(_PAUSE)

    def _heard(self) -> bool:
        """Wait for a byte, and take those that came with it; false where the socket fails."""
        try:
            self._socket.recv(1)
            with contextlib.suppress(BlockingIOError):
                for _ in range(_MOST):
                    self._socket.recv(1, socket.MSG_DONTWAIT)
        except OSError as error:
            log.error(
                "app.wake-socket-failed", reason=error.strerror, instead="what others write is found by the sweep"
            )
            return False
        return True
