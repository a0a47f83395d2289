"""The project's texts use the words of docs/glossary.md, in plain present-day English."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from node.cli.commands import app

NEWLINE = "\n"
ROOT = Path(__file__).resolve().parents[3]
GLOSSARY = ROOT / "docs" / "glossary.md"

NOT_YET_HELD = {
    "docs/conformance.md",
    "docs/performance.md",
    "docs/plugins.md",
    "docs/reliability.md",
    "docs/viewers.md",
    "CHANGELOG.md",  # what earlier releases said stays as it was said
}
"""Pages that are still to be rewritten; a page leaves this list when that is done, and none joins it."""

_THINGS = (
    "DICOM|SOP|IANA|SHA|port|number|name|address|file|folder|text|tag|item|code|date|day|time|moment|age|duration|span"
    "|share|sequence|attribute|keyword|plugin|job|rule|result|study|series|instance|element|stack|regular|finite|plain|e-mail"
)
PHRASES: dict[str, tuple[str, str]] = {
    r"\b(?:is|are|be|been|being|was|were) told\b": ("is told", "is notified, is reported, gets"),
    r"\banew\b(?!\.py)": ("made anew", "again; re-encoded, for a report"),
    r"\b(?:stand|stands|stood) (?:there|in(?! for)|where|under|beside|alone|alike)\b": ("stands there", "is, is in"),
    r"\b(?:lie|lies|lay) (?:ready|there)\b": ("lies ready", "is ready, prepared"),
    r"\bwhose (?:study|patient) it is\b": ("whose study it is", "which patient the study belongs to; identity check"),
    rf"(?<!here\s)\b(?:is|are) no (?:{_THINGS})\b": ("is no port", "is not a port"),
    r"\bso many at once\b": ("so many at once", "maximum concurrent …"),
    r"\bso many\b(?! (?:\w+ )?that)": ("so many", "this many, a number of"),
    r"\bfor so long\b": ("so long", "for this long"),
    r"\bto (?:its|their) end\b": ("to its end", "completely; recursively, for folders"),
    r"\bheld against\b|\bhold \w+(?: \w+)? against\b": ("held against", "checked against, compared with"),
    r"\b(?:go|goes|going|went) by\b(?! default)": ("goes by", "uses, decides by"),
    r"\b(?:sends?|sent|sending) (?:\w+ ){0,3}on(?=[.,:;)'\"]|$| by\b)(?! (?:an?|the|its|one)\b)": (
        "sent on",
        "forwarded",
    ),
    r"\bnobody foresaw\b": ("nobody foresaw", "unexpected"),
    r"\b(?:be|is|are) had\b": ("can be had", "is available, can be used"),
    r"\bthe whole way\b": ("the whole way", "the complete journey"),
    r"\btells so\b": ("tells so", "says so, reports it"),
    r"\ball the same\b": ("all the same", "anyway"),
}
"""Pattern → an example of the phrase (docs/glossary.md lists it), and what to write instead."""
COMPILED = {
    re.compile(pattern.replace(" ", r"(?:\s+(?:#\s*)?)"), re.IGNORECASE): said for pattern, said in PHRASES.items()
}
"""A space in a pattern is a line break, too, and the `#` of a comment's next line."""


def complaints(place: str, text: str) -> list[str]:
    """`place:line: "phrase": write …` of every phrase that is not used."""
    return [
        f'{place}:{text.count(NEWLINE, 0, found.start()) + 1}: "{" ".join(found[0].split())}": write {instead}'
        for pattern, (_, instead) in COMPILED.items()
        for found in pattern.finditer(text)
    ]


def prose(source: str) -> str:
    """The comments and strings of a Python file, on their own lines: docstrings and messages, no code."""
    lines = [""] * (source.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            for offset, line in enumerate(token.string.split("\n")):
                lines[token.start[0] - 1 + offset] += f" {line}"
    return "\n".join(lines)


def pages() -> Iterator[Path]:
    """README, docs/, the handbook and the example configuration, but for what is not yet held."""
    folders = (ROOT / "docs", ROOT / "node/handbook")
    written = [path for folder in folders for path in sorted(folder.rglob("*.md"))]
    for path in (*ROOT.glob("*.md"), *written, ROOT / "config.example.yaml"):
        if str(path.relative_to(ROOT)) not in NOT_YET_HELD:
            yield path


def words_of(page: str) -> str:
    """A page without its list of phrases that are not used."""
    return page.split("## Phrases that are not used")[0]


@pytest.mark.parametrize("path", list(pages()), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_and_the_example_configuration_use_plain_english(path: Path) -> None:
    """No phrase of the list; the failure names the line and what to write."""
    found = complaints(str(path.relative_to(ROOT)), words_of(path.read_text(encoding="utf-8")))
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("room", ["node", "rules", "plugins"])
def test_docstrings_comments_and_messages_use_plain_english(room: str) -> None:
    """No phrase of the list in any text of the code."""
    files = sorted((ROOT / room).rglob("*.py"))
    found = [
        each
        for path in files
        for each in complaints(str(path.relative_to(ROOT)), prose(path.read_text(encoding="utf-8")))
    ]
    assert found == [], "\n".join(found)


def test_help_of_every_command_uses_plain_english() -> None:
    """What `--help` shows of each command, its arguments and its options."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group has them
    found = []
    for name, command in commands.items():
        shown = [command.help or "", *(getattr(each, "help", None) or "" for each in command.params)]
        found += complaints(f"pacsnode {name} --help", "\n".join(shown))
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("phrase", [phrase for phrase, _ in PHRASES.values()])
def test_a_phrase_of_the_list_is_found_and_listed_for_writers(phrase: str) -> None:
    """Each pattern finds its own example, and docs/glossary.md names the phrase."""
    assert complaints("x", f"For {phrase}.")
    listed = GLOSSARY.read_text(encoding="utf-8").split("## Phrases that are not used")[1]
    assert phrase.removeprefix("made ") in listed


@pytest.mark.parametrize("text", ["No rules are made from so many that stay.", "There is no port 0.", "Stands for x."])
def test_ordinary_english_is_not_complained_of(text: str) -> None:
    """A pattern that catches what is right would teach people to work around it."""
    assert complaints("x", text) == []


def test_a_page_that_is_not_yet_held_exists() -> None:
    """The list of exceptions shrinks with the pages, and never names what is gone."""
    assert [name for name in sorted(NOT_YET_HELD) if not (ROOT / name).is_file()] == []


def test_the_glossary_has_one_sentence_for_each_word_and_each_word_once() -> None:
    """About forty words: a list that nobody can keep in mind fixes nothing."""
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    words = [word for word, _ in rows]
    assert len(words) == len(set(words))
    assert 40 <= len(words) <= 60
    assert [word for word, meaning in rows if not re.fullmatch(r"[^.]+\.", meaning)] == []
