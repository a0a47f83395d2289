"""A command starts at once: it imports what it uses, and nothing of what others use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

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


def imported(*arguments: str) -> set[str]:
    """The packages of `HEAVY` that a process has imported when the command has said what it had to say."""
    program = (
        "import json, sys\n"
        "from node.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_the_version_is_said_without_importing_anything_heavy() -> None:
    """`pacsnode --version` loads the command line's own library, and no other."""
    assert imported("--version") == set()


def test_a_slip_in_the_name_of_a_command_is_answered_as_fast() -> None:
    """No command is imported to say that there is none of that name (pydantic is typer's own doing)."""
    assert imported("stauts") <= {"pydantic"}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"echo", "send", "demo", "read"}))
def test_only_commands_that_speak_dicom_import_its_network_or_its_encoder(name: str) -> None:
    """The help of any other command comes without pynetdicom and highdicom."""
    assert not {"pynetdicom", "highdicom"} & imported(name, "--help")
