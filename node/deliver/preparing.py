"""A copy of an image or result with what has to be different, made in a child process; never with other pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from node.dicom import coercion, transcoding
from node.dicom.coercion import Coercion as Coercion
from node.dicom.transcoding import fallbacks as fallbacks
from node.errors import NodeError, PermanentError, TransientError
from node.items import place_of

log = structlog.get_logger(__name__)

MEMORY = 3 * 2**30
"""Bytes of its own that the child may have; frames are decoded one by one."""


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file and the one to send; the same where nothing has to change."""

    source: Path
    target: Path
    coercion: Coercion | None = None
    transfer_syntax: str | None = None
    """The one to bring it into; None leaves it."""


def prepare(order: FileToSend) -> None:
    """Write `order.target`.

    Raises TransientError where the disk refuses, PermanentError where this image cannot be changed that
    way; whatever goes wrong leaves it as one of these, which can be pickled.
    """
    between = order.target.with_suffix(".coerced")
    try:
        source = order.source
        if order.coercion is not None:
            source = between if order.transfer_syntax else order.target
            coercion.coerce(order.source, source, order.coercion)
        if order.transfer_syntax:
            transcoding.transcode(source, order.target, order.transfer_syntax)
    except (NodeError, MemoryError):
        raise
    except OSError as error:
        raise TransientError(f"{order.source.name}: no copy can be written: {error.strerror or error}") from error
    except Exception as error:
        log.warning("deliver.image-not-changed", receipt=order.source.name, place=place_of(error))
        raise PermanentError(
            f"{order.source.name}: the image cannot be read well enough to be changed; forward it as it was received"
        ) from error
    finally:
        between.unlink(missing_ok=True)
