"""The numbers of a result as a radiologist reads them: a row for each finding, or sides beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.results.pages.meanings import meaning
from node.results.pages.units import shown_unit
from node.results.report.numbers import exact
from node.results.texts import ENGLISH, Texts, laterality_text
from node.results.tracking import shown_numbers
from plugins.contract import Code, Finding, Measurement, NoValue, ReferenceRange, Result, Site

What = tuple[Code, Code | None, Code | None, str]
"""Concept, derivation, method and unit: where these agree, two values can be in one row or column."""
_SIDES = ("24028007", "7771000", "51440002")
"""Right, left, both: in the order of the image, where the patient's right is on the left."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One text of a row: `outside` is a value beyond its reference range, `missing` says why there is none."""

    text: str
    outside: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class PageTable:
    """A head, rows of as many cells, and the sources of the reference ranges in it."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    values: frozenset[int]
    """The columns that hold numbers."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A measurement with the finding that it belongs to."""

    finding: Finding
    number: int | None
    """Of the finding, where readers see one (`tracking.shown_numbers`)."""
    measurement: Measurement
    site: Site | None

    @property
    def side(self) -> Code | None:
        return self.site.laterality if self.site else None

    @property
    def what(self) -> What:
        """What is measured, and in which unit."""
        one = self.measurement
        return one.concept, one.derivation, one.method, one.unit.code

    @property
    def owner(self) -> str:
        """ "2 · Nodule B": the finding by its number and its own name, as far as it has them."""
        return " · ".join(str(part) for part in (self.number, self.finding.tracking_id) if part)


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
    return Cell(_range_text(reference).replace("-", "−") if reference else "")


def _range_text(reference: ReferenceRange) -> str:
    """ "≤ 6", "≥ -910", "4 – 6"."""
    if reference.low is None:
        return f"≤ {exact(reference.high or 0.0)}"
    return (
        f"≥ {exact(reference.low)}" if reference.high is None else f"{exact(reference.low)} – {exact(reference.high)}"
    )


def site_text(site: Site | None, texts: Texts, said: str = "") -> str:
    """ "Lung, Right"; without the region where `said` holds its name."""
    if site is None:
        return ""
    region = "" if site.region.meaning.lower() in said.lower().split() else meaning(site.region, texts)
    side = laterality_text(site.laterality, texts) if site.laterality else ""
    return ", ".join(part for part in (region, side) if part)


def finding_name(finding: Finding, texts: Texts) -> str:
    """ "Nodule A: Solitary nodule of lung, Right"."""
    what = meaning(finding.code, texts)
    name = f"{finding.tracking_id}: {what}" if finding.tracking_id else what
    site = site_text(finding.site, texts, said=finding.code.meaning)
    return f"{name}, {site}" if site else name


def _name(measurement: Measurement, texts: Texts) -> str:
    parts = [meaning(code, texts) for code in (measurement.derivation, measurement.method) if code]
    return meaning(measurement.concept, texts) + (f" ({', '.join(parts)})" if parts else "")


def _sides(of_code: Sequence[Finding], entries: Sequence[_Entry]) -> list[Code]:
    """The sides measured, where a table with a column for each of them is possible; else none.

    Each side is one finding's, or all are sides of one finding, and each has the same measurements of the same region
    under the same reference ranges: nothing in a column is another finding's, and none has a name that is not shown.
    """
    by_side: dict[str, list[_Entry]] = {}
    for entry in entries:
        by_side.setdefault(entry.side.value if entry.side else "", []).append(entry)
    columns = [[(e.what, e.measurement.reference_range) for e in column] for column in by_side.values()]
    alike = all(len(column) == len(columns[0]) and set(column) == set(columns[0]) for column in columns)
    once = len({what for what, _ in columns[0]}) == len(columns[0])
    measured = {id(entry.finding) for entry in entries}
    several = len(of_code) > 1
    own = len(measured) == len(of_code) and all(
        len({id(e.finding) for e in column}) == 1 for column in by_side.values()
    )
    one_each = own and (not several or len(by_side) == len(measured))
    named = several and any(not _says_its_side(entry) for entry in entries)
    one_region = len({entry.site.region for entry in entries if entry.site}) == 1
    possible = len(by_side) >= 2 and set(by_side) <= set(_SIDES) and one_region
    if not (possible and alike and once and one_each) or named:
        return []
    return [side for value in _SIDES if value in by_side and (side := by_side[value][0].side)]


def _says_its_side(entry: _Entry) -> bool:
    """Whether the head of a side's column says who the owner is: no number is on the images, and its name is its side
    ("Right lung").
    """
    finding, side = entry.finding, entry.side
    if finding.regions or side is None:
        return False
    name = (finding.tracking_id or "").lower()
    return not name or any(word in name for word in (side.meaning.lower(), laterality_text(side, ENGLISH).lower()))


def _by_side(title: str, entries: Sequence[_Entry], sides: Sequence[Code], texts: Texts) -> PageTable:
    rows: dict[What, dict[str, Measurement]] = {}
    for entry in entries:
        rows.setdefault(entry.what, {})[entry.side.value if entry.side else ""] = entry.measurement
    regions = {meaning(entry.site.region, texts) for entry in entries if entry.site}
    with_reference = any(entry.measurement.reference_range for entry in entries)
    body = []
    for cells in rows.values():
        one = next(iter(cells.values()))
        values = [_value_cell(cells[side.value], texts) for side in sides]
        row = [Cell(_name(one, texts)), *values, Cell(shown_unit(one.unit.code))]
        body.append(tuple([*row, _reference_cell(one)] if with_reference else row))
    head = [texts.measurement, *(laterality_text(side, texts) for side in sides), texts.unit]
    return PageTable(
        title=f"{title} – {regions.pop()}",
        head=tuple([*head, texts.reference] if with_reference else head),
        rows=tuple(body),
        notes=_notes(entries, texts),
        values=frozenset(range(1, 1 + len(sides))),
    )


def _one_below_the_other(title: str, entries: Sequence[_Entry], several: bool, texts: Texts) -> PageTable:
    """A row for each measurement; `several`: of more than one finding, so that each row names its own."""
    with_site = any(entry.site for entry in entries)
    with_reference = any(entry.measurement.reference_range for entry in entries)
    rows = []
    for entry in entries:
        row = [Cell(entry.owner)] if several else []
        row += [Cell(_name(entry.measurement, texts))]
        row += [Cell(site_text(entry.site, texts))] if with_site else []
        row += [_value_cell(entry.measurement, texts), Cell(shown_unit(entry.measurement.unit.code))]
        row += [_reference_cell(entry.measurement)] if with_reference else []
        rows.append(tuple(row))
    head = [*([texts.finding] if several else []), texts.measurement, *([texts.site] if with_site else [])]
    values = frozenset({len(head)})
    head += [texts.value, texts.unit, *([texts.reference] if with_reference else [])]
    return PageTable(title, tuple(head), tuple(rows), _notes(entries, texts), values)


_MOST_COLUMNS = 4


def _lesions(entries: Sequence[_Entry]) -> list[What]:
    """What is measured, where several findings have the same few measurements each; else nothing."""
    of: dict[int, list[What]] = {}
    for entry in entries:
        of.setdefault(id(entry.finding), []).append(entry.what)
    first = next(iter(of.values()))
    alike = all(len(measured) == len(first) and set(measured) == set(first) for measured in of.values())
    plain = all(not e.measurement.reference_range and e.site == e.finding.site for e in entries)
    return first if len(of) > 1 and alike and len(set(first)) == len(first) <= _MOST_COLUMNS and plain else []


def _a_row_each(title: str, entries: Sequence[_Entry], columns: Sequence[What], texts: Texts) -> PageTable:
    """A row for each finding, a column for each of its measurements."""
    by_finding: dict[int, list[_Entry]] = {}
    for entry in entries:
        by_finding.setdefault(id(entry.finding), []).append(entry)
    with_site = any(entry.site for entry in entries)
    rows = []
    for own in by_finding.values():
        values = {entry.what: _value_cell(entry.measurement, texts) for entry in own}
        row = [Cell(own[0].owner), *([Cell(site_text(own[0].site, texts))] if with_site else [])]
        rows.append((*row, *(values[column] for column in columns)))
    heads = []
    for measurement in (entry.measurement for entry in next(iter(by_finding.values()))):
        unit = shown_unit(measurement.unit.code)
        heads.append(f"{_name(measurement, texts)}, {unit}" if unit else _name(measurement, texts))
    head = (texts.finding, *([texts.site] if with_site else []), *heads)
    return PageTable(title, head, tuple(rows), (), frozenset(range(len(head) - len(heads), len(head))))


def _notes(entries: Sequence[_Entry], texts: Texts) -> tuple[str, ...]:
    """Where the reference ranges come from; for which measurements, where they come from several places."""
    sources: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.measurement.reference_range:
            sources.setdefault(entry.measurement.reference_range.source, {})[_name(entry.measurement, texts)] = None
    if len(sources) == 1:
        return (f"{texts.reference} – {next(iter(sources))}",)
    return tuple(f"{texts.reference} – {', '.join(names)}: {source}" for source, names in sources.items())


def measured_columns(
    result: Result, indexes: Sequence[int], texts: Texts
) -> tuple[list[tuple[What, str]], dict[int, tuple[Cell, ...]]]:
    """The columns that hold all measurements of these findings, with their heads, and the cells of each finding.

    Nothing where a column of its own for each would be too many, or where a measurement has a site or a reference
    range of its own.
    """
    columns: dict[What, str] = {}
    cells: dict[int, dict[What, Cell]] = {}
    for index in indexes:
        finding = result.findings[index]
        for measurement in finding.measurements:
            what = _Entry(finding, None, measurement, finding.site).what
            own = cells.setdefault(index, {})
            plain = not measurement.reference_range and measurement.site in (None, finding.site)
            if what in own or not plain:
                return [], {}
            unit = shown_unit(measurement.unit.code)
            columns.setdefault(what, f"{_name(measurement, texts)}, {unit}" if unit else _name(measurement, texts))
            own[what] = _value_cell(measurement, texts)
    if len(columns) > _MOST_LISTED or sum(len(head) for head in columns.values()) > _LONGEST_HEADS:
        return [], {}
    return list(columns.items()), {
        index: tuple(own.get(what, Cell("")) for what in columns) for index, own in cells.items()
    }


_MOST_LISTED, _LONGEST_HEADS = 3, 54
"""Columns beside many findings, and characters of all their heads: what leaves the findings room for their names."""


def tables(result: Result, texts: Texts, but: frozenset[int] = frozenset()) -> list[PageTable]:
    """One table for each kind of finding that has measurements, in the order of the result, `but` for those listed.

    Each row, or each column of a side, is one finding's: a number is never beside those of another.
    """
    by_code: dict[Code, list[_Entry]] = {}
    for index, (finding, number) in enumerate(zip(result.findings, shown_numbers(result), strict=True)):
        for measurement in finding.measurements if index not in but else ():
            entry = _Entry(finding, number, measurement, measurement.site or finding.site)
            by_code.setdefault(finding.code, []).append(entry)
    made = []
    for code, entries in by_code.items():
        of_code = [finding for finding in result.findings if finding.code == code]
        if sides := _sides(of_code, entries):
            made.append(_by_side(meaning(code, texts), entries, sides, texts))
        elif columns := _lesions(entries):
            made.append(_a_row_each(meaning(code, texts), entries, columns, texts))
        else:
            made.append(_one_below_the_other(meaning(code, texts), entries, len(of_code) > 1, texts))
    return made
