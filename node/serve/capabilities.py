"""What the supervisor keeps of the capabilities that it was given (capabilities(7)).

Port 104 takes CAP_NET_BIND_SERVICE, which systemd (`AmbientCapabilities=`) hands on to every child as well.
bubblewrap refuses to run with any capability that it did not come by itself, so plugins would run unconfined.
"""

from __future__ import annotations

import ctypes
import os

_VERSION_3 = 0x20080522
"""Two words for each set (linux/capability.h)."""
_NET_BIND_SERVICE = 1 << 10
_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def keep_what_binds_ports() -> None:
    """Leave no capability to programs that are started from now on; of our own, keep only the right to bind ports.

    That right is for a reload that listens on another port. Root keeps its own: they come with the user, not from
    whoever started it. Concerns the calling thread, and what it starts. Raises OSError where the system refuses.
    """
    header, words = _Header(_VERSION_3, 0), (_Word * 2)()
    _check(_libc.capget(ctypes.byref(header), words))
    for index, word in enumerate(words):
        kept = 0xFFFFFFFF if os.geteuid() == 0 else _NET_BIND_SERVICE * (index == 0)
        word.effective &= kept
        word.permitted &= kept
        word.inheritable = 0  # and with it the ambient ones
    _check(_libc.capset(ctypes.byref(header), words))


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
