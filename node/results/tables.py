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


def site_text(site: Site | None, texts: Texts, said: str = "") -> str:
    """ "Lung, Right"; without the region where `said` holds its name."""
    if site is None:
        return ""
    region = "" if site.region.meaning.lower() in said.lower().split() else site.region.meaning
    side = laterality_text(site.laterality, texts) if site.laterality else ""
    return ", ".join(part for part in (region, side) if part)


def finding_name(finding: Finding, texts: Texts) -> str:
    """ "Nodule A: Solitary nodule of lung, Right"."""
    name = f"{finding.tracking_id}: {finding.code.meaning}" if finding.tracking_id else finding.code.meaning
    site = site_text(finding.site, texts, said=finding.code.meaning)
    return f"{name}, {site}" if site else name


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


_MOST_COLUMNS = 4


def _lesions(entries: Sequence[_Entry]) -> list[tuple[str, str]]:
    """Name and unit of the measurements, where several findings with names have the same few each; else none."""
    of: dict[int, list[tuple[str, str]]] = {}
    for entry in entries:
        of.setdefault(id(entry.finding), []).append((_name(entry.measurement), entry.measurement.unit.code))
    first = next(iter(of.values()))
    alike = all(sorted(measured) == sorted(first) for measured in of.values()) and len(set(first)) == len(first)
    plain = all(
        e.finding.tracking_id and not e.measurement.reference_range and e.side == _side_of(e.finding) for e in entries
    )
    return first if len(of) > 1 and alike and plain and len(first) <= _MOST_COLUMNS else []


def _side_of(finding: Finding) -> Code | None:
    return finding.site.laterality if finding.site else None


def _a_row_each(title: str, entries: Sequence[_Entry], columns: Sequence[tuple[str, str]], texts: Texts) -> Table:
    """A row for each lesion, a column for each of its measurements."""
    by_lesion: dict[int, tuple[Finding, dict[tuple[str, str], Measurement]]] = {}
    for entry in entries:
        _, values = by_lesion.setdefault(id(entry.finding), (entry.finding, {}))
        values[_name(entry.measurement), entry.measurement.unit.code] = entry.measurement
    with_site = any(finding.site for finding, _ in by_lesion.values())
    rows = []
    for finding, values in by_lesion.values():
        row = [Cell(finding.tracking_id or ""), *([Cell(site_text(finding.site, texts))] if with_site else [])]
        rows.append((*row, *(_value_cell(values[column], texts) for column in columns)))
    units = [f"{name}, {unit_text(unit)}" if unit_text(unit) else name for name, unit in columns]
    head = (texts.finding, *([texts.site] if with_site else []), *units)
    return Table(title, head, tuple(rows), (), frozenset(range(len(head) - len(units), len(head))))


def _notes(entries: Sequence[_Entry], texts: Texts) -> tuple[str, ...]:
    """Where the reference ranges come from; for which measurements, where they come from several places."""
    sources: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.measurement.reference_range:
            sources.setdefault(entry.measurement.reference_range.source, {})[_name(entry.measurement)] = None
    if len(sources) == 1:
        return (f"{texts.reference} – {next(iter(sources))}",)
    return tuple(f"{texts.reference} – {', '.join(names)}: {source}" for source, names in sources.items())


def tables(findings: Sequence[Finding], texts: Texts) -> list[Table]:
    """One table for each kind of finding that has measurements, in the order of the result."""
    by_code: dict[Code, list[_Entry]] = {}
    for finding in findings:
        for measurement in finding.measurements:
            entry = _Entry(finding, measurement, measurement.site or finding.site)
            by_code.setdefault(finding.code, []).append(entry)
    made = []
    for code, entries in by_code.items():
        title = code.meaning
        if sides := _sides(entries):
            made.append(_by_side(title, entries, sides, texts))
        elif columns := _lesions(entries):
            made.append(_a_row_each(title, entries, columns, texts))
        else:
            made.append(_one_below_the_other(title, entries, texts))
    return made
