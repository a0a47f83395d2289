"""The images of a job on their way to its plugin: verified, and without the patient's identity unless it is to stay.

One pass over each file, in a child process: what it reads may be hostile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.dicom.confidentiality import part10
from node.dicom.confidentiality.dataset import Actions
from node.dicom.confidentiality.key import Key
from node.dicom.confidentiality.profile import PLUGIN_INPUT
from node.errors import PermanentError
from node.ledger.instances import Instance
from node.processes.pool import ChildDiedError, ChildError, ChildPool
from node.store import intact
from node.store.intact import Damage, DamagedError

_MEMORY = 2**30
"""Bytes for a deflated data set and its elements; files are mapped, which does not count."""
_SECONDS = 60.0
_BYTES_A_SECOND = 10 * 2**20
"""On a slow disk that is busy."""
_ELEMENT_BYTES_A_SECOND = 240_000
"""Of a data set that is nothing but small elements: 16 bytes and 67 µs each."""
_BYTES_A_BATCH = 64 * 2**20
"""Handed over at once, unless one file has more; and what of a file may be elements: the rest is pixels."""
_BYTES_A_WEIGHT = 100 * 2**20
_ATTEMPTS = 2


class InputUnreadableError(PermanentError):
    """The images cannot be made ready for the plugin: reading them needs more than it may, or ends the process."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One image to be handed over."""

    instance: Instance
    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one attempt."""

    copies: tuple[Copy, ...]
    key: Key | None
    """For the pseudonyms; None where the plugin gets the bytes as received."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of them."""

    damages: list[Damage]
    """The files that are not what was received."""
    actions: Actions
    """What was done to their attributes, counted."""


def lay_out(pool: ChildPool, images: Images, cancelled: Callable[[], bool]) -> Report:
    """Have the copies made in a child process.

    Raises InputUnreadableError; OSError where they cannot be written; CallCancelledError.
    """
    whole = Report([], Actions())
    for batch in _batches(images):
        report = _laid_out(pool, batch, cancelled)
        whole.damages.extend(report.damages)
        whole.actions.update(report.actions)
    return whole


def _batches(images: Images) -> Iterator[Images]:
    """The images, so many together that a process which hangs is noticed before long."""
    batch: list[Copy] = []
    size = 0
    for copy in images.copies:
        if batch and size + copy.instance.bytes > _BYTES_A_BATCH:
            yield Images(tuple(batch), images.key)
            batch, size = [], 0
        batch.append(copy)
        size += copy.instance.bytes
    yield Images(tuple(batch), images.key)


def _seconds(size: int, has_key: bool) -> float:
    """The longest that a number of bytes may take: elements are looked at one by one where they get pseudonyms."""
    elements = min(size, _BYTES_A_BATCH) / _ELEMENT_BYTES_A_SECOND if has_key else 0.0
    return _SECONDS + size / _BYTES_A_SECOND + elements


def _laid_out(pool: ChildPool, images: Images, cancelled: Callable[[], bool]) -> Report:
    size = sum(each.instance.bytes for each in images.copies)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return pool.call(
                make,
                images,
                deadline=_seconds(size, images.key is not None),
                memory=_MEMORY,
                cancelled=cancelled,
                weight=size / _BYTES_A_WEIGHT,
            )
        except ChildError as error:
            if attempt == _ATTEMPTS or not isinstance(error, ChildDiedError):
                raise InputUnreadableError(f"the images cannot be made ready for the plugin: {error}") from error
    raise AssertionError("the last attempt returns or raises")


def make(images: Images) -> Report:
    """In the child: what `lay_out` does."""
    damages: list[Damage] = []
    actions = Actions()
    for folder in {each.target.parent for each in images.copies}:
        folder.mkdir(parents=True, exist_ok=True)
    for copy in images.copies:
        try:
            if images.key is None:
                intact.copy(copy.source, copy.target, copy.instance.digest, copy.instance.transfer_syntax_uid)
            else:
                actions += _confidential(copy, images.key)
        except DamagedError as error:
            damages.append(Damage(copy.instance, error))
    return Report(damages, actions)


def _confidential(copy: Copy, key: Key) -> Actions:
    syntax = copy.instance.transfer_syntax_uid
    data = intact.data_set(copy.source, copy.instance.digest, syntax)
    try:
        pieces, actions = part10.pieces(data, syntax, PLUGIN_INPUT, key)
    except PermanentError as error:
        raise InputUnreadableError(f"{copy.source}: {error}") from error
    with copy.target.open("wb") as out:
        for piece in pieces:
            out.write(piece)
    return actions
