"""Addresses of hosts by their names: looked up beside the associations, never before the answer to one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from node.clock import Clock
from node.dimse.addresses import Address, literal, plain_address
from node.store.resolved import ResolvedHost, ResolvedHosts

Lookup = Callable[[str], Iterable[str]]
"""The addresses of a name, as the system has them; OSError or UnicodeError where it has none."""
PAUSE = 60.0
"""Seconds between two looks at a name."""
FIRST = 2.0
"""Seconds that a caller waits for the first look at a name of which nothing is known."""
log = structlog.get_logger(__name__)


def _system(host: str) -> list[str]:
    return [str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Hosts:
    """What the system says of some hosts; of one of which it says nothing now, what it said last, also before a start.

    Each name has a thread of its own: where the name server hangs, it alone waits.
    """

    def __init__(self, hosts: Iterable[str], kept: ResolvedHosts, clock: Clock, lookup: Lookup = _system) -> None:
        self._kept = kept
        self._clock = clock
        self._lookup = lookup
        self._lock = threading.Lock()
        names = {host for host in hosts if literal(host) is None}
        self._known = {name: known for name, known in kept.read().items() if name in names}
        self._looked = {name: threading.Event() for name in names}
        for name in names:
            threading.Thread(target=self._watch, args=(name,), name=f"look up {name}", daemon=True).start()

    def addresses(self, host: str) -> frozenset[Address]:
        """The addresses of a host, by name or address; none where the name has never been resolved."""
        address = literal(host)
        if address is not None:
            return frozenset({address})
        if host not in self._known and host in self._looked:
            self._looked[host].wait(FIRST)
        known = self._known.get(host)
        return frozenset(map(plain_address, known.addresses)) if known else frozenset()

    def _watch(self, name: str) -> None:
        while True:
            self._look(name)
            self._looked[name].set()
            time.sleep(PAUSE)

    def _look(self, name: str) -> None:
        before, now = self._known.get(name), self._clock.now()
        try:
            found = tuple(sorted({str(plain_address(each)) for each in self._lookup(name)}))
        except (OSError, UnicodeError) as error:
            failing = before or ResolvedHost()
            new = failing if failing.failing_since else replace(failing, failing_since=now)
            if new is not before:
                log.warning("dimse.host-unknown", host=name, reason=str(error), used=list(new.addresses))
        else:
            new = ResolvedHost(found)
        if new != before:
            self._keep(name, new)

    def _keep(self, name: str, known: ResolvedHost) -> None:
        with self._lock:
            self._known = {**self._known, name: known}
            try:
                self._kept.write(self._known)
            except OSError as error:  # it is known here, and `status` is late
                log.warning("dimse.hosts-not-kept", reason=error.strerror or str(error))
