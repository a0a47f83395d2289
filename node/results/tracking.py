"""Tracking identifiers: one name for one lesion, the same in SR, SEG and GSPS of a result."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from plugins.contract import Finding, Result

_LIMIT = 64  # characters of Tracking ID (0062,0020), VR UT, but shown in LO-sized columns

Place = Hashable
"""What two regions of one lesion are joined by: a frame of reference, else the image or frame itself."""
Places = Sequence[Sequence[Place]]
"""For each finding the place of each of its regions, or masks where it has no regions."""


def finding_identifiers(result: Result) -> tuple[str, ...]:
    """One identifier for each finding, in order; none occurs twice."""
    labels = {s.number: s.tracking_id or s.label for s in result.segmentation.segments} if result.segmentation else {}
    taken = {finding.tracking_id for finding in result.findings if finding.tracking_id}
    identifiers = []
    for number, finding in zip(finding_numbers(result), result.findings, strict=True):
        own = labels[finding.segments[0]] if len(finding.segments) == 1 else f"{finding.code.meaning[:56]} {number}"
        identifiers.append(finding.tracking_id or _unlike(taken, own, number))
    return tuple(identifiers)


def group_identifiers(result: Result, places: Places, *, shared: bool) -> tuple[tuple[str, ...], ...]:
    """For each finding an identifier for each of its groups, at least one; the first is the finding's own.

    `shared`: one lesion seen in places that nothing joins (CC and MLO) has one identifier, so that nobody counts it
    twice. Further groups in the same place have identifiers of their own.
    """
    own = finding_identifiers(result)
    taken = set(own)
    return tuple(
        _with_further_parts(taken, (identifier,), of_finding, shared=shared)
        for identifier, of_finding in zip(own, places, strict=True)
    )


def segment_identifiers(
    result: Result, of_groups: Sequence[Sequence[str]], places: Mapping[int, Sequence[Place]], *, shared: bool
) -> dict[int, tuple[str, ...]]:
    """For each segment an identifier for each mask that holds it (`places`), at least one.

    They are those of the finding which the segment alone shows (`of_groups`), else its own.
    """
    if result.segmentation is None:
        return {}
    taken = {identifier for identifiers in of_groups for identifier in identifiers}
    shown: dict[int, tuple[str, ...]] = {}
    for finding, identifiers in zip(result.findings, of_groups, strict=True):
        if len(finding.segments) == 1:
            shown.setdefault(finding.segments[0], tuple(identifiers))
    by_segment = {}
    for segment in result.segmentation.segments:
        first = shown.get(segment.number)
        if first is None:
            own = segment.tracking_id or segment.label
            named = f"{own[: _LIMIT - 12]} segment {segment.number}" if own in taken else own
            first = (_unlike(taken, named, segment.number),)
        by_segment[segment.number] = _with_further_parts(taken, first, places[segment.number], shared=shared)
    return by_segment


def _with_further_parts(
    taken: set[str], identifiers: tuple[str, ...], places: Sequence[Place], *, shared: bool
) -> tuple[str, ...]:
    """`identifiers`, and enough more that there is one for each place."""
    named = list(identifiers)
    for part in range(len(identifiers), len(places)):
        if shared and places[part] not in places[:part]:
            named.append(identifiers[0])
        else:
            named.append(_unlike(taken, f"{identifiers[0][:56]} ({part + 1})", part + 1))
    return tuple(named)


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

    From 1, in the order in which a reader meets them (`reading_order`); those that the images show come first, so
    that the numbers there have no gap. All regions of a finding have its number.
    """
    ordered = sorted(reading_order(result), key=lambda index: not _is_shown(result.findings[index]))
    numbers = {index: number for number, index in enumerate(ordered, start=1)}
    return tuple(numbers[index] for index in range(len(result.findings)))


def _is_shown(finding: Finding) -> bool:
    """Whether the images show it: by a region, or by the outline of a segment that it is present in."""
    return bool(finding.regions or (finding.present and finding.segments))


def reading_order(result: Result) -> list[int]:
    """The indexes of the findings: urgent, present, measured, absent; the order of the plugin holds within."""

    def rank(index: int) -> tuple[bool, int]:
        finding = result.findings[index]
        return not finding.urgent, {True: 0, None: 1, False: 2}[finding.present]

    return sorted(range(len(result.findings)), key=rank)


def shown_numbers(result: Result) -> tuple[int | None, ...]:
    """For each finding its number where a reader needs it; None where nothing but its code is needed.

    It is needed where the images show it, and where several findings of one code have no other name.
    """
    codes = [finding.code for finding in result.findings]
    return tuple(
        number if _is_shown(finding) or (not finding.tracking_id and codes.count(finding.code) > 1) else None
        for finding, number in zip(result.findings, finding_numbers(result), strict=True)
    )


def segment_numbers(result: Result) -> dict[int, int]:
    """For each segment that shows one present finding alone, that finding's number."""
    shown: dict[int, list[int]] = {}
    for finding, number in zip(result.findings, shown_numbers(result), strict=True):
        for segment in finding.segments if finding.present and number else ():
            shown.setdefault(segment, []).append(number or 0)
    return {segment: numbers[0] for segment, numbers in shown.items() if len(numbers) == 1}
