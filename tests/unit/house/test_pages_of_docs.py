"""docs/README.md leads to every page, every link of docs/ leads somewhere, and README.ko.md is README.md in Korean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.house.test_readme import ROOT, anchor

DOCS = ROOT / "docs"
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """Where a page of Markdown leads, but for other hosts."""
    found = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def headings(text: str) -> list[str]:
    """`## Title` of each heading, in order; what is in a block of code is none."""
    return re.findall(r"^#+ .+$", FENCE.sub("", text), flags=re.MULTILINE)


def is_lost(page: Path, target: str) -> bool:
    """Whether a link of a page leads to a file, or a heading of one, that is not there."""
    name, _, fragment = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists():
        return True
    if not fragment or file.suffix != ".md":
        return False
    titles = [each.lstrip("#").strip() for each in headings(file.read_text(encoding="utf-8"))]
    return fragment not in {anchor(each) for each in titles}


def test_the_index_leads_to_every_page() -> None:
    """A page that nobody finds was written for nobody."""
    led = {target.partition("#")[0] for target in links((DOCS / "README.md").read_text(encoding="utf-8"))}
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
    assert there - led == set()


@pytest.mark.parametrize("page", [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))], ids=lambda path: path.name)
def test_every_link_of_every_page_leads_somewhere(page: Path) -> None:
    """Files exist, and so do the headings that links name."""
    assert [target for target in links(page.read_text(encoding="utf-8")) if is_lost(page, target)] == []


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def levels(text: str) -> list[int]:
    """How deep each heading is, in order."""
    return [len(each) - len(each.lstrip("#")) for each in headings(text)]


def blocks(text: str) -> list[str]:
    """Blocks of code without their comments."""
    return [re.sub(r"[ \t]*#(?!!).*$", "", each, flags=re.MULTILINE) for each in FENCE.findall(text)]


def rows(text: str) -> list[int]:
    """How many rows each table has."""
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    return [len(each.splitlines()) for each in tables]


def test_the_korean_readme_has_the_headings_code_tables_and_links_of_the_english_one() -> None:
    """One that changes alone misleads the readers of the other: what is translated is next to what it says."""
    english, korean = read("README.md"), read("README.ko.md")
    assert levels(korean) == levels(english)
    assert blocks(korean) == blocks(english)
    assert rows(korean) == rows(english)
    assert sorted({*links(korean)} - {"README.md"}) == sorted({*links(english)} - {"README.ko.md"})
    assert "README.ko.md" in links(english)


@pytest.mark.parametrize(
    ("changed", "of"),
    [("## A\n### B\n", levels), ("## A\n```\nmake x\n```\n", blocks), ("| a |\n|---|\n| b |\n| c |\n", rows)],
)
def test_a_change_of_one_alone_is_seen(changed: str, of: object) -> None:
    """Of a heading's level, of code, of a table; a comment in code is in the reader's language."""
    assert callable(of)
    before = {levels: "## A\n## B\n", blocks: "## A\n```\nmake y\n```\n", rows: "| a |\n|---|\n| b |\n"}[of]
    assert of(changed) != of(before)
    assert blocks("```\nmake y  # now\n```\n") == blocks("```\nmake y  # 지금\n```\n")
