"""UIDs as they are received (PS3.5 9.1): allowed, odd but good enough to name something by, or neither."""

from __future__ import annotations

import re

_LONGEST = 64
_CHARACTERS = frozenset("0123456789.")
_VALID = re.compile(r"[0-2](\.(0|[1-9]\d*))*", re.ASCII)


def is_acceptable_uid(uid: str) -> bool:
    """1 to 64 characters of [0-9.]: what a received UID needs so that results can name it byte for byte.

    More is not asked for: real senders write leading zeroes and empty components, and archives keep them.
    """
    return 1 <= len(uid) <= _LONGEST and _CHARACTERS.issuperset(uid)


def is_valid_uid(uid: str) -> bool:
    """Whether PS3.5 9.1 allows it; there are three roots (ISO 8824)."""
    return len(uid) <= _LONGEST and _VALID.fullmatch(uid) is not None


def named(uid: str) -> str:
    """A SOP class or transfer syntax as people know it, with its UID; the UID alone where the Standard has no name.

    >>> named("1.2.840.10008.1.2.1")
    'Explicit VR Little Endian (1.2.840.10008.1.2.1)'
    """
    from pydicom.uid import UID  # all of pydicom: most who ask about a UID do not ask for its name

    name = UID(uid).name
    return uid if name == uid else f"{name} ({uid})"
