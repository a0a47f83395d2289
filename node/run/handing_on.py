"""Results of earlier steps on their way to the plugin of a later one, with the UIDs that this plugin knows.

In a child process, as everything that is read of a plugin's result: what was checked once is checked again, against the
images that the later step gets. A mask of other images is refused, and never passed on in part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node.dicom.confidentiality.key import Key
from node.errors import PermanentError
from node.processes.pool import ChildDiedError, ChildError, ChildPool
from node.run.rewriting import rewritten
from plugins import exchange, handed_on, limits
from plugins.earlier import EarlierResult
from plugins.exchange import Request
from plugins.untrusted import ExchangeError

_MEMORY = 2**30
"""Bytes for the JSON and one plane of the arrays, which are mapped."""
_SECONDS = 60.0
_BYTES_A_SECOND = 20 * 2**20
_BYTES_A_WEIGHT = 100 * 2**20
_ATTEMPTS = 2


class ResultUnusableError(PermanentError):
    """The result of an earlier step cannot be handed on; the text names the step."""


@dataclass(frozen=True, slots=True)
class ResultsToHandOn:
    """What one attempt gets of earlier steps."""

    sources: Mapping[str, Path]
    """Name → the folder in which the result is kept."""
    request: Request
    """With the UIDs that the images really have: what the results may refer to."""
    folder: Path
    """The attempt's."""
    key: Key | None
    """For the pseudonyms; None where the plugin gets the images as received."""


def hand_on(pool: ChildPool, results: ResultsToHandOn, cancelled: Callable[[], bool]) -> None:
    """Have the results written in a child process; nothing where there are none.

    Raises ResultUnusableError; OSError where they cannot be written; CallCancelledError.
    """
    if not results.sources:
        return
    size = sum(path.stat().st_size for kept in results.sources.values() for path in (kept / exchange.OUT).glob("*"))
    size = min(size, limits.ARRAY_BYTES * len(results.sources))
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            pool.call(
                make,
                results,
                deadline=_SECONDS + size / _BYTES_A_SECOND,
                memory=_MEMORY,
                cancelled=cancelled,
                weight=size / _BYTES_A_WEIGHT,
            )
        except ChildError as error:
            if attempt == _ATTEMPTS or not isinstance(error, ChildDiedError):
                raise ResultUnusableError(f"the results of earlier steps cannot be made ready: {error}") from error
        else:
            return


def make(results: ResultsToHandOn) -> None:
    """In the child: what `hand_on` does."""
    for each in results.request.results:
        try:
            found = exchange.read_result(results.sources[each.name], results.request)
        except ExchangeError as error:
            raise ResultUnusableError(f"the result of the step {each.step} cannot be used here: {error}") from error
        earlier = EarlierResult(found.findings, found.segmentation)
        if results.key is not None:
            earlier = _hidden(earlier, results.key)
        handed_on.write(results.folder / exchange.IN / each.folder, earlier)


def _hidden(earlier: EarlierResult, key: Key) -> EarlierResult:
    """With pseudonyms for UIDs; it has no other identifiers, since these were taken out when it was kept."""
    return rewritten(earlier, lambda path, text: key.uid(text) if path.endswith("_uid") and text else text)
