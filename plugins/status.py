"""How an analysis can end; apart from the rest of the contract, which brings numpy."""

from __future__ import annotations

from enum import StrEnum


class ResultStatus(StrEnum):
    """How an analysis ended."""

    FINDINGS = "findings"
    """Something was found or measured."""
    NO_FINDINGS = "no_findings"
    """What was looked for was looked for properly, and is not there."""
    NOT_APPLICABLE = "not_applicable"
    """These images are not what the algorithm is for; nothing was looked for."""
    FAILED = "failed"
    """It should have worked and did not; nothing can be concluded."""
