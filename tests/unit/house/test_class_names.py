"""A class name says what the thing is, and says it alone: a noun that no other class has."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

NOUNS = {
    "Encoding": "how a set of objects was encoded: a noun of the Standard (PS3.5 7)",
    "Finding": "a noun of the Standard (PS3.16 TID 1500) and of readers",
    "Meaning": "Code Meaning and its like: a noun of the Standard",
    "Reading": "what was read from something, or how it is to be read",
    "Reindexing": "one request to index a study again: a row",
}
"""Last words of class names that end like a participle and are nouns."""
IRREGULAR = re.compile(
    "Begun|Built|Done|Drawn|Found|Given|Gone|Held|Kept|Known|Left|Lost|Made|Meant|Ran|Read|Said|Seen|Sent|Shown|Spoilt"
    "|Stood|Taken|Told|Written"
)
"""Participles and past tenses that end like nouns do."""
PAIRS = {
    "Series": "the row in the ledger, and what an author gets: the Standard's noun; no file sees both",
    "Study": "the row in the ledger, and what an author gets: the Standard's noun; no file sees both",
}
"""Names that two classes may have."""
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+")


def classes(text: str) -> Iterator[ast.ClassDef]:
    """Every class of a file, nested ones, too."""
    return (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.ClassDef))


@cache
def places() -> dict[str, list[str]]:
    """Name of a class, without the underscore of a private one → the files that have it."""
    found: dict[str, list[str]] = defaultdict(list)
    for room in ("node", "rules", "plugins"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for each in classes(path.read_text(encoding="utf-8")):
                found[each.name.lstrip("_")].append(str(path.relative_to(ROOT)))
    return found


def is_participle(name: str) -> bool:
    """Whether the last word of a name is one, and not a noun that ends like one."""
    last = WORD.findall(name)[-1]
    return last not in NOUNS and (last.endswith(("ing", "ed")) or IRREGULAR.fullmatch(last) is not None)


def test_no_class_is_named_by_a_participle() -> None:
    """`Asked`, `Standing`, `Wanted` say what happened to a thing, not what it is."""
    assert {name: files for name, files in places().items() if is_participle(name)} == {}


def test_a_participle_is_noticed_as_the_last_word_alone() -> None:
    """`Fetching` and `SetMade` are refused; before a noun a participle is an adjective, and `Finding` is a noun."""
    names = ("Fetching", "Found", "SetMade", "EncodedSet", "Finding")
    assert [each for each in names if is_participle(each)] == ["Fetching", "Found", "SetMade"]


def test_no_two_classes_have_one_name() -> None:
    """A name leads to one class, in whichever file one reads it."""
    assert {name: files for name, files in places().items() if len(files) > 1 and name not in PAIRS} == {}


def test_every_exception_is_needed() -> None:
    """A word or pair that no class uses any more leaves its list."""
    found = places()
    last_words = {WORD.findall(name)[-1] for name in found}
    assert (NOUNS.keys() - last_words, {name for name in PAIRS if len(found[name]) < 2}) == (set(), set())
