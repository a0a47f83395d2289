"""Images in a transfer syntax that a box takes, where it does not take their own: without loss, or not at all.

As for a destination (`node.deliver.copies`): the SOP Instance UID stays, as nothing of the image is lost. The copy is
made in a child process for one C-STORE, beside what was laid out for the attempt, and takes the place of the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from node.dicom.part10 import kind_of
from node.dicom.transcoding import acceptable, transcode
from node.dimse.storage_scu import StorageSCU, StoreOutcome
from node.errors import PermanentError, TransientError
from node.items import place_of
from node.outcome import AnswerReading
from node.processes.pool import ChildError, ChildPool

_SECONDS = 600.0
_MEMORY = 3 * 2**30
"""Bytes of its own that the child may have; frames are decoded one by one."""
_COPY = "in-form.dcm"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImageInForm:
    """An image, and the copy of it that is to be written."""

    source: Path
    target: Path
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class InForm:
    """For one attempt (`storage_scu.FileInForm`)."""

    children: ChildPool
    folder: Path
    """Of the attempt: copies are written here."""

    def __call__(self, scu: StorageSCU, path: Path) -> Path | StoreOutcome:
        """The image itself, where the box takes it so or in no way; else its copy. Raises CallCancelledError."""
        own = kind_of(path)
        syntax = acceptable(scu.accepts, own)
        if syntax is None or syntax == own[1]:
            return path
        order = ImageInForm(path, self.folder / _COPY, syntax)
        try:
            self.children.call(make, order, deadline=_SECONDS, memory=_MEMORY)
        except PermanentError as error:
            return StoreOutcome(AnswerReading.DEAD_LETTER, None, str(error))
        except TransientError as error:
            return StoreOutcome(AnswerReading.RETRY, None, str(error))
        except ChildError as error:
            told = f"{path.name}: the process that changes its transfer syntax died of it ({error})"
            return StoreOutcome(AnswerReading.RETRY_FEW, None, told)
        return order.target


def make(order: ImageInForm) -> None:
    """In the child: write the copy; PermanentError, TransientError."""
    name = order.source.name
    try:
        transcode(order.source, order.target, order.transfer_syntax)
    except (PermanentError, TransientError, MemoryError):
        raise
    except OSError as error:
        raise TransientError(f"{name}: no copy can be written: {error.strerror or error}") from error
    except Exception as error:
        log.warning("run.image-not-changed", file=name, place=place_of(error))
        raise PermanentError(f"{name}: the image cannot be read well enough to change its transfer syntax") from error
