"""A second evaluator of rules: written from docs/rules.md alone, simple and slow. It never imports `rules` or `node`.

It takes data sets and the text of a rule as YAML gives it, and says which series the rule chooses. `True`, `False` and
`None` (in doubt) are the three answers of a condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pydicom.dataset import Dataset

from tests.support.rules.page_values import Tri, has_value, holds, is_original, marks_of, preference

DAMAGED = {"truncated-pixel-data", "bad-pixel-description", "unreadable-header"}
IMAGES = {"any_image", "every_image", "no_image"}
SERIES = {"any_series", "every_series", "no_series"}


@dataclass(frozen=True)
class Image:
    """One SOP instance, what is known of how it came, and how many frames it counts."""

    header: Dataset
    arrival: Mapping[str, Any] = field(default_factory=dict)

    @property
    def series(self) -> str:
        return str(self.header.SeriesInstanceUID)

    @property
    def frames(self) -> int:
        if "PixelData" not in self.header:
            return 0
        return max(1, int(self.header.get("NumberOfFrames") or 1))


@dataclass(frozen=True)
class Scope:
    """The images in question, and whether one that satisfies is enough (`when`) or each is judged (`choose`)."""

    images: Sequence[Image]
    study: Sequence[Image]


def chosen(rule: Mapping[str, Any], study: Sequence[Image]) -> list[list[str]] | None:
    """The series of each choice; None if the rule does not match."""
    if in_study(rule["when"], study) is not True:
        return None
    taken: set[str] = set()
    found = []
    for choice in as_list(rule["choose"]):
        series = choose(choice, study, taken)
        if not series:
            return None
        taken |= set(series)
        found.append(series)
    return found


def choose(choice: Mapping[str, Any], study: Sequence[Image], taken: set[str]) -> list[str]:
    """The series that one choice takes, best first."""
    left = []
    for every in by_series(study):
        whole = [each for each in every if choice.get("images") == "any" or is_original(each)]
        only = choice.get("only_images", {})
        judged = [(each, of_image(only, each, Scope([each], study))) for each in whole]
        images = [each for each, answer in judged if answer is not False]
        if every[0].series in taken or not images or any(set(marks_of(each)) & DAMAGED for each in images):
            continue
        answers = [of_image(choice.get("where", {}), each, Scope(images, study)) for each in images]
        if False in answers:
            continue
        if None in answers or any(answer is None for _, answer in judged):
            return []  # nothing is chosen while a series is in doubt because of a value
        left.append(images)
    left.sort(key=lambda images: (*rank(choice.get("prefer", []), images, study), *last(images)))
    uids = [images[0].series for images in left]
    return uids if choice.get("take") == "all" else uids[:1]


def rank(preferences: Sequence[Mapping[str, Any]], images: Sequence[Image], study: Sequence[Image]) -> list[Any]:
    """For each preference the place of the least preferred image."""
    return [
        max(preference(what, wish, each, Scope(images, study)) for each in images)
        for line in preferences
        for what, wish in line.items()
    ]


def last(images: Sequence[Image]) -> tuple[bool, int, str]:
    """What decides between equals: the lower SeriesNumber, then the lower UID."""
    numbers = [int(each.header.SeriesNumber) for each in images if each.header.get("SeriesNumber") is not None]
    return not numbers, min(numbers, default=0), images[0].series


def in_study(condition: Mapping[str, Any], study: Sequence[Image]) -> Tri:
    """A condition of `when`: a clause holds if any image of the study has such a value."""
    scope = Scope(study, study)

    def clause(what: str, test: Any) -> Tri:
        if "missing" in options(test) or "present" in options(test):
            there = any_of(has_value(what, test, each, scope) for each in study)
            if "present" in options(test):
                return there if test["present"] else invert(there)
            if there is False:
                return None if test["missing"] == "error" else bool(test["missing"])
        return any_of(holds(what, without_missing(test), each, scope) for each in study)

    return combined(condition, scope, clause)


def of_series(condition: Mapping[str, Any], images: Sequence[Image], study: Sequence[Image]) -> Tri:
    """A series satisfies a condition if all its images do, fails it if none does, and is in doubt otherwise."""
    answers = {of_image(condition, each, Scope(images, study)) for each in images}
    return answers.pop() if len(answers) == 1 else None


def of_image(condition: Mapping[str, Any], image: Image, scope: Scope) -> Tri:
    def clause(what: str, test: Any) -> Tri:
        there = has_value(what, test, image, scope)
        if "present" in options(test):
            return there if test["present"] else invert(there)
        if there is False:
            missing = options(test).get("missing", False)
            return None if missing == "error" else bool(missing)
        return holds(what, without_missing(test), image, scope)

    return combined(condition, scope, clause)


def combined(condition: Mapping[str, Any], scope: Scope, clause: Callable[[str, Any], Tri]) -> Tri:
    """All lines have to hold; doubt spreads as Kleene has it."""
    return all_of([line(what, test, scope, clause) for what, test in condition.items()])


def line(what: str, test: Any, scope: Scope, clause: Callable[[str, Any], Tri]) -> Tri:
    if what == "all":
        return all_of([combined(each, scope, clause) for each in test])
    if what == "any":
        return any_of([combined(each, scope, clause) for each in test])
    if what == "not":
        return invert(combined(test, scope, clause))
    if what in SERIES:
        return quantified(what, [of_series(test, images, scope.study) for images in by_series(scope.study)])
    if what in IMAGES:
        return quantified(what, [of_image(test, each, scope) for each in scope.images])
    if what == "count_series":
        return counted(test, [(of_series(test["where"], images, scope.study), 1) for images in by_series(scope.study)])
    if what == "count_images":
        return counted(test, [(of_image(test["where"], each, scope), each.frames) for each in scope.images])
    return clause(what, test)


def quantified(what: str, answers: Sequence[Tri]) -> Tri:
    if what.startswith("every"):
        return all_of(answers)
    return any_of(answers) if what.startswith("any") else invert(any_of(answers))


def counted(test: Mapping[str, Any], answers: Sequence[tuple[Tri, int]]) -> Tri:
    """The number is certain if every number that it may be gives the same answer."""
    possible = {0}
    for answer, number in answers:
        possible = {
            each + more
            for each in possible
            for more in ([number] if answer else [0, number] if answer is None else [0])
        }
    fits = {all(FITS[name](each, bound) for name, bound in test.items() if name != "where") for each in possible}
    return fits.pop() if len(fits) == 1 else None


FITS: Mapping[str, Callable[[int, Any], bool]] = {
    "is": lambda number, bound: number == bound,
    "at_least": lambda number, bound: number >= bound,
    "at_most": lambda number, bound: number <= bound,
    "above": lambda number, bound: number > bound,
    "below": lambda number, bound: number < bound,
    "between": lambda number, bound: bound[0] <= number <= bound[1],
}


def by_series(study: Sequence[Image]) -> list[list[Image]]:
    ordered = sorted(study, key=lambda each: each.series)
    return [list(images) for _, images in groupby(ordered, key=lambda each: each.series)]


def options(test: Any) -> Mapping[str, Any]:
    return test if isinstance(test, Mapping) else {}


def without_missing(test: Any) -> Any:
    return {name: value for name, value in test.items() if name != "missing"} if isinstance(test, Mapping) else test


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def all_of(answers: Iterable[Tri]) -> Tri:
    answers = list(answers)
    return False if False in answers else None if None in answers else True


def any_of(answers: Iterable[Tri]) -> Tri:
    answers = list(answers)
    return True if True in answers else None if None in answers else False


def invert(answer: Tri) -> Tri:
    return None if answer is None else not answer
