"""The encoder's process: it stays warm between results, and is ended and begun anew where it dies or hangs."""

from __future__ import annotations

import gc
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import structlog

from node.errors import NodeError, PermanentError
from node.lifeline import end_with
from node.results.encode import EncodedObject, encode
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

    It holds both ends of its own queue, so it would outlive a node that was killed. A content tree is made of so many
    small objects that Python's default looks for garbage a hundred times while one is written, in libraries too.
    """
    parent = parent_process()
    assert parent is not None, "the encoder is started by another process"
    end_with(parent.sentinel)
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)


def carry_out(order: Order) -> tuple[EncodedObject, ...]:
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
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        raise PermanentError(f"the result could not be encoded: {what}") from error


class Encoder:
    """One process, started with the first order."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def encode(self, order: Order) -> tuple[EncodedObject, ...]:
        """What `order` asks for, once more where the process dies. Raises `NodeError`."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._running().submit(carry_out, order).result(timeout=_DEADLINE_SECONDS)
            except (BrokenProcessPool, TimeoutError) as error:
                self._end()
                log.warning("results.encoder-died", job=order.job, attempt=attempt, error=repr(error))
        raise PermanentError(f"the encoder died {_ATTEMPTS} times on this result")

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=begin)
        return self._pool

    def _end(self) -> None:
        """The process is dead or stuck: end it, the next order starts a new one."""
        if self._pool is None:
            return
        for process in list((self._pool._processes or {}).values()):  # 3.14 has terminate_workers() for this
            process.kill()
        self.close()
