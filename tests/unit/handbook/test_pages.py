"""Each kind of alert has a page that can be followed, also on a server without internet."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from node.cli.commands import app
from node.desk import handbook
from node.errors import UsageError
from node.ledger.alert_kinds import AlertKind
from node.notify.alert_sentences import KOREAN

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "node/handbook"
HEADINGS = ["Cause", "Check", "Remedy", "Whom to call", "한국어"]
COMMANDS = typer.main.get_command(app)


def test_every_kind_has_a_page_and_every_page_a_kind() -> None:
    """A page that is left over would be read by nobody."""
    assert {path.name for path in PAGES.iterdir()} == {f"{kind}.md" for kind in AlertKind}


@pytest.mark.parametrize("kind", AlertKind)
def test_a_page_says_cause_check_remedy_and_whom_to_call(kind: AlertKind) -> None:
    """Each in words, in this order, below the sentence that messages say; the check names where to look."""
    page = handbook.page_of(kind)
    head, *sections = re.split(r"^## ", page, flags=re.MULTILINE)
    assert [each.partition("\n")[0] for each in sections] == HEADINGS
    assert " ".join(head.split()) == f"# {kind} *{kind.severity.capitalize()}.* {kind.sentence}"
    assert min(len(each.split()) for each in sections) > 5
    assert "`" in sections[1] or "\n    " in sections[1]
    assert f"*{KOREAN[kind]}*\n\n먼저 할 일: " in sections[-1]
    assert (ROOT / kind.page).read_text(encoding="utf-8") == page


def test_the_list_of_kinds_links_each_page_with_its_sentence() -> None:
    """docs/alerts.md: who reads there finds each kind, and what messages say of it."""
    listed = (ROOT / "docs/alerts.md").read_text(encoding="utf-8").partition("## The kinds\n")[2]
    rows = re.findall(r"^\| (\[.*) \|$", listed, flags=re.MULTILINE)
    assert sorted(rows) == sorted(f"[{each}](../{each.page}) | {each.severity} | {each.sentence}" for each in AlertKind)


def called(text: str) -> list[list[str]]:
    """The words of each command of ours that a page of Markdown names: in `code`, and on lines of a block."""
    spans = re.findall(r"`(pacsnode [^`\n]+)`", text)
    blocks = re.findall(r"^(?: {4,}|\s*\$ )(pacsnode [a-z].*)$", text, flags=re.MULTILINE)
    return [shlex.split(each)[1:] for each in (*spans, *blocks)]


def complaint(words: list[str]) -> str | None:
    """What is wrong with a command line: a command or an option that is not there, or too few arguments."""
    command: Any = COMMANDS
    while hasattr(command, "commands") and words and (inner := command.commands.get(words[0])) is not None:
        command, words = inner, words[1:]
    if command is COMMANDS:
        return None if words and words[0] == "--version" else "there is no such command"
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    if unknown := [word for word in given if word not in options and word not in ("--help", "-h")]:
        return f"there is no option {unknown[0]}"
    free, rest = 0, iter(words)
    for word in rest:
        if word.startswith("-") and word in options:
            if not options[word].is_flag:
                next(rest, None)
        else:
            free += 1
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    if given != ["--help"] and free < sum(each.required for each in arguments) and (free or given):
        return "an argument is missing"
    return None


MANUAL = (*sorted(PAGES.glob("*.md")), *(ROOT / "docs" / name for name in ("handbook.md", "alerts.md")))


@pytest.mark.parametrize("page", MANUAL, ids=lambda path: path.name)
def test_every_command_that_a_page_names_exists_with_its_options(page: Path) -> None:
    """Nobody is sent to a command that is not there at three in the morning."""
    found = {" ".join(words): complaint(words) for words in called(page.read_text(encoding="utf-8"))}
    assert {line: wrong for line, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("alerts help disk.low", None),
        ("alerts ack NUMBER", None),
        ("retry --status dead --destination pacs", None),
        ("release", None),  # the name alone
        ("alert", "there is no such command"),
        ("pause destination", "an argument is missing"),
        ("retry --state dead", "there is no option --state"),
    ],
)
def test_it_finds_what_it_looks_for(line: str, wrong: str | None) -> None:
    """A command, an option, an argument that is not there."""
    assert complaint(line.split()) == wrong


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
def test_links_between_pages_lead_to_pages(page: Path) -> None:
    """A page of the package links to pages of the package alone: docs/ is not on the server."""
    linked = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in linked if not (PAGES / target).is_file()] == []


@pytest.mark.parametrize(
    ("kind", "hint"), [("disk.lo", 'did you mean "disk.low"?'), ("4", "pacsnode alerts shows the kinds")]
)
def test_a_kind_that_is_not_there_is_refused_with_what_may_be_meant(kind: str, hint: str) -> None:
    """Also the number of an alert; nothing is read by a name that somebody typed."""
    with pytest.raises(UsageError, match=re.escape(hint)):
        handbook.page_of(kind)
