"""A report that was read, in the words of the result model: what `pacsnode read --json` prints.

The keys are those of a plugin's result.json (docs/plugins.md), so that one program reads what a plugin said, what this
node sent and what another vendor's report says. What a report does not hold is left out: digits worth showing, windows,
and the arrays of segmentations, heat maps and pictures, which are objects of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from node.reading import codes as our_codes
from node.reading.report import ReadCode, ReadFinding, ReadMeasurement, ReadRegion, ReadReport, ReadSite

_THRESHOLD = re.compile(r"threshold of (.+) = (\S+)")
_RANGE = re.compile(
    r"(?:(?:≤|<=) (?P<only_high>\S+)|(?:≥|>=) (?P<only_low>\S+)|(?P<low>\S+) (?:–|to) (?P<high>\S+))(?: .*)?"
)
"""As we write them in ASCII, and as we wrote them before."""
_PART = re.compile(r"(.+) \(\d+\)(?: #\d+)?")
_SCORES = {("111012", "DCM"), ("111047", "DCM")}
"""Certainty of Finding, Probability of Cancer."""
_URGENT = "URGENT"
_STATUS = {code.value: status.value for status, code in our_codes.SUMMARY.items()}
_NO_VALUE = {code.value: reason.value for reason, code in our_codes.NO_VALUE.items()}

Json = dict[str, Any]


def as_result(report: ReadReport) -> Json:
    """The report as a result, for `json.dumps`; `report` in it says which document it is."""
    ours = bool(report.marking)
    status = _STATUS.get(report.status.value) if report.status else None
    reasons = _notes(report, our_codes.REASON.meaning) if status in {"failed", "not_applicable"} else []
    return _without_nothing(
        {
            "report": {
                name: getattr(report, name)
                for name in ("title", "sop_instance_uid", "study_instance_uid", "observer", "marking")
            }
            | _without_nothing(
                {
                    "person": report.person,
                    "partial": True if report.is_partial else None,
                    "lesions": report.lesions if report.lesions < len(report.findings) else None,
                    "not_understood": [{"name": name, "value": value} for name, value in report.not_understood],
                }
            ),
            "status": status,
            "summary": reasons[0] if reasons else report.summary,
            "findings": [_finding(first, others) for first, others in _whole(report.findings, ours)],
            "key_images": [
                _without_nothing({"image": _image(key.sop_instance_uid, key.frame_number), "reason": key.reason})
                for key in report.key_images
            ],
            "quality": _notes(report, our_codes.LIMIT.meaning),
        }
    )


def _notes(report: ReadReport, name: str) -> list[str]:
    return [text for named, text in report.notes if named == name]


def _without_nothing(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _whole(groups: Sequence[ReadFinding], ours: bool) -> Iterator[tuple[ReadFinding, list[ReadFinding]]]:
    """Each finding with the groups of its further regions or views.

    Those are one lesion where tracking UID, identifier and finding agree; in one frame of reference we write them
    behind it under names of their own ("Nodule A (2)").
    """
    whole: list[tuple[ReadFinding, list[ReadFinding]]] = []
    for group in groups:
        # What a finding says of itself stands with its first region.
        says = group.measurements or group.evaluations or group.comments
        shown = group.regions or group.segments
        part = _PART.fullmatch(group.tracking_identifier) if ours and shown and not says else None
        if again := next((each for each in whole if _is_one_lesion(each[0], group)), None):
            again[1].append(group)
            continue
        first = whole[-1][0] if whole else None
        same = first and (first.finding, first.site) == (group.finding, group.site)
        if part and first and same and first.tracking_identifier[:56] == part[1]:
            whole[-1][1].append(group)
        else:
            whole.append((group, []))
    yield from whole


def _is_one_lesion(one: ReadFinding, other: ReadFinding) -> bool:
    told = (one.tracking_uid, one.tracking_identifier, one.finding)
    return all(told) and told == (other.tracking_uid, other.tracking_identifier, other.finding)


# --- findings -------------------------------------------------------------------------------------


def _finding(group: ReadFinding, others: Sequence[ReadFinding]) -> Json:
    thresholds = {
        found[1]: float(found[2]) for text in group.algorithm_parameters if (found := _THRESHOLD.fullmatch(text))
    }
    score = next((number for number in group.measurements if _is_score(number, thresholds)), None)
    told = group.finding.meaning if group.finding and group.present is not None else None
    return _without_nothing(
        {
            "code": _code(group.finding),
            "present": group.present,
            "score": _score(score, thresholds) if score else None,
            "site": _site(group.site),
            "measurements": [_measurement(number) for number in group.measurements if number is not score],
            "regions": [each for one in (group, *others) for region in one.regions for each in _regions(region)],
            "segments": sorted({number for one in (group, *others) for number in one.segments}),
            "tracking_id": group.tracking_identifier,
            "urgent": True if _URGENT in group.comments else None,
            "comment": "\n".join(text for text in group.comments if text != _URGENT),
            "evaluations": [list(pair) for pair in group.evaluations if pair[0] != told],
        }
    )


def _code(code: ReadCode | None) -> Json | None:
    return asdict(code) if code else None


def _site(site: ReadSite | None) -> Json | None:
    if site is None:
        return None
    modifiers = [_code(each) for each in site.modifiers]
    return _without_nothing(
        {"region": _code(site.region), "laterality": _code(site.laterality), "modifiers": modifiers}
    )


def _unit(unit: ReadCode | None) -> Json | None:
    return {"code": unit.value, "meaning": unit.meaning} if unit else None


def _is_score(number: ReadMeasurement, thresholds: dict[str, float]) -> bool:
    """Ours with a code of its own kind, one that says how sure, or the one that has a threshold."""
    concept = number.concept
    private = concept.scheme == our_codes.SCHEME and re.fullmatch("S[0-9A-F]{12}", concept.value)
    return bool(private) or (concept.value, concept.scheme) in _SCORES or concept.meaning in thresholds


def _score(number: ReadMeasurement, thresholds: dict[str, float]) -> Json:
    private = number.concept.scheme == our_codes.SCHEME
    meaning = number.concept.meaning
    return _without_nothing(
        {
            "value": number.value,
            "threshold": thresholds.get(meaning),
            "meaning": meaning,
            "unit": _unit(number.unit),
            "concept": None if private else _code(number.concept),
        }
    )


def _measurement(number: ReadMeasurement) -> Json:
    return {"value": number.value} | _without_nothing(
        {
            "concept": _code(number.concept),
            "unit": _unit(number.unit),
            "no_value": _no_value(number),
            "derivation": _code(number.derivation),
            "method": _code(number.method),
            "reference_range": _range(number),
            "site": _site(number.site),
            "algorithm": number.algorithm,
        }
    )


def _no_value(number: ReadMeasurement) -> str | None:
    if number.value is not None or number.qualifier is None:
        return None
    return _NO_VALUE.get(number.qualifier.value, number.qualifier.meaning)


def _range(number: ReadMeasurement) -> Json | None:
    """The limits where the text is of our form; else the text alone."""
    if not number.range_text:
        return None
    found = _RANGE.fullmatch(number.range_text)
    try:
        limits = {name: float(text) for name, text in found.groupdict().items() if text} if found else {}
    except ValueError:
        limits = {}
    if not limits:
        return {"text": number.range_text, "source": number.range_source}
    low, high = limits.get("low", limits.get("only_low")), limits.get("high", limits.get("only_high"))
    return {"low": low, "high": high, "source": number.range_source}


# --- regions --------------------------------------------------------------------------------------


def _image(sop_instance_uid: str, frame_number: int | None) -> Json:
    return _without_nothing({"sop_instance_uid": sop_instance_uid, "frame_number": frame_number})


def _short(value: float) -> float:
    """The shortest decimal that is the same 32-bit number: Graphic Data has no more than that."""
    return float(str(np.float32(value)))


def _regions(region: ReadRegion) -> list[Json]:
    """One region of the result model; several for MULTIPOINT."""
    points = [[_short(value) for value in point] for point in region.points]
    if region.graphic_type == "MULTIPOINT":
        return [_region("Point", [point], region) for point in points]
    kind = {"POINT": "Point", "ELLIPSE": "Ellipse"}.get(region.graphic_type, region.graphic_type)
    if region.graphic_type == "CIRCLE" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = float(np.hypot(edge_x - x, edge_y - y))
        kind, points = "Ellipse", [[x - radius, y], [x + radius, y], [x, y - radius], [x, y + radius]]
    elif region.graphic_type in {"POLYLINE", "POLYGON"}:
        kind, points = _line(points)
    return [_region(kind, points, region)]


def _line(points: list[list[float]]) -> tuple[str, list[list[float]]]:
    if len(points) < 4 or points[0] != points[-1]:
        return "Polyline", points
    corners = points[:-1]
    xs, ys = ({point[axis] for point in corners} for axis in (0, 1))
    if len(corners) == 4 and len(corners[0]) == 2 and len(xs) == len(ys) == 2:
        return "Box", [[min(xs), min(ys)], [max(xs), max(ys)]]
    return "Polygon", corners


def _region(kind: str, points: list[list[float]], region: ReadRegion) -> Json:
    return _without_nothing(
        {
            "type": kind,
            "points": points,
            "image": _image(region.sop_instance_uid, region.frame_number) if region.sop_instance_uid else None,
            "frame_of_reference_uid": region.frame_of_reference_uid,
        }
    )
