"""What an action of a person did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What an action did."""

    sentence: str
    """For people; may have several lines."""
    value: Mapping[str, Any]
    """The same for scripts."""
