"""What can go wrong in the node, by what can be done about it."""

from __future__ import annotations

import errno


class NodeError(Exception):
    """Any failure the node knows how to name; its text is for the site admin."""


_OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def is_of_the_machine(error: BaseException) -> bool:
    """Whether the machine has run out of something: no fault of the file that was being read or written."""
    return isinstance(error, OSError) and error.errno in _OF_THE_MACHINE


class TransientError(NodeError):
    """Trying again later may succeed: a peer is down, a disk is full, a lock is held."""


class PermanentError(NodeError):
    """Trying again gives the same: the input or the configuration has to change."""


class LedgerError(PermanentError):
    """The ledger cannot be used: damaged, or written by a newer program."""


class DataFolderInUseError(PermanentError):
    """Another node holds the lock of the data folder."""


class NotFoundError(PermanentError):
    """What was asked for by name is not there (a study, a job, a destination)."""


class UsageError(PermanentError):
    """What was asked for makes no sense here: a command ends with exit code 2."""
