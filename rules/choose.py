"""Which series of a matching study a plugin is given: filters, then an order of preference.

A series stands for the least preferred of its images, and where two are equal in every preference the
lower SeriesNumber comes first, then the lower Series Instance UID: the choice never rests on the order
of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rules import conditions, names, operators, values
from rules.conditions import Condition, SeriesView, StudyView, Verdict
from rules.facts import Datum
from rules.names import Dictionary, Name, ValueKind
from rules.operators import OperandError
from rules.origin import NOT_ORIGINAL
from rules.reading import RuleProblem, attribute, closest, shown

Rank = tuple[int, float]
"""Sorts series within one preference; (1, 0) where the value is missing: last."""
_LAST: Rank = (1, 0.0)


def _rounded(value: Datum) -> float | None:
    """Decimal numbers to six digits: 0.3 and its binary32 neighbour 0.30000001 are the same preference."""
    read = values.number(value)
    return None if read is None else read if isinstance(read, int) else float(f"{read:.6g}")


_ORDERS: Mapping[str, tuple[Callable[[Datum], float | None], float]] = {
    "smallest": (_rounded, 1.0),
    "largest": (_rounded, -1.0),
    "oldest": (values.moment, 1.0),
    "newest": (values.moment, -1.0),
}
_KINDS_OF_ORDER = {
    "smallest": (ValueKind.NUMBER,),
    "largest": (ValueKind.NUMBER,),
    "oldest": (ValueKind.DATE, ValueKind.TIME),
    "newest": (ValueKind.DATE, ValueKind.TIME),
}


@dataclass(frozen=True, slots=True)
class Preference:
    """One line of `prefer`."""

    text: str
    name: Name
    rank: Callable[[Sequence[Datum]], float | None] = field(compare=False)
    """How good one image's values are: lower is better; None where they cannot be read."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which series to choose under one role."""

    role: str
    only_images: Condition | None
    where: Condition | None
    prefer: tuple[Preference, ...]
    take: Literal["one", "all"]
    images: Literal["original", "any"] = "any"


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A series that was looked at, and what became of it."""

    view: SeriesView
    """With the images that `only_images` left."""
    verdict: Verdict
    reason: str
    """Why it was not eligible; empty where it was."""
    ranks: tuple[Rank, ...] = ()
    undecided: bool = False
    """`missing: error` or a value that is not kept is what keeps it from being eligible, and nothing else does."""

    @property
    def order(self) -> tuple[tuple[Rank, ...], Rank, str]:
        """What eligible candidates are sorted by."""
        return self.ranks, series_number(self.view), self.view.facts.series_instance_uid


@dataclass(frozen=True, slots=True)
class Choice:
    """What one wish chose."""

    wish: Wish
    candidates: tuple[Candidate, ...]
    """Eligible ones first, best first; then the others in the order of the study."""
    taken: tuple[Candidate, ...]


def preference(plain: object, dictionary: Dictionary | None) -> tuple[Preference | None, list[RuleProblem]]:
    """The preference that one line of `prefer` stands for, or what is wrong with it."""
    if not isinstance(plain, Mapping) or len(plain) != 1:
        return None, [
            RuleProblem((), f"a preference is one line, as in `SliceThickness: smallest`, this is {shown(plain)}")
        ]
    ((key, order),) = plain.items()
    name, problems = attribute(key, dictionary)
    if name is None:
        return None, [RuleProblem((str(key),), problem.message, problem.suggestion) for problem in problems]
    if name.fact and name.fact.of == "study":
        return None, [RuleProblem((key,), f"{key} is the same for every series of a study: it prefers none")]
    try:
        return Preference(f"{key}: {shown(order)}", name, _ranking(name, order)), []
    except OperandError as problem:
        suggestion = closest(order, _ORDERS) if isinstance(order, str) and order not in _ORDERS else None
        return None, [RuleProblem((key,), str(problem), suggestion)]


def _ranking(name: Name, order: object) -> Callable[[Sequence[Datum]], float | None]:
    if isinstance(order, str) and order in _ORDERS:
        if name.kind and name.kind not in _KINDS_OF_ORDER[order]:
            raise OperandError(f"{order} does not suit {name.text}, which holds a {name.kind}")
        read, sign = _ORDERS[order]
        if read is values.moment and name.kind:
            read = values.seconds_of_day if name.kind is ValueKind.TIME else values.instant
        return lambda found: _worst([read(value) for value in found], sign)
    if isinstance(order, list | tuple) and order and all(isinstance(each, str) and each.strip() for each in order):
        if name.kind not in (ValueKind.TEXT, None):
            raise OperandError(f"a list of texts does not suit {name.text}, which holds a {name.kind}")
        patterns = [operators.wildcard(each.strip()) for each in order]
        return lambda found: _first(patterns, [text for value in found if (text := values.text(value))])
    raise OperandError(f"write {', '.join(_ORDERS)}, or a list of texts, best first")


def _worst(read: Sequence[float | None], sign: float) -> float | None:
    known = [sign * each for each in read if each is not None]
    return max(known) if known and len(known) == len(read) else None


def _first(patterns: Sequence[Callable[[str], bool]], texts: Sequence[str]) -> float | None:
    if not texts:
        return None
    hits = (index for index, pattern in enumerate(patterns) if any(pattern(text) for text in texts))
    return float(next(hits, len(patterns)))


def series_number(view: SeriesView) -> Rank:
    """SeriesNumber of the images in view, the lowest; last where there is none. Of no images: of the series."""
    column = view.facts.column("SeriesNumber", _NUMBER)
    numbers = [values.number(found[0]) for found, mask in column.groups if mask & view.scope or not view.scope]
    known = [number for number in numbers if number is not None]
    return (0, min(known)) if known else _LAST


_NUMBER = names.reader(Name("SeriesNumber", ("SeriesNumber",), None, ValueKind.NUMBER))


def choose(wish: Wish, study: StudyView, used: Collection[str]) -> Choice:
    """Check every series against the wish; series in `used` already fill another role.

    Nothing is taken while a series is undecided: it might be the better one.
    """
    looked_at = [_candidate(wish, view, used) for view in study.series]
    eligible = sorted((each for each in looked_at if each.verdict is True), key=lambda each: each.order)
    others = [each for each in looked_at if each.verdict is not True]
    if any(each.undecided for each in others):
        return Choice(wish, (*eligible, *others), ())
    taken = eligible if wish.take == "all" else eligible[:1]
    return Choice(wish, (*eligible, *others), tuple(taken))


def _candidate(wish: Wish, whole: SeriesView, used: Collection[str]) -> Candidate:
    if whole.facts.series_instance_uid in used:
        return Candidate(whole, False, "it already fills another role")
    if wish.images == "original":
        column = whole.facts.column("not original", NOT_ORIGINAL)
        whole = whole.narrowed(whole.scope & column.missing)
        if not whole.scope:
            why = ", ".join(dict.fromkeys(str(found[0]) for found, _ in column.groups))
            return Candidate(whole, False, f"none of its images is original ({why}); images: any takes others, too")
    kept, left_out = conditions.images(wish.only_images, whole) if wish.only_images else (whole.scope, 0)
    view = whole.narrowed(whole.scope & ~left_out)
    if not view.scope:
        return Candidate(view, False, "only_images leaves none of its images")
    true, false = conditions.images(wish.where, view) if wish.where else (view.scope, 0)
    if false:
        agree = false == view.scope
        return Candidate(
            view, False if agree else None, "where does not hold" if agree else "its images disagree on where"
        )
    if true != view.scope or kept != view.scope:
        return Candidate(view, None, _undecided(wish, view), undecided=True)
    if unfit := (view.facts.unfit & view.scope).bit_count():
        return Candidate(
            view,
            False,
            f"{unfit} of its instances are damaged or have a bad UID: a plugin is given no part of such a series",
        )
    return Candidate(view, True, "", tuple(rank(each, view) for each in wish.prefer))


def _undecided(wish: Wish, view: SeriesView) -> str:
    asked = [part for part in (wish.only_images, wish.where) if part is not None]
    if any(conditions.asks_of_unkept(part, view) for part in asked):
        return "it is asked for a value that is there and not kept, so it cannot be decided"
    return "a value is missing that the rule calls an error"


def rank(preferred: Preference, view: SeriesView) -> Rank:
    """How good the series in view is by one preference: as good as its least preferred image."""
    key = preferred.text, view.scope
    if key not in view.ranks:
        view.ranks[key] = _rank(preferred, view)
    return view.ranks[key]


def _rank(preferred: Preference, view: SeriesView) -> Rank:
    if preferred.name.fact and preferred.name.fact.of == "view":
        ranks = [preferred.rank(conditions.fact_values(preferred.name, (view,)))]
    else:
        groups, missing = view.facts.column(preferred.name.text, names.reader(preferred.name))
        ranks = [preferred.rank(found) for found, mask in groups if mask & view.scope]
        if missing & view.scope:
            return _LAST
    known = [each for each in ranks if each is not None]
    return (0, max(known)) if known and len(known) == len(ranks) else _LAST
