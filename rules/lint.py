"""What is wrong with rules that load: conditions that can never hold, unlikely values, rules that do the same twice.

A finding is `certain` only where no facts whatever could make the rule match; a test holds that against the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rules import repeated, unlikely
from rules.contradictions import Checker, Contradiction, mapping
from rules.model import IgnoredStudies, Rule
from rules.names import Dictionary
from rules.reading import Level, Place


def lint(rules: Sequence[Rule], dictionary: Dictionary | None) -> Iterator[Contradiction]:
    """Every finding; its place begins with the number of the rule."""
    for index, rule in enumerate(rules):
        checker = Checker(dictionary)
        for place, plain, level in _conditions(rule):
            if reason := checker.never(plain, level, (index, *place)):
                yield reason
            yield from unlikely.unusual(plain, (index, *place), dictionary)
        yield from _left_out(rule, checker, index)
        yield from _excluded_by_when(rule, checker, index)
        yield from _small_share(rule, index)
        yield from _not_original(rule, checker, index)
        yield from _in_vain(rule, checker, index)
    yield from repeated.twice(rules)


def ignored(conditions: Sequence[IgnoredStudies], dictionary: Dictionary | None) -> Iterator[Contradiction]:
    """The same of what a site ignores; its place begins with the number of the entry."""
    checker = Checker(dictionary)
    for index, each in enumerate(conditions):
        plain, place = mapping(each.when.plain), (index, "when")
        if reason := checker.never(plain, "study", place):
            yield reason
        yield from unlikely.unusual(plain, place, dictionary)


def _conditions(rule: Rule) -> Iterator[tuple[Place, Mapping[str, Any], Level]]:
    yield ("when",), mapping(rule.when.plain), "study"
    for place, choice in _choices(rule):
        if choice.only_images:
            yield (*place, "only_images"), mapping(choice.only_images.plain), "image"
        if choice.where:
            yield (*place, "where"), mapping(choice.where.plain), "series"


def _choices(rule: Rule) -> Iterator[tuple[Place, Any]]:
    """Each choice with its place; the first of several and the only one cannot be distinguished, and need not be."""
    for number, choice in enumerate(rule.choose):
        yield ("choose", number) if len(rule.choose) > 1 else ("choose",), choice


def _left_out(rule: Rule, checker: Checker, index: int) -> Iterator[Contradiction]:
    """What `where` asks of images that `only_images` has left out."""
    for place, choice in _choices(rule):
        if choice.only_images and choice.where:
            at = (index, *place, "where")
            only = checker.parts(mapping(choice.only_images.plain), (index, *place, "only_images"))
            where = checker.parts(mapping(choice.where.plain), at)
            alone = checker.contradiction(only, "image") or checker.contradiction(where, "series")
            if not alone and (found := checker.contradiction([*only, *where], "series")):
                yield Contradiction(at, f"{found.message}, one of them in only_images: no series is ever chosen", True)


def _in_vain(rule: Rule, checker: Checker, index: int) -> Iterator[Contradiction]:
    """A `wait` for what can never come; the rule never matches then, unless it does something `otherwise`."""
    if rule.wait is None:
        return
    place = (index, "wait", "until")
    until = mapping(rule.wait.until.plain)
    certain = rule.wait.otherwise == "nothing"
    yield from unlikely.unusual(until, place, checker.dictionary)
    if found := checker.never(until, "study", place):
        yield Contradiction(found.place, found.message, certain)
        return
    when = checker.parts(mapping(rule.when.plain), (index, "when"))
    alone = checker.contradiction(when, "study")
    if not alone and (found := checker.contradiction([*when, *checker.parts(until, place)], "study")):
        yield Contradiction(place, f"{found.message}, one of them in when: it waits in vain", certain)


def _excluded_by_when(rule: Rule, checker: Checker, index: int) -> Iterator[Contradiction]:
    """What `where` asks of a series that `when` asks otherwise of every series or image of the study."""
    when = checker.parts(mapping(rule.when.plain), (index, "when"))
    said = [part for part in when if part.key == "not" and checker.is_of_image(part.asked)]
    for part in when:
        if part.key in ("every_series", "every_image"):
            said += [each for each in checker.parts(mapping(part.asked), part.place) if checker.is_of_image(each.line)]
    for place, choice in _choices(rule):
        if said and choice.where:
            at = (index, *place, "where")
            where = checker.parts(mapping(choice.where.plain), at)
            alone = checker.contradiction(said, "series") or checker.contradiction(where, "series")
            if not alone and (found := checker.contradiction([*said, *where], "series")):
                yield Contradiction(at, f"{found.message}, one of them in when: no series is ever chosen", True)


def _not_original(rule: Rule, checker: Checker, index: int) -> Iterator[Contradiction]:
    """A choice of original images that asks for others."""
    for place, choice in _choices(rule):
        for key, written in (("only_images", choice.only_images), ("where", choice.where)):
            parts = checker.parts(mapping(written.plain), (index, *place, key)) if written else []
            for part in parts if choice.images == "original" else ():
                texts = {text.upper() for _, text in unlikely.texts_of(part.asked, "is", "in", "contains")}
                by_ai = part.key == "made_by_ai" and part.asked in (True, "yes", {"present": True})
                if by_ai or (part.key == "ImageType" and texts & {"DERIVED", "SECONDARY"}):
                    message = f"{part.text}: choose takes original images; write images: any to take others, too"
                    yield Contradiction(part.place, message, False)


def _small_share(rule: Rule, index: int) -> Iterator[Contradiction]:
    if rule.sample and rule.sample.share < _SMALL_SHARE:
        share = f"{rule.sample.share * 100:g}"
        message = f"a share of {share} % is one study in {1 / rule.sample.share:,.0f}: is that meant?"
        yield Contradiction((index, "sample"), message, False)


_SMALL_SHARE = 0.01
