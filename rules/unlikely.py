"""Conditions that images hardly ever satisfy: values that nobody writes, patterns that were meant otherwise."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from rules import names, operators, terms, values
from rules.contradictions import Contradiction, mapping, operands
from rules.names import Dictionary, Name, ValueKind
from rules.reading import Place, closest

_LOOKS_ALIKE = 0.85
_DESCRIPTIONS = ("LO", "LT", "SH", "ST", "UC", "UT")
"""Value representations of texts that people write."""
_SMART_QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_COMPARING = ("is", "in", "contains", "matches")


def unusual(plain: object, place: Place, dictionary: Dictionary | None) -> Iterator[Contradiction]:
    """What is probably not meant in a condition, line by line."""
    if isinstance(plain, list | tuple):
        for index, each in enumerate(plain):
            yield from unusual(each, (*place, index), dictionary)
    for key, asked in mapping(plain).items():
        at = (*place, key)
        name = _name(key, dictionary)
        if name is None:
            yield from unusual(asked, at, dictionary)
            continue
        yield from _misspelt(key, asked, at)
        yield from _not_a_term(name, key, asked, at, dictionary)
        yield from _texts(name, key, asked, at, dictionary)


def _name(key: str, dictionary: Dictionary | None) -> Name | None:
    if not (key[:1].isupper() or key.startswith("(") or key in names.FACTS):
        return None
    try:
        return names.parse(key, dictionary, lambda _word, _known: None)
    except names.NameProblem:
        return None


def texts_of(asked: object, *asking: str) -> Iterator[tuple[str, str]]:
    """Each text that a line compares with, and its operator."""
    for operator in asking:
        operand = operands(asked).get(operator, ())
        for each in operand if isinstance(operand, list | tuple) else (operand,):
            if isinstance(each, str):
                yield operator, each


def _not_a_term(
    name: Name, key: str, asked: object, place: Place, dictionary: Dictionary | None
) -> Iterator[Contradiction]:
    """Values that are none of the terms which the Standard defines for the attribute."""
    keyword = name.path[-1]
    known = terms.USUAL.get(keyword) or tuple(
        (dictionary.terms(keyword) if dictionary and not name.fact else None) or ()
    )
    folded = {values.fold(term) for term in known}
    few = f" is usually one of {', '.join(known)}, and" if len(known) <= MOST_USUAL else " is"
    for operator, text in texts_of(asked, "is", "in", "contains", "matches") if known else ():
        if operator == "matches":
            if len(known) <= MOST_USUAL and not any(map(operators.wildcard(text), known)):
                yield Contradiction(
                    place, f"{text!r} matches none of the usual values of {key}: {', '.join(known)}", False
                )
        elif values.fold(text.strip()) not in folded:
            yield Contradiction(place, f"{key}{few} hardly ever {text!r}", False, closest(text, known))


MOST_USUAL = 20
"""At most this many usual values are listed."""


def _texts(name: Name, key: str, asked: object, place: Place, dictionary: Dictionary | None) -> Iterator[Contradiction]:
    """Characters that mean something else than in other programs."""
    if name.kind not in (ValueKind.TEXT, None):
        return
    vr = dictionary.vr(name.path[-1]) if dictionary and not name.fact and not name.text.startswith("(") else None
    for operator, text in texts_of(asked, *_COMPARING):
        if any(quote in text for quote in _SMART_QUOTES):
            plain = text.strip(_SMART_QUOTES)
            yield Contradiction(place, f"{key}: the typographic quotes of {text} are part of the text", False, plain)
        elif "\\" in text.replace("\\*", "") and vr not in ("LT", "ST", "UT"):
            parts = ", ".join(each.strip() for each in text.split("\\") if each.strip())
            message = f"{key}: a backslash separates values, so no value is {text!r}: write {{contains: [{parts}]}}"
            yield Contradiction(place, message, False)
        elif operator == "matches" and "?" in text:
            message = f"{key}: ? stands for itself, only * for anything: {text!r}"
            yield Contradiction(place, message, False, text.replace("?", "*"))
        elif operator == "matches" and "*" not in text and (vr in _DESCRIPTIONS):
            yield Contradiction(place, f"{key}: without a * only the whole text {text!r} matches", False, f"*{text}*")


def _misspelt(key: str, asked: object, place: Place) -> Iterator[Contradiction]:
    """A value that looks like a well-known one and is none."""
    known = {values.fold(term): term for term in terms.WELL_KNOWN.get(key, ())}
    for operator in ("is", "in", "contains") if known else ():
        operand = operands(asked).get(operator, ())
        for text in operand if isinstance(operand, list | tuple) else (operand,):
            word = values.fold(text.strip()) if isinstance(text, str) else ""
            near = difflib.get_close_matches(word, known, n=1, cutoff=_LOOKS_ALIKE) if word.isalpha() else []
            if near and word not in known:
                yield Contradiction(place, f"{key}: images hardly ever say {text!r}", False, known[near[0]])
