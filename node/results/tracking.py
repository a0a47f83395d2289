"""Tracking identifiers: one name for one lesion, the same in SR, SEG and GSPS of a result."""

from __future__ import annotations

from plugins.contract import Result

_LIMIT = 64  # characters of Tracking ID (0062,0020), VR UT, but shown in LO-sized columns


def finding_identifiers(result: Result) -> tuple[str, ...]:
    """One identifier for each finding, in order; none occurs twice, so no two groups share a tracking UID."""
    labels = {s.number: s.tracking_id or s.label for s in result.segmentation.segments} if result.segmentation else {}
    given = {finding.tracking_id for finding in result.findings if finding.tracking_id}
    used: set[str] = set()
    identifiers = []
    for index, finding in enumerate(result.findings, start=1):
        own = labels[finding.segments[0]] if len(finding.segments) == 1 else f"{finding.code.meaning[:56]} {index}"
        identifier = finding.tracking_id or own
        if identifier in used or (finding.tracking_id is None and identifier in given):
            identifier = f"{identifier[: _LIMIT - 8]} #{index}"
        used.add(identifier)
        identifiers.append(identifier)
    return tuple(identifiers)


def part_identifier(identifier: str, part: int) -> str:
    """The identifier of one region of a finding, counted from 0: the first has the finding's own."""
    return f"{identifier[:56]} ({part + 1})" if part else identifier


def segment_identifiers(result: Result) -> dict[int, str]:
    """The identifier of each segment: that of the finding which it alone shows, else its own."""
    if result.segmentation is None:
        return {}
    of_findings = finding_identifiers(result)
    by_segment: dict[int, str] = {}
    for finding, identifier in zip(result.findings, of_findings, strict=True):
        if len(finding.segments) == 1:
            by_segment.setdefault(finding.segments[0], identifier)
    for segment in result.segmentation.segments:
        own = segment.tracking_id or segment.label
        taken = own in of_findings or own in by_segment.values()
        by_segment.setdefault(segment.number, f"{own[: _LIMIT - 12]} segment {segment.number}" if taken else own)
    return by_segment


def region_numbers(result: Result) -> tuple[tuple[int, ...], ...]:
    """For each finding the numbers of its regions on pages and in presentation states: from 1, through all findings."""
    numbers, following = [], 1
    for finding in result.findings:
        numbers.append(tuple(range(following, following + len(finding.regions))))
        following += len(finding.regions)
    return tuple(numbers)
