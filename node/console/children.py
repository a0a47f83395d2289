"""Work on what somebody has typed or sent, in a child process: it may be hostile, and has a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from node.errors import PermanentError, TransientError
from node.processes.pool import HEAVY, ChildError, ChildLimitError, ChildPool, preload

A = TypeVar("A")
R = TypeVar("R")
_CHILDREN = 2
_MEMORY = 2**30
_USED = ("node.desk.drafts", "node.desk.uploads", "node.run.catalogue")
"""What children import: once for all of them."""


@cache
def _pool() -> ChildPool:
    """One for the process; its first call starts a child."""
    preload(_USED)
    return ChildPool(_CHILDREN)


async def call(function: Callable[[A], R], argument: A, seconds: float, *, heavy: bool = False) -> R:
    """What a function of a module makes of it. Raises what it raises, PermanentError at a limit, TransientError.

    `heavy`: what takes long leaves a child for what does not.
    """

    def work() -> R:
        weight = HEAVY if heavy else 0.0
        return _pool().call(function, argument, deadline=seconds, memory=_MEMORY, weight=weight)

    try:
        return await asyncio.to_thread(work)
    except ChildLimitError as error:
        raise PermanentError(f"this is more than the console does: {error}") from error
    except ChildError as error:
        raise TransientError(f"try again: {error}") from error
