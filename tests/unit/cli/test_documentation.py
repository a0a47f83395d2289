"""docs/cli.md and the command say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from node.cli.commands import app

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cli.md"


def flattened(group: Any, before: str = "") -> dict[str, Any]:
    """Every command by its whole name, those of groups too: `plugin run`."""
    found: dict[str, Any] = {}
    for name in group.commands:
        command = group.commands[name]
        whole = f"{before}{name}"
        is_group = hasattr(command, "commands")
        if not is_group or command.invoke_without_command:
            found[whole] = command
        found |= flattened(command, f"{whole} ") if is_group else {}
    return found


COMMANDS = flattened(typer.main.get_command(app))


def sections() -> dict[str, str]:
    """Heading of each section on a command → its text."""
    parts = re.split(r"^## pacsnode ?", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def name_of(heading: str) -> str:
    """`plugin run` of `plugin run PLUGIN [IMAGES]...`."""
    words = heading.split()
    return " ".join(words[:2] if words[0] in ("plugin", "alerts", "audit", "bundle", "users") else words[:1])


def documented_options(text: str) -> set[str]:
    """The options in the bullets of a section."""
    bullets = re.findall(r"^- ((?:`-[^`]+`(?:, )?)+)", text, flags=re.MULTILINE)
    return {option for bullet in bullets for option in re.findall(r"`([^`]+)`", bullet)}


def options_of(command: object) -> set[str]:
    """The options that a command takes, but `--help`, which all take."""
    parameters = getattr(command, "params")  # noqa: B009 - typer's own copy of click has no stubs
    names = {name for each in parameters if each.param_type_name == "option" for name in each.opts}
    return names - {"--help", "-h"}


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    """`## pacsnode echo DEST` ↔ the command `echo`."""
    assert {name_of(heading) for heading in sections() if heading} == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    """The bullets of a command's section are its options."""
    [text] = [text for heading, text in sections().items() if heading and name_of(heading) == name]
    assert documented_options(text) == options_of(COMMANDS[name])


def test_the_options_before_a_command_are_documented() -> None:
    """`## pacsnode` alone lists them."""
    assert documented_options(sections()[""]) == options_of(typer.main.get_command(app))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_heading_shows_the_arguments(name: str) -> None:
    """`## pacsnode send PATH... DEST` names the arguments in their order."""
    [heading] = [heading for heading in sections() if heading and name_of(heading) == name]
    assert heading.split()[len(name.split()) :] == [
        argument(each) for each in COMMANDS[name].params if each.param_type_name == "argument"
    ]


def argument(parameter: object) -> str:
    """An argument as usage lines write it: `PATH...` takes several, `[PATH]...` also none."""
    name = getattr(parameter, "metavar")  # noqa: B009 - as above
    name = name if getattr(parameter, "required") else f"[{name}]"  # noqa: B009 - as above
    return f"{name}..." if getattr(parameter, "nargs") == -1 else name  # noqa: B009 - as above


def test_the_help_lists_every_command_by_its_name() -> None:
    """Groups of commands, too."""
    listed = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - as above
    assert {name: listed[name].name for name in listed} == {name: name for name in listed}
