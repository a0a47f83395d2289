"""The encoder's process: it stays warm between results, and is ended and begun anew where it dies or hangs."""

from __future__ import annotations

import gc
import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from node.child import Child, ChildDiedError
from node.errors import NodeError, PermanentError, TransientError, is_of_the_machine
from node.results.encode import EncodedSet, encode
from node.results.request import EncodingRequest
from plugins import exchange
from plugins.contract import Result

log = structlog.get_logger(__name__)

_DEADLINE_SECONDS = 600.0
"""For the encoding of one set: far above any real one, so that a stuck encoder does not stop all results."""
_ATTEMPTS = 2
"""An encoder that dies may have been ended from outside; twice on the same result is the result's doing."""
_OBJECTS_BEFORE_COLLECTION = 50_000


@dataclass(frozen=True, slots=True)
class Order:
    """All that the encoder's process needs; the result's arrays are read there, not sent to it."""

    job: str
    result_folder: Path
    target: Path
    fields: dict[str, Any]
    """Of the `EncodingRequest`, but for the result."""
    instead: Result | None = None
    """What is reported instead of the result in the folder."""


def begin() -> None:
    """In the encoder's process, once, after its imports.

    A content tree is made of so many small objects that Python's default looks for garbage a hundred times while
    one is written, in libraries too.
    """
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)


def carry_out(order: Order) -> EncodedSet:
    """In the encoder's process; whatever goes wrong leaves it as an error that can be pickled.

    What a result or an image makes the encoder stumble over is one job's trouble, and a person's to look
    at: it must neither end the stage nor be tried for ever.
    """
    try:
        result = order.instead or exchange.read_result(order.result_folder, exchange.read_request(order.result_folder))
        return encode(EncodingRequest(result=result, **order.fields), order.target)
    except NodeError:
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise TransientError(
                f"the result cannot be encoded now: {os.strerror(getattr(error, 'errno', 0))}"
            ) from error
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        raise PermanentError(f"the result could not be encoded: {what}") from error


class Encoder:
    """One process, started with the first order."""

    def __init__(self) -> None:
        self._child = Child(begin)

    def encode(self, order: Order) -> EncodedSet:
        """What `order` asks for, once more where the process dies. Raises `NodeError`."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._child.call(carry_out, order, _DEADLINE_SECONDS)
            except ChildDiedError as error:
                log.warning("results.encoder-died", job=order.job, attempt=attempt, error=str(error))
        raise PermanentError(f"the encoder died {_ATTEMPTS} times on this result")

    def close(self) -> None:
        """End the process."""
        self._child.close()
