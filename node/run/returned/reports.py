"""Findings of the measurement reports (TID 1500) that a plugin returned, in the words of the result model.

What a report does not say is not known: a group that says neither Present nor Absent is never a negative. Parts that
the result model cannot hold, or that refer to what the plugin was not given, are left out; the finding stays.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.own_notes import OwnNote
from node.reading import reader
from node.reading.as_result import Json, as_result
from node.reading.reader import NotAReportError
from plugins import encoding, limits
from plugins.allowed_parts import AllowedParts
from plugins.contract import (
    SUMMARY_LIMIT,
    Code,
    ContractError,
    Finding,
    Measurement,
    ReferenceRange,
    Region,
    Result,
    ResultStatus,
    Score,
    Site,
)
from plugins.encoding import Decoder, EncodingError

FINDING = Code("121071", "DCM", "Finding")
"""Of a group that does not say what it is of."""
_BUDGETS = (limits.FINDINGS, limits.MEASUREMENTS, limits.REGIONS, limits.POINTS, limits.COMMENTS)
"""Of all findings of a result together, in the order of `_size`: what has more cannot be read again."""


def findings_of(path: Path, allowed: AllowedParts) -> list[Finding]:
    """The findings of a report. Raises NotAReportError where it is no measurement report that can be read."""
    read = _read(path)
    decoder = Decoder(allowed.check)
    return [_finding(each, decoder) for each in read.get("findings", ())]


def _read(path: Path) -> Json:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that nobody asks for
            return as_result(reader.read_sr(path))
    except NotAReportError:
        raise
    except Exception as error:  # pydicom fails in many ways on odd bytes
        raise NotAReportError("cannot be read as a report") from error


def with_findings(result: Result, found: list[Finding]) -> dict[str, Any]:
    """What changes in a result by findings of its objects; of a result that is none, nothing."""
    if not found or result.status not in (ResultStatus.FINDINGS, ResultStatus.NO_FINDINGS):
        return {}
    said = (*result.findings, *found)
    said_absent = all(each.present is False for each in said)
    status = ResultStatus.NO_FINDINGS if said_absent else ResultStatus.FINDINGS
    if result.status is ResultStatus.NO_FINDINGS and not any(each.present for each in said):
        status = result.status
    fitting = _fitting(result.findings, found)
    changes: dict[str, Any] = {"findings": (*result.findings, *_with_own_names(fitting, result)), "status": status}
    if missing := len(found) - len(fitting):
        changes["quality"] = (OwnNote.FINDINGS_LEFT_OUT.format(count=missing), *result.quality)
    return changes


def _fitting(own: Iterable[Finding], found: Sequence[Finding]) -> list[Finding]:
    """Those of `found` that a result can hold beside its own; where it cannot hold all, the present ones come first."""
    taken = [sum(column) for column in zip(*map(_size, own), strict=True)] or [0] * len(_BUDGETS)
    fitting = []
    for each in sorted(found, key=lambda one: one.present is not True):
        more = [before + size for before, size in zip(taken, _size(each), strict=True)]
        if all(size <= most for size, most in zip(more, _BUDGETS, strict=True)):
            taken = more
            fitting.append(each)
    return fitting if len(fitting) < len(found) else list(found)


def _size(finding: Finding) -> tuple[int, ...]:
    """What it takes of each of `_BUDGETS`."""
    points = sum(len(region.points) for region in finding.regions)
    return 1, len(finding.measurements), len(finding.regions), points, len(finding.comment)


def _with_own_names(found: list[Finding], result: Result) -> list[Finding]:
    """Tracking identifiers are unique in a result; those of others' reports are often not (one for all lesions)."""
    names = [each.tracking_id for each in (*result.findings, *found) if each.tracking_id]
    return [replace(each, tracking_id=None) if names.count(each.tracking_id or "") > 1 else each for each in found]


def _finding(said: Mapping[str, Any], decoder: Decoder) -> Finding:
    present = said.get("present")
    measurements = [_taken(Measurement, _measurement(each), decoder) for each in said.get("measurements", ())]
    regions = [_taken(Region, each, decoder) for each in said.get("regions", ())] if present is not False else []
    answers = [f"{question}: {answer}" for question, answer in said.get("evaluations", ())]
    comment = "\n".join(text for text in (said.get("comment", ""), *answers) if text)
    return Finding(
        code=_code(said.get("code")) or FINDING,
        present=present,
        score=_taken(Score, _of(Score, said.get("score")), decoder),
        site=_site(said.get("site"), decoder),
        measurements=tuple(each for each in measurements if each)[: limits.MEASUREMENTS_A_FINDING],
        regions=tuple(each for each in regions if each)[: limits.REGIONS_A_FINDING],
        tracking_id=_plain(str(said.get("tracking_id", "")))[:64] or None,
        urgent=bool(said.get("urgent")) and present is not False,
        comment=_plain(comment)[:SUMMARY_LIMIT],
    )


def _taken(kind: Any, said: Any, decoder: Decoder) -> Any:
    """A part as the result model has it; None where it cannot be one, or refers to what was not given."""
    if not said:
        return None
    try:
        return decoder.decode(kind, said)
    except (EncodingError, ContractError):
        return None


def _of(kind: type, said: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Of what is said that which the result model has, with codes that it can hold."""
    if said is None:
        return None
    known = {name: value for name, value in said.items() if name in encoding.field_types(kind)}
    return {name: _as_code(value) for name, value in known.items()}


def _as_code(value: Any) -> Any:
    """Codes with a meaning that objects of ours can have; anything else stays."""
    if isinstance(value, Mapping) and {"value", "scheme", "meaning"} <= set(value):
        code = _code(value)
        return encoding.encode(code) if code else None
    return value


def _measurement(said: Mapping[str, Any]) -> dict[str, Any]:
    found = _of(Measurement, said) or {}
    found["site"] = _of(Site, found.get("site"))
    found["reference_range"] = _range(found.get("reference_range"))
    if said.get("value") is None:
        found["unit"] = {"code": "1"}  # it stands with the value (PS3.3 C.18.1)
        if found.get("no_value") not in ("cannot_be_computed", "not_attempted"):
            found["no_value"] = "cannot_be_computed"
    return {name: value for name, value in found.items() if value is not None or name == "value"}


def _range(said: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not said or not said.get("source") or "text" in said:
        return None
    return _of(ReferenceRange, said)


def _site(said: Mapping[str, Any] | None, decoder: Decoder) -> Site | None:
    found: Site | None = _taken(Site, _of(Site, said), decoder)
    return found


def _code(said: Mapping[str, Any] | None) -> Code | None:
    """A code; a meaning that is missing is its value, one that is too long is cut."""
    if not said:
        return None
    meaning = _plain(str(said.get("meaning") or said.get("value") or "")).encode("ascii", "replace").decode()
    try:
        return Code(str(said.get("value", "")), str(said.get("scheme", ""))[:16], meaning[:64])
    except ContractError:
        return None


def _plain(text: str) -> str:
    """Without characters that no text of a result may hold."""
    return "".join(each for each in text if each.isprintable() or each == "\n").strip()
