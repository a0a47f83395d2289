"""The stages log for a site's admin; somebody at a terminal reads what the command says instead."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog


@contextmanager
def quiet() -> Iterator[None]:
    """Within this block nothing is logged, and warnings of libraries, which quote images, are not shown."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore")
            yield
    finally:
        structlog.configure(**before)


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent
