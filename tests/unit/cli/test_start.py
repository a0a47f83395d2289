"""A command starts at once: it imports what it uses, and nothing of what others use."""

from __future__ import annotations

import json
import subprocess
import sys

from node.cli.commands import COMMANDS

HEAVY = (
    "pydantic",
    "pydicom",
    "pynetdicom",
    "highdicom",
    "numpy",
    "sqlite_utils",
    "ruamel",
    "structlog",
    "PIL",
    "apscheduler",
)


PROGRAM = f"""
import json, sys
from node.cli import main
found = []
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit:
        pass
    found.append([name for name in {HEAVY} if name in sys.modules])
print(json.dumps(found), file=sys.stderr)
"""


def imported_by_each(*commands: list[str]) -> list[set[str]]:
    """The packages of `HEAVY` that a process has imported after each command, and those before it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    return [set(each) for each in json.loads(done.stderr.splitlines()[-1])]


def imported(*arguments: str) -> set[str]:
    """The packages of `HEAVY` that a process has imported when the command has said what it had to say."""
    (found,) = imported_by_each(list(arguments))
    return found


def test_the_version_is_said_without_importing_anything_heavy() -> None:
    """`pacsnode --version` loads the command line's own library, and no other."""
    assert imported("--version") == set()


def test_a_slip_in_the_name_of_a_command_is_answered_as_fast() -> None:
    """No command is imported to say that there is none of that name (pydantic is typer's own doing)."""
    assert imported("stauts") <= {"pydantic"}


def test_only_commands_that_speak_dicom_import_its_network_or_its_encoder() -> None:
    """The help of any other command comes without pynetdicom and highdicom: of all of them, in one process."""
    helped = sorted(set(COMMANDS) - {"echo", "send", "demo", "read"})
    assert len(helped) > 8
    found = imported_by_each(*([name, "--help"] for name in helped))
    assert {name: set(heavy) & {"pynetdicom", "highdicom"} for name, heavy in zip(helped, found, strict=True)} == {
        name: set() for name in helped
    }
