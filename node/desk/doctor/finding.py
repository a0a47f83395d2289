"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Diagnosis(StrEnum):
    """How one thing stands."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    """It works, and will not always; or it could not be made certain."""
    WRONG = "wrong"
    """It does not work, or patients' data or results are at risk."""
    NOT_SEEN = "not seen"
    """It cannot be seen from here, or by this user."""


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """What was looked at, how it stands, and what to do."""

    what: str
    diagnosis: Diagnosis
    said: str
    next_step: str = ""
    """Empty where there is nothing to do."""
