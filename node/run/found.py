"""What a result says in short: what later steps of a rule may ask of it, kept with its job.

Codes, whether present and urgent, numbers, and how many DICOM objects came; no text that a plugin wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins import encoding
from plugins.contract import Code, Measurement, Result
from plugins.earlier import EarlierResult


def of(result: Result) -> dict[str, Any]:
    """The result's findings with their measurements, and the number of its objects, as plain values.

    And the digest of what a later step may take.
    """
    return {
        "digest": _digest(EarlierResult(result.findings, result.segmentation)),
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


def _digest(earlier: EarlierResult) -> str:
    """SHA-256 over all of it, arrays included: a step that takes an equal result is not run again."""

    def of_array(_field: str, array: NDArray[Any]) -> str:
        content = hashlib.sha256(f"{array.dtype.name} {array.shape}".encode())
        for plane in array:
            content.update(np.ascontiguousarray(plane).tobytes())
        return content.hexdigest()

    document = encoding.encode(earlier, encoding.Writers(of_array))
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _measurements(found: Iterable[Measurement]) -> list[dict[str, Any]]:
    return [{"concept": _code(each.concept), "value": each.value, "unit": each.unit.code} for each in found]


def _code(code: Code) -> list[str]:
    return [code.value, code.scheme, code.meaning]
