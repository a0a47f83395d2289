"""What systemd gets to know of the node (sd_notify(3)): a datagram of a few lines, where systemd has started it.

READY=1 when the receivers answer a C-ECHO and the node process runs; WATCHDOG=1 only as long as both are so, and the
node process has given a sign of life; RELOADING=1 between SIGHUP and what came of it; STOPPING=1 when it drains.
STATUS= is the sentence that `systemctl status` shows.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from node.serve import self_test
from node.store.pulse import PULSE

log = structlog.get_logger(__name__)
_AGAIN = 0.5
"""Seconds after a self-test that failed, and between looks at a node process that does not run."""
_USUAL = 60.0
"""Seconds between self-tests where systemd watches nothing."""
_MAY_TAKE = 20.0
_OLDEST_SIGN = 180.0
"""Seconds after which a node process that gave no sign of life hangs: it gives four in a minute."""
_RELOAD_MAY_TAKE = 120.0


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The socket on which systemd listens; nobody does where `address` is empty."""

    address: str = ""
    watchdog: float = 0.0
    """Seconds after which systemd ends a service that has given no sign; 0: never."""

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """As the variables say that systemd gave to this process."""
        watched = environment.get("WATCHDOG_USEC", "0")
        is_ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        seconds = int(watched) / 1e6 if watched.isdecimal() and is_ours else 0.0
        return cls(environment.get("NOTIFY_SOCKET", ""), seconds)

    @classmethod
    def take(cls) -> ServiceManager:
        """The one of this process; its children do not inherit the variables."""
        found = cls.of(os.environ, os.getpid())
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            os.environ.pop(name, None)
        return found

    def tell(self, *lines: str) -> None:
        """Send these; that nobody hears them is no reason to end a node."""
        if not self.address:
            return
        # A name that begins with @ is in the abstract namespace (unix(7)), which a null byte begins.
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("serve.service-manager-not-told", reason=error.strerror or str(error))


@dataclass(slots=True)
class NodeSign:
    """The sign of life of the node process, timed by our own clock: the machine's may be set."""

    file: Path
    _seen: int = -1
    _seen_at: float = field(default_factory=time.monotonic)

    def is_fresh(self) -> bool:
        """Whether it has changed of late."""
        with contextlib.suppress(OSError):
            written = self.file.stat().st_mtime_ns
            if written != self._seen:
                self._seen, self._seen_at = written, time.monotonic()
        return time.monotonic() - self._seen_at < _OLDEST_SIGN


class WatchedService:
    """What systemd knows, and what it is to know next; looked at by the supervisor's loop, which it never holds up."""

    def __init__(self, manager: ServiceManager, data: Path, called: str, ring: Callable[[], None]) -> None:
        self._manager = manager
        self._called = called
        self._calling = self_test.new_title() if manager.address else ""
        self._ring = ring
        self._sign = NodeSign(data / PULSE)
        self._tested = threading.Event()
        self._is_testing = False
        self._answered = False
        self._next = time.monotonic()
        self._is_ready = False
        self._said = self._refusal = ""
        self._reload_ends: float | None = None

    def look(self, address: tuple[str, int] | None, node_runs: bool) -> None:
        """Test, and tell. `address`: where the node listens without TLS; None where it does not."""
        if not self._manager.address:
            return
        now = time.monotonic()
        if self._reload_ends is not None and now >= self._reload_ends:
            self.reloaded("")
        if self._is_testing and self._tested.is_set():
            self._is_testing = False
            self._tell(node_runs)
        elif not self._is_testing and now >= self._next:
            self._is_testing = True
            self._tested.clear()
            threading.Thread(target=self._test, args=(address,), name="self-test", daemon=True).start()

    def due_at(self) -> float | None:
        """When to look again even if nothing happens (monotonic)."""
        if not self._manager.address:
            return None
        times = [self._reload_ends, None if self._is_testing else self._next]
        return min((each for each in times if each is not None), default=None)

    def _test(self, address: tuple[str, int] | None) -> None:
        """In a thread of its own. Over TLS alone it cannot be asked: client certificates are other systems' own."""
        self._answered = address is None or self_test.answers(address, self._called, self._calling, _MAY_TAKE)
        self._tested.set()
        self._ring()

    def _tell(self, node_runs: bool) -> None:
        is_well = self._answered and node_runs and self._sign.is_fresh()
        pause = self._manager.watchdog / 4 or _USUAL
        self._next = time.monotonic() + (pause if is_well else _AGAIN)
        lines = []
        if is_well and not self._is_ready:
            self._is_ready = True
            lines.append("READY=1")
        if is_well and self._manager.watchdog:
            lines.append("WATCHDOG=1")
        status = self._sentence(node_runs)
        if status != self._said:
            self._said = status
            lines.append(f"STATUS={status}")
        if lines:
            self._manager.tell(*lines)

    def _sentence(self, node_runs: bool) -> str:
        if not self._answered:
            return "The receivers do not answer." if self._is_ready else "Starting: the receivers do not answer yet."
        if not node_runs:
            return "Images are received and wait: the node process does not run just now; the log says why."
        if not self._sign.is_fresh():
            return "Images are received and wait: the node process has given no sign of life for three minutes."
        if self._refusal:
            return f"Receives images as {self._called}. What was saved last is refused: {self._refusal}"
        return f"Receives images as {self._called}, and works."

    def reloading(self) -> None:
        """SIGHUP came."""
        if not self._manager.address:
            return
        self._reload_ends = time.monotonic() + _RELOAD_MAY_TAKE
        self._manager.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, refusal: str) -> None:
        """What came of it: why nothing has changed, or nothing to say."""
        if self._reload_ends is None:
            return
        self._reload_ends, self._refusal = None, refusal
        self._manager.tell("READY=1")
        self._next = time.monotonic()

    def stopping(self) -> None:
        """It drains."""
        self._manager.tell("STOPPING=1", "STATUS=Stopping: open associations finish.")
