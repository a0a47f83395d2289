"""A copy of a received image with what has to be different, made in a child process; never with other pixels."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from node.dicom import coercion, transcoding
from node.dicom.coercion import Coercion as Coercion
from node.dicom.transcoding import fallbacks as fallbacks
from node.errors import NodeError, PermanentError, TransientError

MEMORY = 3 * 2**30
"""Bytes of its own that the child may have; frames are decoded one by one."""


@dataclass(frozen=True, slots=True)
class Order:
    """A received file and the one to send; the same where nothing has to change."""

    source: Path
    target: Path
    coercion: Coercion | None = None
    transfer_syntax: str | None = None
    """The one to bring it into; None leaves it."""


def prepare(order: Order) -> None:
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
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} ({Path(place.filename).name}, line {place.lineno})"
        raise PermanentError(
            f"{order.source.name}: the image cannot be read well enough to change it: {what}"
        ) from error
    finally:
        between.unlink(missing_ok=True)
