"""Copies of what is sent, where a destination does not take an object as it is: made for one C-STORE, then deleted.

An object keeps its SOP Instance UID in another transfer syntax, as nothing of it is lost (`node.dicom.transcoding`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from node.deliver.policy import Answer
from node.deliver.preparing import MEMORY, FileToSend, prepare
from node.errors import PermanentError, TransientError
from node.outcome import AnswerReading
from node.processes.pool import CallCancelledError, ChildError, ChildPool

_SECONDS = 600.0


class Copies:
    """The copies for one destination, made in a child process; used by its outbox's thread alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children = ChildPool(1)

    def sweep(self) -> None:
        """Delete what a node that died left: it is made again."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def target(self, delivery: int) -> Path:
        """Where the copy for a delivery is."""
        return self._folder / f"{delivery}.dcm"

    def make(self, order: FileToSend) -> FileToSend | Answer:
        """Make the copy, in the child: what a stranger sent is parsed and decoded there."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._children.call(prepare, order, deadline=_SECONDS, memory=MEMORY)
        except PermanentError as error:
            return Answer(AnswerReading.DEAD_LETTER, str(error))
        except TransientError as error:
            return Answer(AnswerReading.RETRY, str(error))
        except CallCancelledError:
            return Answer(AnswerReading.RETRY, "the node is stopping")
        except ChildError as error:
            return Answer(
                AnswerReading.RETRY_FEW, f"{order.source.name}: the process that changes it died of it ({error})"
            )
        return order

    def discard(self, made: FileToSend) -> None:
        """Delete a copy; the file that was received or made stays."""
        if made.target != made.source:
            made.target.unlink(missing_ok=True)

    def close(self) -> None:
        """End the child process."""
        self._children.close()
