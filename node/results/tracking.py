"""Tracking identifiers: one name for one lesion, the same in SR, SEG and GSPS of a result."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.contract import Result

_LIMIT = 64  # characters of Tracking ID (0062,0020), VR UT, but shown in LO-sized columns

Masks = Sequence[Sequence[int]]
"""The labels that occur in each SEG of a result (`node.results.maps.masks`)."""


def finding_identifiers(result: Result) -> tuple[str, ...]:
    """One identifier for each finding, in order; none occurs twice, so no two groups share a tracking UID."""
    labels = {s.number: s.tracking_id or s.label for s in result.segmentation.segments} if result.segmentation else {}
    taken = {finding.tracking_id for finding in result.findings if finding.tracking_id}
    identifiers = []
    for number, finding in zip(finding_numbers(result), result.findings, strict=True):
        own = labels[finding.segments[0]] if len(finding.segments) == 1 else f"{finding.code.meaning[:56]} {number}"
        identifiers.append(finding.tracking_id or _unlike(taken, own, number))
    return tuple(identifiers)


def group_identifiers(result: Result, masks: Masks) -> tuple[tuple[str, ...], ...]:
    """For each finding its own identifier, then one for each further of its regions, or masks where it has no regions.

    None occurs twice.
    """
    own = finding_identifiers(result)
    taken = set(own)
    named = []
    for identifier, finding in zip(own, result.findings, strict=True):
        shown = sum(any(label in labels for label in finding.segments) for labels in masks)
        named.append(_with_further_parts(taken, (identifier,), len(finding.regions) or shown))
    return tuple(named)


def segment_identifiers(result: Result, masks: Masks) -> dict[int, tuple[str, ...]]:
    """For each segment an identifier for each mask that holds it, at least one.

    They are those of the finding which the segment alone shows, else its own.
    """
    if result.segmentation is None:
        return {}
    of_groups = group_identifiers(result, masks)
    taken = {identifier for identifiers in of_groups for identifier in identifiers}
    shown: dict[int, tuple[str, ...]] = {}
    for finding, identifiers in zip(result.findings, of_groups, strict=True):
        if len(finding.segments) == 1:
            shown.setdefault(finding.segments[0], identifiers)
    by_segment = {}
    for segment in result.segmentation.segments:
        first = shown.get(segment.number)
        if first is None:
            own = segment.tracking_id or segment.label
            named = f"{own[: _LIMIT - 12]} segment {segment.number}" if own in taken else own
            first = (_unlike(taken, named, segment.number),)
        parts = sum(segment.number in labels for labels in masks)
        by_segment[segment.number] = _with_further_parts(taken, first, parts)
    return by_segment


def _with_further_parts(taken: set[str], identifiers: tuple[str, ...], parts: int) -> tuple[str, ...]:
    """`identifiers`, and enough more that there is one for each part."""
    further = range(len(identifiers) + 1, parts + 1)
    return (*identifiers, *(_unlike(taken, f"{identifiers[0][:56]} ({part})", part) for part in further))


def _unlike(taken: set[str], wanted: str, number: int) -> str:
    """`wanted`, with a number behind it where it is taken; taken from now on."""
    identifier = wanted
    while identifier in taken:
        identifier = f"{wanted[: _LIMIT - 8]} #{number}"
        number += 1
    taken.add(identifier)
    return identifier


def finding_numbers(result: Result) -> tuple[int, ...]:
    """For each finding its number: the same in rows, tables, pictures, presentation states and reports.

    From 1. Those with regions come first, so that the numbers on the images have no gap; all regions of a finding
    have its number.
    """
    marked = [index for index, finding in enumerate(result.findings) if finding.regions]
    others = [index for index, finding in enumerate(result.findings) if not finding.regions]
    numbers = {index: number for number, index in enumerate((*marked, *others), start=1)}
    return tuple(numbers[index] for index in range(len(result.findings)))


def shown_numbers(result: Result) -> tuple[int | None, ...]:
    """For each finding its number where a reader needs it; None where nothing but its code is needed.

    It is needed where the images show it, and where several findings of one code have no other name.
    """
    codes = [finding.code for finding in result.findings]
    return tuple(
        number if finding.regions or (not finding.tracking_id and codes.count(finding.code) > 1) else None
        for finding, number in zip(result.findings, finding_numbers(result), strict=True)
    )
