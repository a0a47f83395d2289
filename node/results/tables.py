"""The numbers of a result as a radiologist reads them: side by side where both were measured, else in a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.results.sr_groups import range_text
from node.results.texts import Texts, laterality_text
from plugins.contract import Code, Finding, Measurement, NoValue, Site

_UCUM_SHOWN = {"[hnsf'U]": "HU", "1": "", "{score}": ""}
_SIDES = ("24028007", "7771000", "51440002")
"""Right, left, both: in the order of the image, where the patient's right is on the left."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One text of a row: `outside` is a value beyond its reference range, `missing` says why there is none."""

    text: str
    outside: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A head, rows of as many cells, and the sources of the reference ranges in it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    values: frozenset[int]
    """The columns that hold numbers."""


@dataclass(frozen=True, slots=True)
class _Entry:
    finding: Finding
    measurement: Measurement
    site: Site | None

    @property
    def side(self) -> Code | None:
        return self.site.laterality if self.site else None


def unit_text(code: str) -> str:
    """A UCUM unit as people write it."""
    return _UCUM_SHOWN.get(code, code)


def value_text(measurement: Measurement, texts: Texts) -> str:
    """The value to its meaningful digits, or why there is none."""
    if measurement.value is None:
        return texts.not_attempted if measurement.no_value is NoValue.NOT_ATTEMPTED else texts.not_computed
    shown = f"{measurement.value:,.{measurement.decimals}f}"
    return shown.replace("-", "−") if float(shown.replace(",", "")) else shown.lstrip("-")


def _outside(measurement: Measurement) -> str:
    """ "▲" above, "▼" below its reference range, else nothing."""
    reference, value = measurement.reference_range, measurement.value
    if reference is None or value is None:
        return ""
    if reference.high is not None and value > reference.high:
        return "▲ "
    return "▼ " if reference.low is not None and value < reference.low else ""


def _value_cell(measurement: Measurement, texts: Texts) -> Cell:
    mark = _outside(measurement)
    return Cell(mark + value_text(measurement, texts), outside=bool(mark), missing=measurement.value is None)


def _reference_cell(measurement: Measurement) -> Cell:
    reference = measurement.reference_range
    return Cell(range_text(reference).replace("-", "−") if reference else "")


def site_text(site: Site | None, texts: Texts) -> str:
    """ "Lung, Right"."""
    if site is None:
        return ""
    return (
        f"{site.region.meaning}, {laterality_text(site.laterality, texts)}" if site.laterality else site.region.meaning
    )


def _name(measurement: Measurement) -> str:
    parts = [code.meaning for code in (measurement.derivation, measurement.method) if code]
    return measurement.concept.meaning + (f" ({', '.join(parts)})" if parts else "")


def _sides(entries: Sequence[_Entry]) -> list[Code]:
    """The sides measured, where a table with a column for each of them is possible; else none."""
    sides = {entry.side.value: entry.side for entry in entries if entry.side}
    cells = [(_name(e.measurement), e.measurement.unit, e.side.value if e.side else "") for e in entries]
    possible = len(sides) >= 2 and all(entry.side for entry in entries) and len(set(cells)) == len(cells)
    if not possible or not set(sides) <= set(_SIDES):
        return []
    return [sides[value] for value in _SIDES if value in sides]


def _by_side(title: str, entries: Sequence[_Entry], sides: Sequence[Code], texts: Texts) -> Table:
    rows: dict[tuple[str, str], dict[str, Measurement]] = {}
    for entry in entries:
        key = (_name(entry.measurement), unit_text(entry.measurement.unit.code))
        rows.setdefault(key, {})[entry.side.value if entry.side else ""] = entry.measurement
    regions = {entry.site.region.meaning for entry in entries if entry.site}
    with_reference = any(entry.measurement.reference_range for entry in entries)
    body = []
    for (name, unit), cells in rows.items():
        values = [_value_cell(cells[side.value], texts) if side.value in cells else Cell("–") for side in sides]
        row = [Cell(name), *values, Cell(unit)]
        if with_reference:
            ranged = next((m for m in cells.values() if m.reference_range), next(iter(cells.values())))
            row.append(_reference_cell(ranged))
        body.append(tuple(row))
    head = [texts.measurement, *(laterality_text(side, texts) for side in sides), texts.unit]
    return Table(
        title=f"{title} – {regions.pop()}" if len(regions) == 1 else title,
        head=tuple([*head, texts.reference] if with_reference else head),
        rows=tuple(body),
        notes=_notes(entries, texts),
        values=frozenset(range(1, 1 + len(sides))),
    )


def _one_below_the_other(title: str, entries: Sequence[_Entry], texts: Texts) -> Table:
    with_site = any(entry.site for entry in entries)
    with_reference = any(entry.measurement.reference_range for entry in entries)
    several = len({id(entry.finding) for entry in entries}) > 1
    rows = []
    for entry in entries:
        label = entry.finding.tracking_id if several else None
        row = [Cell(f"{label}: {_name(entry.measurement)}" if label else _name(entry.measurement))]
        row += [Cell(site_text(entry.site, texts))] if with_site else []
        row += [_value_cell(entry.measurement, texts), Cell(unit_text(entry.measurement.unit.code))]
        row += [_reference_cell(entry.measurement)] if with_reference else []
        rows.append(tuple(row))
    head = [texts.measurement, *([texts.site] if with_site else []), texts.value, texts.unit]
    return Table(
        title=title,
        head=tuple([*head, texts.reference] if with_reference else head),
        rows=tuple(rows),
        notes=_notes(entries, texts),
        values=frozenset({2 if with_site else 1}),
    )


def _notes(entries: Sequence[_Entry], texts: Texts) -> tuple[str, ...]:
    sources = dict.fromkeys(
        f"{_name(e.measurement)}: {e.measurement.reference_range.source}"
        for e in entries
        if e.measurement.reference_range
    )
    return tuple(f"{texts.reference} – {source}" for source in sources)


def tables(findings: Sequence[Finding], texts: Texts) -> list[Table]:
    """One table for each kind of finding that has measurements, in the order of the result."""
    by_code: dict[Code, list[_Entry]] = {}
    for finding in findings:
        for measurement in finding.measurements:
            entry = _Entry(finding, measurement, measurement.site or finding.site)
            by_code.setdefault(finding.code, []).append(entry)
    made = []
    for code, entries in by_code.items():
        sides = _sides(entries)
        title = code.meaning
        made.append(_by_side(title, entries, sides, texts) if sides else _one_below_the_other(title, entries, texts))
    return made
