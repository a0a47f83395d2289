"""What the outbox needs of a destination, whatever protocol it speaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from node.deliver.policy import Answer
from node.errors import PermanentError, TransientError

Kind = tuple[str, str]
"""SOP class and transfer syntax of an object."""
MOST_KINDS = 128
"""Kinds that one way can be opened for: the least that every protocol can name."""


class NotReachedError(TransientError):
    """Nobody answers there, it has no time for us now, or what was open broke off: all that goes there waits."""

    def __init__(self, text: str, again_after: timedelta | None = None) -> None:
        """`again_after`: the least pause that it asks for."""
        super().__init__(text)
        self.again_after = again_after or timedelta()


class NotAdmittedError(PermanentError):
    """It does not let us in: somebody has to change a configuration, here or there."""


class Sender(Protocol):
    """An open way to a destination."""

    @property
    def is_open(self) -> bool:
        """False once it has broken off: what is left needs another one."""
        ...

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        """Whether the destination takes this kind, which was named when the way was opened."""
        ...

    def store(self, file: Path) -> Answer:
        """Send one object and wait for the answer; never raises for what the destination does."""
        ...


class Archive(Protocol):
    """One destination."""

    def find_study(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """What it says of this study, one mapping an answer; empty where it does not have it.

        Raises NotReachedError or NotAdmittedError, which concern all that goes there; TransientError where it could not
        be asked this, PermanentError where it will not answer this until a person changes something.
        """
        ...

    def has_instance(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bool:
        """Whether it holds this instance; raises as `find_study` does."""
        ...

    def find_series(self, study_instance_uid: str, keywords: Sequence[str]) -> list[Mapping[str, str]]:
        """Its series of this study, one mapping each; raises as `find_study` does."""
        ...

    def find_instances(
        self, study_instance_uid: str, series_instance_uid: str, keywords: Sequence[str]
    ) -> list[Mapping[str, str]]:
        """Its instances of this series, one mapping each; raises as `find_study` does."""
        ...

    def connect(self, kinds: Iterable[Kind]) -> AbstractContextManager[Sender]:
        """Open a way for objects of these kinds, `MOST_KINDS` at most; raises as `find_study` does."""
        ...
