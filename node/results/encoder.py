"""The encoders' processes: they stay warm between results; one that dies, hangs or takes too much is replaced."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from node.errors import NodeError, PermanentError, TransientError, is_of_the_machine
from node.items import defect_of, frames_of, place_of
from node.processes.pool import ChildDiedError, ChildError, ChildPool
from node.results.encoded import EncodedObject, EncodedSet
from node.results.request import JobToEncode, RejectionRequest
from plugins import exchange, object_files
from plugins.contract import Result
from plugins.untrusted import ExchangeError

log = structlog.get_logger(__name__)
T = TypeVar("T")
Task = TypeVar("Task")

PROCESSES = 3
"""Two for results, of which one takes what is heavy; one for reports that are made again in another class."""
_ATTEMPTS = 2
"""An encoder that dies may have been ended from outside; twice on the same result is the result's doing."""
_OBJECTS_BEFORE_COLLECTION = 50_000

# What encoding takes at most, measured on one core with results at their limits (plugins.limits); see `Cost`.
_SECONDS = 60.0
_PATIENCE = 5.0
"""How much slower than measured a machine may be."""
_SECONDS_A_BYTE = 1 / 20_000
_SECONDS_AN_ARRAY_BYTE = 1 / (20 * 2**20)
_SECONDS_AN_IMAGE = 0.01
_SECONDS_AN_OBJECT = 0.1
"""Of DICOM that the plugin returned: read twice, written, and compared with the Standard."""
_SECONDS_AN_OBJECT_BYTE = 1 / (2 * 2**20)
_MEMORY = 2 * 2**30
_MEMORY_A_BYTE = 1000
_MEMORY_AN_ARRAY_BYTE = 4
_MEMORY_AN_IMAGE = 2**17


@dataclass(frozen=True, slots=True)
class Cost:
    """What a result may cost, by its size and that of its images."""

    seconds: float
    """How long it takes, roughly."""
    deadline: float
    memory: int
    """Bytes; never more than half of the machine's."""

    @classmethod
    def of(cls, result_folder: Path | None, images: int) -> Cost:
        """Of the result kept there, None for a sentence instead of one; `images`: SOP instances under it."""
        document, arrays, returned = _sizes(result_folder / exchange.OUT) if result_folder else (0, 0, [])
        seconds = document * _SECONDS_A_BYTE + arrays * _SECONDS_AN_ARRAY_BYTE + images * _SECONDS_AN_IMAGE
        seconds += len(returned) * _SECONDS_AN_OBJECT + sum(returned) * _SECONDS_AN_OBJECT_BYTE
        memory = _MEMORY + document * _MEMORY_A_BYTE + arrays * _MEMORY_AN_ARRAY_BYTE + images * _MEMORY_AN_IMAGE
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(seconds, _SECONDS + _PATIENCE * seconds, min(memory, machine // 2))


def _sizes(out: Path) -> tuple[int, int, list[int]]:
    """Bytes of a kept result's JSON, of its arrays, and of each DICOM object that the plugin returned."""
    sizes = {path.name: path.stat().st_size for path in out.glob("*") if not path.is_dir()}
    document = sizes.pop(exchange.RESULT, 0)
    returned = [path.stat().st_size for path in (out / object_files.FOLDER).glob("*")]
    return document, sum(sizes.values()), returned


@dataclass(frozen=True, slots=True)
class EncoderTask:
    """All that the encoder's process needs; the result's arrays are read there, not sent to it."""

    job: str
    result_folder: Path
    target: Path
    request: JobToEncode
    """All of it but the result."""
    cost: Cost
    instead: Result | None = None
    """What is reported instead of the result in the folder."""


@dataclass(frozen=True, slots=True)
class NoteTask:
    """A rejection note to be written into the folder `target`."""

    job: str
    target: Path
    request: RejectionRequest


def begin() -> None:
    """In the encoder's process, once: load what only this process needs.

    A content tree has very many small objects: Python's default looks for garbage a hundred times while
    one is written, in libraries too.
    """
    import node.results.encode  # noqa: F401 - what `carry_out` uses

    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)


def carry_out(order: EncoderTask) -> EncodedSet:
    """In the encoder's process; whatever goes wrong leaves it as an error that can be pickled.

    What a result or an image makes the encoder stumble over is one job's trouble, and a person's to look
    at: it must neither end the stage nor be tried for ever.
    """
    from node.results.encode import encode  # the node's own process does without: a fifth of its start

    def work() -> EncodedSet:
        result = order.instead or exchange.read_result(order.result_folder, exchange.read_request(order.result_folder))
        return encode(order.request.with_result(result), order.target)

    return _guarded(work)


def write_note(order: NoteTask) -> EncodedObject:
    """The same for a rejection note."""
    from node.results.encode import encode_note

    return _guarded(lambda: encode_note(order.request, order.target))


def _guarded(work: Callable[[], T]) -> T:
    """Do it, with its failures as errors that can be pickled and hold no patient's data."""
    try:
        return work()
    except (NodeError, MemoryError):
        raise
    except ExchangeError as error:
        raise PermanentError(f"the result could not be encoded: {error}") from error
    except Exception as error:
        if is_of_the_machine(error):
            raise TransientError(
                f"the result cannot be encoded now: {os.strerror(getattr(error, 'errno', 0))}"
            ) from error
        # Without its text, which may hold a patient's data.
        log.error("results.encoding-failed", place=place_of(error), frames=frames_of(error))
        raise PermanentError(f"the result could not be encoded: {defect_of(error)}") from error


class Encoder:
    """Processes, each started with the first order that needs it; for any number of threads."""

    def __init__(self) -> None:
        self._pool = ChildPool(PROCESSES, begin)

    def encode(self, order: EncoderTask, cancelled: Callable[[], bool]) -> EncodedSet:
        """What `order` asks for, once more where the process dies; `cancelled` is asked about all the while.

        Raises `NodeError`: PermanentError where it takes more time or memory than its size allows. CallCancelledError.
        """
        return self._call(carry_out, order, order.cost, order.job, cancelled)

    def note(self, order: NoteTask) -> EncodedObject:
        """What `order` asks for, in the same way; raises `NodeError`."""
        cost = Cost.of(None, len(order.request.rejected))
        return self._call(write_note, order, cost, order.job, lambda: False)

    def _call(self, work: Callable[[Task], T], order: Task, cost: Cost, job: str, cancelled: Callable[[], bool]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._pool.call(
                    work,
                    order,
                    deadline=cost.deadline,
                    memory=cost.memory,
                    cancelled=cancelled,
                    weight=cost.seconds,
                )
            except ChildError as error:
                log.warning("results.encoder-died", job=job, attempt=attempt, error=str(error))
                if not isinstance(error, ChildDiedError):
                    raise PermanentError(f"the result could not be encoded: {error}") from error
        raise PermanentError(f"the encoder died {_ATTEMPTS} times on this result")

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._pool.close()
