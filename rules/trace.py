"""Why a condition holds or not, clause by clause, as JSON-able objects.

A node is `{"clause", "passed": true | false | null (in doubt), "why", "found": […], "parts": […],
"error": true where `missing: error` applied}`. Traces are kept with each decision, so they are bounded:
at most `MOST_VALUES` values a clause and `MOST_SERIES` series a block; counts always cover all.
Values are shown as the header has them, so a rule on PatientName puts names into its traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from rules import conditions, names, values
from rules.choose import Preference, series_number
from rules.conditions import (
    AllOf,
    AnyOf,
    Clause,
    Condition,
    CountCondition,
    Not,
    Quantifier,
    SeriesView,
    StudyView,
    Verdict,
)
from rules.facts import Datum

Node: TypeAlias = dict[str, Any]
MOST_VALUES = 6
MOST_SERIES = 30


def in_study(condition: Condition, view: StudyView) -> Node:
    """Explain a study-level condition."""
    verdict = conditions.study(condition, view)
    match condition:
        case Clause():
            return _clause(condition, verdict, view.series, of_study=True)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return _combined(condition, verdict, [in_study(part, view) for part in parts])
        case Not(part=Clause() as clause):
            return _clause(clause, verdict, view.series, of_study=True, negated=condition.text)
        case Not(part=part):
            return _combined(condition, verdict, [in_study(part, view)])
        case Quantifier() | CountCondition():
            return _block(condition, verdict, view.series)


def in_series(condition: Condition, view: SeriesView) -> Node:
    """Explain a condition on the images of one series."""
    verdict = conditions.series(condition, view)
    match condition:
        case Clause():
            return _clause(condition, verdict, (view,), of_study=False)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return _combined(condition, verdict, [in_series(part, view) for part in parts])
        case Not(part=Clause() as clause):
            return _clause(clause, verdict, (view,), of_study=False, negated=condition.text)
        case Not(part=part):
            return _combined(condition, verdict, [in_series(part, view)])
        case Quantifier() | CountCondition():
            return _block(condition, verdict, (view,))


def label(view: SeriesView) -> dict[str, Any]:
    """Which series, in words that a person knows it by."""
    missing, number = series_number(view)
    return {
        "series_instance_uid": values.clean(view.facts.series_instance_uid),
        "series_number": None if missing else number,
        "modality": values.shown(view.facts.modality),
        "description": _description(view),
        "instances": view.scope.bit_count(),
    }


def _description(view: SeriesView) -> str:
    element = view.facts.instances[0].attributes.get("SeriesDescription")
    first = element.values[0] if element and element.values else ""
    return values.shown(first) if isinstance(first, str) else ""


def words(verdict: Verdict) -> str:
    """A verdict in words."""
    return {True: "holds", False: "does not hold", None: "is in doubt"}[verdict]


def _combined(condition: AllOf | AnyOf | Not, verdict: Verdict, parts: Sequence[Node]) -> Node:
    holding = sum(part["passed"] is True for part in parts)
    name = {AllOf: "all", AnyOf: "any", Not: "not"}[type(condition)]
    why = f"it {words(parts[0]['passed'])}" if name == "not" else f"{holding} of {len(parts)} hold"
    return {"clause": name, "passed": verdict, "why": why, "parts": list(parts)}


# -- one clause


def _clause(
    clause: Clause, verdict: Verdict, views: Sequence[SeriesView], *, of_study: bool, negated: str = ""
) -> Node:
    """`negated`: how the rule says that the clause must not hold; what fits is then what fails."""
    node: Node = {"clause": negated or clause.text, "passed": verdict}
    fact = clause.name.fact
    if fact and fact.of != "image":
        found = conditions.fact_values(clause.name, views)
        node["found"] = [{"value": values.shown(value)} for value in found[:MOST_VALUES]]
        node["why"] = f"{clause.name.text} is {_listed(found)}" if found else f"{clause.name.text} is missing"
        return node
    groups, missing = _groups(clause, views)
    if negated:
        for group in groups:
            group["passed"] = conditions.negation(group["passed"])
    total = sum(view.scope.bit_count() for view in views)
    telling = of_study and not negated  # under `when` one value that fits is enough; else one that does not is too many
    groups.sort(key=lambda group: (group["passed"] is not telling, -group["instances"]))
    node["found"] = groups[:MOST_VALUES]
    counts = conditions.negation(clause.missing) if negated else clause.missing
    silent = clause.presence or (of_study and bool(groups))
    node["why"] = _why(groups, missing, total, None if silent else _COUNTS[counts], of_study=of_study)
    unread = missing + sum(group["instances"] for group in groups if group["passed"] is None and not _unkept(group))
    if clause.missing is None and not clause.presence and (unread == total if of_study else unread):
        node["error"] = True
    return node


_COUNTS = {True: "counts as true", False: "counts as false", None: "is an error"}
"""What a missing value does."""


def _groups(clause: Clause, views: Iterable[SeriesView]) -> tuple[list[Node], int]:
    merged: dict[tuple[str, Verdict], Node] = {}
    missing = 0
    for view in views:
        column = conditions.column(clause, view)
        missing += (column.missing & view.scope).bit_count()
        for found, mask in column.groups:
            if count := (mask & view.scope).bit_count():
                passed = True if clause.presence else conditions.satisfied(clause, found, view.study.moment)
                key = (_listed(found), passed)
                group = merged.setdefault(
                    key, {"value": key[0], "instances": 0, "series": [], "numbers": [], "passed": passed}
                )
                group["instances"] += count
                if len(group["series"]) < MOST_VALUES:
                    group["series"].append(values.clean(view.facts.series_instance_uid))
                    group["numbers"].append(_number(view))
    return list(merged.values()), missing


def _listed(found: Sequence[Datum]) -> str:
    shown = [values.shown(value) for value in found[:MOST_VALUES]]
    return "\\".join(shown) + ("\\…" if len(found) > MOST_VALUES else "")


def _why(groups: Sequence[Node], missing: int, total: int, counts: str | None, *, of_study: bool) -> str:
    said = [
        f"{group['value']} in {_of(group['instances'], total)}{_where(group, total, of_study)}{_fate(group)}"
        for group in groups[:3]
    ]
    if len(groups) > 3:
        said.append(f"{len(groups) - 3} further values")
    if missing:
        said.append(f"missing in {_of(missing, total)}" + (f", which {counts}" if counts else ""))
    return "; ".join(said) or "there are no instances"


def _where(group: Node, total: int, of_study: bool) -> str:
    """In which series, where a value is not everywhere in the study."""
    if not of_study or group["instances"] == total:
        return ""
    numbers, more = group["numbers"], ", …" if len(group["numbers"]) == MOST_VALUES else ""
    return f" (series {', '.join(numbers)}{more})"


def _number(view: SeriesView) -> str:
    missing, number = series_number(view)
    return "?" if missing else f"{number}" if isinstance(number, int) else f"{number:g}"


def _fate(group: Node) -> str:
    if group["passed"] is None and _unkept(group):
        return ", so nothing but its presence can be decided"
    return {True: "", False: ", fails", None: ", cannot be read"}[group["passed"]]


def _unkept(group: Node) -> bool:
    return values.NOT_KEPT in group["value"]


def _of(count: int, total: int) -> str:
    if count == total:
        return "the only instance" if total == 1 else f"all {total} instances"
    return f"{count} of {total} instances"


# -- blocks on series and images


def _block(block: Quantifier | CountCondition, verdict: Verdict, views: Sequence[SeriesView]) -> Node:
    judged = [(view, *conditions.images(block.part, view)) for view in views]
    by_series = [conditions.agreed(true, false, view) for view, true, false in judged]
    if block.of == "series":
        what, total = "series", len(views)
        holding, doubtful = by_series.count(True), by_series.count(None)
    else:
        what, total = "instances", sum(view.scope.bit_count() for view in views)
        holding = sum(true.bit_count() for _, true, _ in judged)
        doubtful = total - holding - sum(false.bit_count() for _, _, false in judged)
    why = f"{holding} of {total} {what}" + (f", {doubtful} in doubt" if doubtful else "")
    parts = [
        _of_series(block.part, *each) for each in zip(views, by_series, (true for _, true, _ in judged), strict=True)
    ]
    clause = f"{block.quantity}_{block.of}" if isinstance(block, Quantifier) else block.text
    return {"clause": clause, "passed": verdict, "why": why, "parts": parts[:MOST_SERIES]}


def _of_series(part: Condition, view: SeriesView, verdict: Verdict, true: int) -> Node:
    why = f"holds for {_of(true.bit_count(), view.scope.bit_count())}"
    return {
        "clause": title(view),
        "series": label(view),
        "passed": verdict,
        "why": why,
        "parts": [in_series(part, view)],
    }


def title(view: SeriesView) -> str:
    """A series in one line."""
    known = label(view)
    described = f' "{known["description"]}"' if known["description"] else ""
    return f"series {_number(view)}{described} ({known['modality']})"


def preferred(preference: Preference, view: SeriesView) -> Node:
    """What a series has of an attribute that is preferred by."""
    name = preference.name
    if name.fact and name.fact.of == "view":
        return {"clause": preference.text, "value": _listed(conditions.fact_values(name, (view,)))}
    column = view.facts.column(name.text, names.reader(name))
    found = [_listed(group) for group, mask in column.groups if mask & view.scope]
    shown = ", ".join(found[:MOST_VALUES]) + (", …" if len(found) > MOST_VALUES else "")
    return {"clause": preference.text, "value": shown or "missing"}
