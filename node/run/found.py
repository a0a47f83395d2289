"""What a result says in short: what later steps of a rule may ask of it, kept with its job.

Codes, whether present and urgent, numbers, and how many DICOM objects came; no text that a plugin wrote.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plugins.contract import Code, Measurement, Result


def of(result: Result) -> dict[str, Any]:
    """The result's findings with their measurements, and the number of its objects, as plain values."""
    return {
        "findings": [
            {
                "code": _code(finding.code),
                "present": finding.present,
                "urgent": finding.urgent,
                "score": finding.score.value if finding.score is not None else None,
                "measurements": _measurements(finding.measurements),
            }
            for finding in result.findings
        ],
        "objects": len(result.objects),
    }


def _measurements(found: Iterable[Measurement]) -> list[dict[str, Any]]:
    return [{"concept": _code(each.concept), "value": each.value, "unit": each.unit.code} for each in found]


def _code(code: Code) -> list[str]:
    return [code.value, code.scheme, code.meaning]
