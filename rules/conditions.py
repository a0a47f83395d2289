"""Conditions, and what holding them against a study means.

A condition is judged at one of two levels, and quantification is defined here and nowhere else:

**An image** (an SOP instance) satisfies a clause or it does not. `all`, `any` and `not` combine that
image by image. **A series** satisfies a condition when all its images do and fails it when none does;
if they disagree the series is *in doubt*.

**A study** (`when`) satisfies a clause on an attribute when any of its images has such a value; so
`not` means that no image has. `any_series`, `every_series`, `no_series` and `count_series` ask series,
`any_image` … `count_images` ask images.

Doubt (None) is Kleene's third truth value: it stays doubt under `not`, and a rule with a doubtful
condition does not match. It comes from images that disagree, from `missing: error`, and from values that
are there and not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeAlias

from rules import names, values
from rules.dates import Moment
from rules.facts import Column, Datum, Reader, SeriesFacts, StudyFacts, UnkeptValue
from rules.names import Name
from rules.operators import Test

Verdict: TypeAlias = bool | None
Masks: TypeAlias = tuple[int, int]
"""(images that satisfy, images that do not); an image in neither is in doubt."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One attribute or fact, checked against one or more operators."""

    text: str
    """As the rule says it."""
    name: Name
    tests: tuple[Test, ...]
    missing: bool | None
    """What an absent, empty or unreadable value counts as; None is an error."""
    read: Reader = field(compare=False)
    presence: bool = False
    """It asks for presence, not for a value."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds."""

    text: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    text: str
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    text: str
    part: Condition


@dataclass(frozen=True, slots=True)
class Quantifier:
    """Any, every or no series (or image) satisfies the part."""

    text: str
    quantity: Literal["any", "every", "no"]
    of: Literal["series", "image"]
    part: Condition


@dataclass(frozen=True, slots=True)
class CountCondition:
    """A number of series (or images: frames count) that satisfy the part."""

    text: str
    of: Literal["series", "image"]
    part: Condition
    tests: tuple[Test, ...]


Condition: TypeAlias = Clause | AllOf | AnyOf | Not | Quantifier | CountCondition


@dataclass(frozen=True, slots=True, eq=False)
class SeriesView:
    """A series, or those of its images that a filter left."""

    facts: SeriesFacts
    scope: int
    study: StudyView
    memo: dict[str, Masks] = field(default_factory=dict)
    """Verdicts of clauses over the whole series."""
    ranks: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    """What `choose` made of preferences, by their text and the images in view."""

    def narrowed(self, scope: int) -> SeriesView:
        """The same series with only the images in `scope`."""
        return SeriesView(self.facts, scope, self.study, self.memo, self.ranks)


class StudyView:
    """A study while rules are checked against it; remembers the verdict of each clause, as rules share many."""

    def __init__(self, facts: StudyFacts) -> None:
        self.facts = facts
        filled = (series for series in facts.series if series.instances)
        self.series = tuple(SeriesView(series, series.all_images, self) for series in filled)
        self.moment = Moment(facts.now.date(), _study_date(self.series))
        self.memo: dict[str, Verdict] = {}
        self._held: dict[str, tuple[tuple[Datum, ...], ...]] = {}

    def held(self, clause: Clause) -> tuple[tuple[Datum, ...], ...]:
        """The distinct values that the images of the study have of what the clause asks."""
        known = self._held.get(clause.name.text)
        if known is None:
            columns = (column(clause, each) for each in self.series)
            known = tuple(dict.fromkeys(found for each in columns for found, _ in each.groups))
            self._held[clause.name.text] = known
        return known


def _study_date(series: Iterable[SeriesView]) -> date | None:
    """The StudyDate of most images; of two that as many state, the earlier one."""
    stated = Counter[date]()
    for view in series:
        for found, mask in view.facts.column("StudyDate", _STUDY_DATE).groups:
            if on := values.day(found[0]):
                stated[on] += mask.bit_count()
    return min(stated, key=lambda on: (-stated[on], on), default=None)


_STUDY_DATE = names.reader(Name("StudyDate", ("StudyDate",), None, names.ValueKind.DATE))


def conjunction(verdicts: Iterable[Verdict]) -> Verdict:
    """All of them, in Kleene's logic; stops at the first that fails."""
    return _until(False, verdicts)


def disjunction(verdicts: Iterable[Verdict]) -> Verdict:
    """Any of them, in Kleene's logic; stops at the first that holds."""
    return _until(True, verdicts)


def _until(decisive: bool, verdicts: Iterable[Verdict]) -> Verdict:
    doubt = False
    for verdict in verdicts:
        if verdict is decisive:
            return decisive
        doubt = doubt or verdict is None
    return None if doubt else not decisive


def negation(verdict: Verdict) -> Verdict:
    """Not, in Kleene's logic."""
    return None if verdict is None else not verdict


def clauses_of(condition: Condition) -> Iterator[Clause]:
    """Every line of the condition, wherever it stands."""
    match condition:
        case Clause():
            yield condition
        case AllOf(parts=parts) | AnyOf(parts=parts):
            yield from (clause for part in parts for clause in clauses_of(part))
        case Not(part=part) | Quantifier(part=part) | CountCondition(part=part):
            yield from clauses_of(part)


# -- images of one series -----------------------------------------------------------------------


def images(condition: Condition, view: SeriesView) -> Masks:
    """Which images of the series in view satisfy the condition, and which do not."""
    match condition:
        case Clause():
            return _clause_images(condition, view)
        case AllOf(parts=parts):
            true, false = view.scope, 0
            for part in parts:
                part_true, part_false = images(part, view)
                true, false = true & part_true, false | part_false
                if false == view.scope:
                    break
            return true, false
        case AnyOf(parts=parts):
            true, false = 0, view.scope
            for part in parts:
                part_true, part_false = images(part, view)
                true, false = true | part_true, false & part_false
            return true, false
        case Not(part=part):
            true, false = images(part, view)
            return false, true
        case Quantifier(quantity=quantity, part=part):
            return _everywhere(_quantify_images(quantity, part, (view,)), view)
        case CountCondition(part=part, tests=tests):
            return _everywhere(_count_images(part, tests, (view,)), view)


def _everywhere(verdict: Verdict, view: SeriesView) -> Masks:
    return (view.scope if verdict is True else 0, view.scope if verdict is False else 0)


def _clause_images(clause: Clause, view: SeriesView) -> Masks:
    fact = clause.name.fact
    if fact and fact.of != "image":
        return _everywhere(judge_values(clause, fact_values(clause.name, (view,)), view.study.moment), view)
    known = view.memo.get(clause.text)
    if known is None:
        known = view.memo[clause.text] = _column_masks(clause, view)
    return known[0] & view.scope, known[1] & view.scope


def column(clause: Clause, view: SeriesView) -> Column:
    """The clause's values over the whole series."""
    return view.facts.column(clause.name.text, clause.read)


def _column_masks(clause: Clause, view: SeriesView) -> Masks:
    groups, missing = column(clause, view)
    masks = {True: 0, False: 0, None: 0}
    for found, mask in groups:
        masks[judge_values(clause, found, view.study.moment)] |= mask
    masks[clause.missing] |= missing
    return masks[True], masks[False]


def judge_values(clause: Clause, found: Sequence[Datum], moment: Moment) -> Verdict:
    """Whether one image's values satisfy the clause; None where `missing: error` applies, or one is not kept."""
    if clause.presence:
        return bool(found)
    verdict = satisfied(clause, found, moment)
    return clause.missing if verdict is None and not is_not_kept(found) else verdict


def satisfied(clause: Clause, found: Sequence[Datum], moment: Moment) -> Verdict:
    """Whether values satisfy every operator of the clause; None where they cannot be read, or are not kept."""
    if is_not_kept(found):
        kept = [value for value in found if not isinstance(value, UnkeptValue)]
        return conjunction([test.decides(kept, moment) if kept else None for test in clause.tests])
    return conjunction([test.holds(found, moment) for test in clause.tests]) if found else None


def is_not_kept(found: Sequence[Datum]) -> bool:
    """Whether a value is there that the node does not keep: only its presence can be asked for."""
    return any(isinstance(value, UnkeptValue) for value in found)


def asks_of_unkept(condition: Condition, view: SeriesView) -> bool:
    """Whether the condition asks images in view for a value that the node does not keep."""
    match condition:
        case Clause(name=name, presence=presence):
            if presence or (name.fact and name.fact.of != "image"):
                return False
            return any(is_not_kept(found) for found, mask in column(condition, view).groups if mask & view.scope)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return any(asks_of_unkept(part, view) for part in parts)
        case Not(part=part) | Quantifier(part=part) | CountCondition(part=part):
            return asks_of_unkept(part, view)


def fact_values(name: Name, views: Sequence[SeriesView]) -> tuple[Datum, ...]:
    """The values of a fact that is not an image's, with these images in view."""
    assert name.fact is not None, name.text
    if name.fact.read is None:
        return (sum(view.facts.frames(view.scope) for view in views),)
    return name.fact.read(views[0].study.facts) if views else ()


def _quantify(quantity: str, each: Iterable[Verdict]) -> Verdict:
    if quantity == "every":
        return conjunction(each)
    found = disjunction(each)
    return negation(found) if quantity == "no" else found


# -- series ------------------------------------------------------------------------------------


def series(condition: Condition, view: SeriesView) -> Verdict:
    """Whether the series in view satisfies the condition: all its images do (True), none does (False)."""
    return agreed(*images(condition, view), view)


def agreed(true: int, false: int, view: SeriesView) -> Verdict:
    """What a series' images agree on."""
    return True if true == view.scope else False if false == view.scope else None


# -- study -------------------------------------------------------------------------------------


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """What has to hold, part by part."""
    return condition.parts if isinstance(condition, AllOf) else (condition,)


def study(condition: Condition, view: StudyView) -> Verdict:
    """Whether the study satisfies the condition."""
    match condition:
        case Clause(text=text):
            if text not in view.memo:
                view.memo[text] = _clause_study(condition, view)
            return view.memo[text]
        case AllOf(parts=parts):
            return conjunction(study(part, view) for part in parts)
        case AnyOf(parts=parts):
            return disjunction(study(part, view) for part in parts)
        case Not(part=part):
            return negation(study(part, view))
        case Quantifier(quantity=quantity, of="series", part=part):
            return _quantify(quantity, (series(part, each) for each in view.series))
        case Quantifier(quantity=quantity, part=part):
            return _quantify_images(quantity, part, view.series)
        case CountCondition(of="series", part=part, tests=tests):
            verdicts = [series(part, each) for each in view.series]
            return _count(tests, verdicts.count(True), {1: verdicts.count(None)})
        case CountCondition(part=part, tests=tests):
            return _count_images(part, tests, view.series)


def _clause_study(clause: Clause, view: StudyView) -> Verdict:
    fact = clause.name.fact
    if fact and fact.of != "image":
        return judge_values(clause, fact_values(clause.name, view.series), view.moment)
    held = view.held(clause)
    if clause.presence:
        return bool(held)
    verdict: Verdict = clause.missing
    doubt = False
    for found in held:
        each = satisfied(clause, found, view.moment)
        if each is True:
            return True
        verdict = False if each is False else verdict
        doubt = doubt or (each is None and is_not_kept(found))
    return None if doubt else verdict


def _some_image(part: Condition, view: SeriesView) -> Verdict:
    true, false = images(part, view)
    return True if true else False if false == view.scope else None


def _all_images(part: Condition, view: SeriesView) -> Verdict:
    true, false = images(part, view)
    return False if false else True if true == view.scope else None


def _quantify_images(quantity: str, part: Condition, views: Iterable[SeriesView]) -> Verdict:
    one = _all_images if quantity == "every" else _some_image
    return _quantify(quantity, (one(part, view) for view in views))


def _count_images(part: Condition, tests: Sequence[Test], views: Sequence[SeriesView]) -> Verdict:
    sure, doubtful = 0, Counter[int]()
    for view in views:
        true, false = images(part, view)
        sure += view.facts.frames(true)
        open_ = view.scope & ~true & ~false
        for frames, having in view.facts.groups("number_of_frames") if open_ else ():
            doubtful[max(0, frames)] += (open_ & having).bit_count()
    return _count(tests, sure, doubtful)


def _count(tests: Sequence[Test], sure: int, doubtful: Mapping[int, int]) -> Verdict:
    """Whether a count passes; where some are in doubt, only if each number that it may be gives the same answer.

    `doubtful`: how much one of them counts → how many of these there are.
    """
    possible = {sure}
    for each, number in doubtful.items():
        if each and len(possible) * number > _MOST_COUNTS:
            return None
        if each:
            possible = {known + each * more for known in possible for more in range(number + 1)}
    verdicts = {conjunction(test.holds((n,), _NO_MOMENT) for test in tests) for n in possible}
    return verdicts.pop() if len(verdicts) == 1 else None


_MOST_COUNTS = 50_000
"""Numbers that a doubtful count may be; beyond that it stays in doubt."""
_NO_MOMENT = Moment(date.min, None)  # numbers do not look at it
