"""The way out of a sandbox that has no network: to the services that its plugin was granted, and to no other.

In the network namespace of the sandbox, addresses of its loopback interface stand for the granted services: an IPv4
address for itself, a name for one of 127.0.0.2 and up, by /etc/hosts. A relay, a child of the guard outside, has the
sockets that listen there, and connects each caller to the service that the socket stands for. So nothing of the relay
is in the sandbox, and where it connects to is not the plugin's to say.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import ipaddress
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NS_GET_USERNS = 0xB701
_SIOCSIFADDR, _SIOCSIFNETMASK = 0x8916, 0x891C
_SIOCGIFFLAGS, _IFF_UP = 0x8913, 0x1
_PR_SET_PDEATHSIG = 1
_FIRST = 2
"""127.0.0.1 is the sandbox's own."""
_LOCALHOST = {"localhost": "127.0.0.1"}
_MOST = 200
_LOOPBACK_SECONDS = 20.0
CONNECT_SECONDS = 20.0
CONNECTIONS = 64
"""At the same time, of one plugin."""
_PIECE = 65536
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class RelayRoute:
    """A granted service, and the address that stands for it in the sandbox."""

    host: str
    port: int
    address: str


def routes(services: Iterable[tuple[str, int]]) -> list[RelayRoute]:
    """An address for each host; ValueError where there are more hosts than addresses."""
    addresses: dict[str, str] = {}
    found = []
    for host, port in services:
        if host not in addresses:
            named = sum(not _is_address(each) for each in addresses)
            if named >= _MOST:
                raise ValueError(f"more than {_MOST} hosts")
            own = host if _is_address(host) else _LOCALHOST.get(host)
            addresses[host] = own or f"127.0.0.{_FIRST + named}"
        found.append(RelayRoute(host, port, addresses[host]))
    return found


def hosts(of: Sequence[RelayRoute]) -> str:
    """/etc/hosts of the sandbox."""
    named = dict.fromkeys((route.address, route.host) for route in of if route.address != route.host)
    own = [(address, name) for name, address in _LOCALHOST.items()]
    return "".join(f"{address} {name}\n" for address, name in dict.fromkeys([*own, *named]))


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def start(process: int, of: Sequence[RelayRoute]) -> int:
    """Start a relay for the sandbox of this process; its process id, once all its sockets listen. OSError.

    The caller has one thread. The relay ends when the caller does.
    """
    ours, theirs = socket.socketpair()
    guard = os.getpid()
    relay = os.fork()
    if relay == 0:
        ours.close()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == guard:
            _serve(process, of, theirs)
        os._exit(1)
    theirs.close()
    with ours:
        said = ours.recv(1000)
    if said != b"listens":
        os.kill(relay, signal.SIGKILL)
        os.waitpid(relay, 0)
        raise OSError(f"the granted network cannot be reached from the sandbox: {said.decode(errors='replace')}")
    return relay


def _serve(process: int, of: Sequence[RelayRoute], ready: socket.socket) -> None:
    """In the relay: never returns where it works."""
    with ready:
        try:
            listeners = _listeners(process, of)
        except OSError as error:
            ready.sendall(str(error).encode()[:1000])
            return
        free = threading.BoundedSemaphore(CONNECTIONS)
        for listener, route in zip(listeners, of, strict=True):
            threading.Thread(target=_accept, args=(listener, route, free), daemon=True).start()
        ready.sendall(b"listens")
    while True:
        signal.pause()


def _listeners(process: int, of: Sequence[RelayRoute]) -> list[socket.socket]:
    """Sockets that listen in the sandbox, made by a child: who has entered a namespace may not be able to leave it."""
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        os._exit(_listen(process, of, there))
    there.close()
    with here:
        message, descriptors, _, _ = socket.recv_fds(here, 1000, len(of))
    os.waitpid(child, 0)
    if len(descriptors) != len(of):
        raise OSError(message.decode(errors="replace") or "no socket")
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def _listen(process: int, of: Sequence[RelayRoute], to: socket.socket) -> int:
    try:
        _enter_network(process)
        _wait_for_loopback()
        for number, address in enumerate(dict.fromkeys(r.address for r in of if not r.address.startswith("127."))):
            _add_address(number, address)
        sockets = [socket.create_server((route.address, route.port), backlog=16) for route in of]
        socket.send_fds(to, [b"made"], [each.fileno() for each in sockets])
    except OSError as error:
        to.sendall(str(error).encode()[:1000])
        return 1
    return 0


def _enter_network(process: int) -> None:
    """Join the network namespace of a process, by way of the user namespace that owns it where that is another one."""
    network = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    if _libc.setns(network, _CLONE_NEWNET) == 0:
        return
    owner = fcntl.ioctl(network, _NS_GET_USERNS)
    for descriptor, kind in ((owner, _CLONE_NEWUSER), (network, _CLONE_NEWNET)):
        if _libc.setns(descriptor, kind):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def _wait_for_loopback() -> None:
    """Until the sandbox has its loopback interface up: bubblewrap tells of its process before that. OSError."""
    end = time.monotonic() + _LOOPBACK_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        while True:
            said = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
            if struct.unpack("16sH22x", said)[1] & _IFF_UP:
                return
            if time.monotonic() > end:
                raise OSError(errno.ENETDOWN, os.strerror(errno.ENETDOWN))
            time.sleep(0.002)


def _add_address(number: int, address: str) -> None:
    """Give the loopback interface one address more (netdevice(7))."""
    name = f"lo:{number}".encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for call, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            fcntl.ioctl(control, call, struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(value)))


def _accept(listener: socket.socket, route: RelayRoute, free: threading.BoundedSemaphore) -> None:
    while True:
        caller, _ = listener.accept()
        if not free.acquire(blocking=False):
            caller.close()
            continue
        threading.Thread(target=_connect, args=(caller, route, free), daemon=True).start()


def _connect(caller: socket.socket, route: RelayRoute, free: threading.BoundedSemaphore) -> None:
    """Pass bytes both ways until both sides are done; the caller sees its connection closed where there is no other."""
    try:
        with caller, socket.create_connection((route.host, route.port), CONNECT_SECONDS) as service:
            service.settimeout(None)
            back = threading.Thread(target=_pass, args=(service, caller), daemon=True)
            back.start()
            _pass(caller, service)
            back.join()
    except OSError:  # refused, or no such name: the plugin sees that nothing comes
        pass
    finally:
        free.release()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
