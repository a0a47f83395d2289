"""C-STORE as an SCU: files are sent as they are, each outcome is typed, nothing waits for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pydicom.misc import is_dicom

from node.dicom.part10 import kind_of, read_object
from node.dicom.uids import named
from node.dimse.contexts import MAXIMUM_CONTEXTS, one_context_each
from node.dimse.engine.requesting import RequestingAssociation
from node.dimse.scu import ContextRefusedError, Peer, accepted_kinds, associated, status_of
from node.dimse.status import read_store_status, status_text
from node.errors import PermanentError
from node.outcome import AnswerReading


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of one C-STORE request."""

    reading: AnswerReading
    status: int | None
    """Status of the response; None where none came or none could be asked for."""
    text: str
    """For the site admin."""


_SLOWEST = 32 << 10
"""Bytes a second at which a peer takes an object at the least: a quarter of a line of 1 Mbit/s."""

_WORDS = {
    AnswerReading.STORED: "stored",
    AnswerReading.STORED_WITH_WARNING: "stored, with a warning",
    AnswerReading.RETRY: "the peer is out of resources",
    AnswerReading.RETRY_FEW: "the peer could not process it",
    AnswerReading.RETRY_SLOWLY: "the peer does not authorise us",
    AnswerReading.ASK: "the peer says that it has it already",
    AnswerReading.DEAD_LETTER: "the peer refuses this object",
    AnswerReading.CLASS_REFUSED: "the peer does not support this SOP class",
    AnswerReading.UNKNOWN: "the peer did not answer: it may have it or not",
}


class StorageSCU:
    """An association for sending files of these kinds (`kind_of`); a context manager.

    Entering raises as `scu.associated` does, but not where the peer refuses every context: then each
    `store` says so, because the refusal concerns the objects and not the peer.
    """

    def __init__(self, peer: Peer, kinds: Iterable[tuple[str, str]]) -> None:
        self.peer = peer
        pairs = set(kinds)
        if len(pairs) > MAXIMUM_CONTEXTS:
            raise ValueError(f"{len(pairs)} kinds of object: an association holds {MAXIMUM_CONTEXTS}; see `batches`")
        self._contexts = one_context_each(pairs)
        self._open = ExitStack()
        self._association: RequestingAssociation | None = None
        self._message_id = 0

    def __enter__(self) -> StorageSCU:
        try:
            self._association = self._open.enter_context(associated(self.peer, self._contexts))
        except ContextRefusedError:
            self._association = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def is_open(self) -> bool:
        """False once the association has broken off: what is left needs another one."""
        return self._association is None or self._association.is_established

    def accepts(self, sop_class: str, transfer_syntax: str) -> bool:
        """Whether the peer takes this kind."""
        return self._association is not None and (sop_class, transfer_syntax) in accepted_kinds(self._association)

    def store(self, path: Path) -> StoreOutcome:
        """Send one file and wait for the answer; never raises for what peer or file do."""
        try:
            stored = read_object(path)
        except PermanentError as error:
            return StoreOutcome(AnswerReading.DEAD_LETTER, None, str(error))
        sop_class, transfer_syntax = stored.kind
        if self._association is None or not self.accepts(sop_class, transfer_syntax):
            text = f"{self.peer} accepts no {named(sop_class)} in transfer syntax {named(transfer_syntax)}"
            return StoreOutcome(AnswerReading.KIND_REFUSED, None, text)
        if not self._association.is_established:
            return StoreOutcome(
                AnswerReading.RETRY, None, f"the association with {self.peer} had ended; it was not sent"
            )
        self._message_id = self._message_id % 65535 + 1
        try:
            with self._association.exchange(2 * self.peer.timeout + path.stat().st_size / _SLOWEST):
                answer = self._association.store(stored, self._message_id)
        except ValueError as error:  # a UID of the file that is none: it cannot be in a command
            return StoreOutcome(AnswerReading.DEAD_LETTER, None, f"{path.name}: {error}")
        status = status_of(answer)
        if status is None and self._association.is_established:
            self._association.abort()  # whatever comes later would be taken for another's answer
        reading = read_store_status(status)
        comment = str(answer.get("ErrorComment", "") or "") if status is not None else self._association.reason
        text = f"{self.peer}: {status_text(status)}, {_WORDS[reading]}" + (f": {comment}" if comment else "")
        return StoreOutcome(reading, status, text)


def dicom_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The DICOM files among these files and, sorted, in these folders; other files of folders are passed over.

    A file that is named itself is taken at its word: `kind_of` says what is wrong with it.
    """
    for path in paths:
        if path.is_dir():
            yield from (each for each in sorted(path.rglob("*")) if each.is_file() and is_dicom(each))
        else:
            yield path


ProposedKinds = Callable[[tuple[str, str]], set[tuple[str, str]]]
"""A kind of file → the kinds that are proposed for it."""
FileInForm = Callable[[StorageSCU, Path], Path | StoreOutcome]
"""A file → the one that is sent in its place over this association, or why none is."""


def _itself(kind: tuple[str, str]) -> set[tuple[str, str]]:
    return {kind}


def _as_it_is(_: StorageSCU, path: Path) -> Path:
    return path


def batches(files: Iterable[Path], proposed: ProposedKinds = _itself) -> Iterator[list[Path]]:
    """The files, in their order, cut where an association would need more than 128 presentation contexts."""
    batch: list[Path] = []
    pairs: set[tuple[str, str]] = set()
    for path in files:
        own = proposed(kind_of(path))
        if len(pairs | own) > MAXIMUM_CONTEXTS:
            yield batch
            batch, pairs = [], set()
        batch.append(path)
        pairs |= own
    if batch:
        yield batch


def send(
    peer: Peer, files: Iterable[Path], proposed: ProposedKinds = _itself, in_form: FileInForm = _as_it_is
) -> Iterator[tuple[Path, StoreOutcome]]:
    """Send files, saying what became of each as it goes; a broken association is opened again for the rest.

    A file goes in the form that `in_form` gives it, for which `proposed` has proposed the kinds. A file that
    cannot be sent is a dead letter, and the others go. Raises as `scu.associated` does where an association cannot be
    opened.
    """
    sendable: list[Path] = []
    for path in files:
        try:
            kind_of(path)
        except PermanentError as error:
            yield path, StoreOutcome(AnswerReading.DEAD_LETTER, None, str(error))
        else:
            sendable.append(path)
    for batch in batches(sendable, proposed):
        left = batch
        while left:
            with StorageSCU(peer, set().union(*(proposed(kind_of(path)) for path in left))) as scu:
                while left and scu.is_open:
                    path, left = left[0], left[1:]
                    ready = in_form(scu, path)
                    yield path, scu.store(ready) if isinstance(ready, Path) else ready
