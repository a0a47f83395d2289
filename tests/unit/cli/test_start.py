"""A command starts at once: it imports what it uses, and nothing of what others use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.commands import COMMANDS
from node.config import in_force, loading
from node.config.in_force import InForce
from node.ledger.database import Ledger
from tests.support.past import GOOD, NOW

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


@pytest.fixture
def site(config: Path, ledger: Ledger) -> Path:
    """The configuration of a site with a past; it was saved a while ago, and is in force."""
    os.utime(config, (1_700_000_000, 1_700_000_000))
    in_force.write(InForce.of(loading.read(config), NOW, "hong"))
    return config


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


@pytest.mark.parametrize(
    "command", [["status"], ["status", "--json"], ["study", GOOD], ["retry", "3"], ["cancel", "3"], ["retry", "x"]]
)
def test_commands_that_ask_the_ledger_import_what_reads_it_and_no_more(site: Path, command: list[str]) -> None:
    """No DICOM library, YAML or pictures: pydantic for what is in force, sqlite_utils (which brings numpy) for rows."""
    assert imported(*command, "--config", str(site)) <= {"pydantic", "numpy", "sqlite_utils"}


def test_a_changed_file_is_read_without_a_dicom_library(site: Path) -> None:
    """Its YAML is read and held against the data dictionary, which is data; nothing of pydicom runs for it."""
    site.write_text(site.read_text().replace("11113", "11119"))
    assert imported("status", "--config", str(site)) <= {"pydantic", "numpy", "sqlite_utils", "ruamel"}
