"""README.md and the pages it leads to say what is there: commands, links, functions, states."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

from node.ledger.delivery import DeliveryStatus
from node.ledger.job import JobStatus
from node.ledger.studies import StudyStatus

ROOT = Path(__file__).resolve().parents[3]


def offered() -> set[str]:
    """The targets that the Makefile offers: those that `make help` lists."""
    return set(re.findall(r"^([a-z][\w-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}


def told() -> set[str]:
    """What README.md tells the reader to make, in code blocks and in `code`."""
    code = re.findall(r"^```.*?^```|`[^`\n]+`", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return {target for piece in code for target in re.findall(r"\bmake ([a-z][\w-]*)", piece)}


def test_every_make_command_of_the_readme_exists() -> None:
    """Nobody is told to type a command that is not there."""
    assert told() - offered() == set()


def test_the_readme_names_every_command() -> None:
    """Whoever has read README.md knows all that `make` can do here."""
    assert offered() - told() == set()


ENTRY_PAGES = ("README.md", "docs/architecture.md", "docs/glossary.md", "docs/rules.md", "docs/cli.md")


def anchor(heading: str) -> str:
    """The fragment that a forge gives a heading: lower case, spaces as hyphens, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", ENTRY_PAGES)
def test_every_link_and_picture_leads_somewhere(page: str) -> None:
    """Files exist, and so do the headings that links name."""
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        name, _, fragment = target.partition("#")
        file = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if fragment and file.is_file() else []
        if not file.exists() or (fragment and fragment not in map(anchor, headings)):
            lost.append(target)
    assert lost == []


def test_every_problem_of_the_readme_says_where_it_is_handled() -> None:
    """Three cells a row, the last with a link: a claim without a place is no claim."""
    table = (ROOT / "README.md").read_text().partition("## Real-world problems")[2].partition("\n## ")[0]
    rows = [row.strip("|").split(" | ") for row in table.strip().splitlines()[2:]]
    assert len(rows) >= 15
    assert [row for row in rows if len(row) != 3 or "](" not in row[2]] == []


def test_the_modules_and_names_in_the_table_of_the_journey_exist() -> None:
    """docs/architecture.md sends its reader to functions that are there."""
    journey = (
        (ROOT / "docs/architecture.md").read_text().partition("## The journey of a study")[2].partition("\n## ")[0]
    )
    names = [
        name
        for row in journey.splitlines()
        if row.startswith("|")
        for name in re.findall(r"`([\w.]+)`", row.split("|")[3])
    ]
    assert len(names) >= 15
    assert [name for name in names if not name.startswith(".") and not found(name)] == []


def found(dotted: str) -> bool:
    """Whether `room.module.Class.method`, in node or rules, or beside the last one, is there."""
    parts = dotted.split(".")
    for package in ("node.", ""):
        for length in range(len(parts), 0, -1):
            module = ".".join(parts[:length])
            path = ROOT.joinpath(*f"{package}{module}".split("."))
            if path.with_suffix(".py").is_file():
                source = path.with_suffix(".py").read_text()
                return all(re.search(rf"^\s*(?:def|class) {name}\b", source, re.MULTILINE) for name in parts[length:])
    return len(parts) == 1 and any(
        f"def {dotted}(" in path.read_text() for path in (ROOT / "node" / "index").glob("*.py")
    )


@pytest.mark.parametrize("states", [StudyStatus, JobStatus, DeliveryStatus])
def test_the_pictures_of_states_show_every_state_and_no_other(states: type[StrEnum]) -> None:
    """docs/architecture.md: one diagram for each of study, job and delivery."""
    page = (ROOT / "docs/architecture.md").read_text()
    section = page.partition(f".{states.__name__}`")[2]
    diagram = section.partition("```mermaid")[2].partition("```")[0]
    arrows = re.findall(r"^ +(\S+) --> ([\w\[\]*]+)", diagram, re.MULTILINE)
    assert {state for arrow in arrows for state in arrow} - {"[*]"} == {state.value for state in states}


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/glossary.md"])
def test_every_path_that_a_page_names_exists(page: str) -> None:
    """Where to add something is where it goes; only the table of history names what is gone."""
    text = (ROOT / page).read_text().partition("## Where things were before")[0]
    paths = re.findall(r"`((?:node|rules|plugins|tests)/[\w./]*\w/?)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_table_of_history_names_the_present_places() -> None:
    """The right column of "Where things were before" is the code as it is."""
    table = (ROOT / "docs/architecture.md").read_text().partition("## Where things were before")[2]
    places = re.findall(r"\| `[^`]+` \| `([^`]+)` \|", table)
    assert len(places) > 50
    assert [place for place in places if not (ROOT / place).is_file()] == []
