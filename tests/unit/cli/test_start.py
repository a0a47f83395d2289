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
from tests.support.sites.past import GOOD, NOW

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


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["status", "--check"],
        ["alerts"],
        ["ack", "alert:1"],
        ["status", "--json"],
        ["study", GOOD],
        ["retry", "3"],
        ["cancel", "3"],
        ["retry", "x"],
        ["review"],
    ],
)
def test_commands_that_ask_the_ledger_import_what_reads_it_and_no_more(site: Path, command: list[str]) -> None:
    """No DICOM library, YAML, pictures or arrays: pydantic for what is in force, and SQLite itself for rows."""
    assert imported(*command, "--config", str(site)) <= {"pydantic"}


def test_a_changed_file_is_read_without_a_dicom_library(site: Path) -> None:
    """Its YAML is read and held against the data dictionary, which is data; numpy comes with a plugin's manifest."""
    site.write_text(site.read_text().replace("11113", "11119"))
    assert imported("status", "--config", str(site)) <= {"pydantic", "ruamel", "numpy"}


def test_only_commands_that_speak_dicom_import_its_network_or_its_encoder() -> None:
    """The help of any other command comes without pynetdicom and highdicom: of all of them, in one process."""
    helped = sorted(set(COMMANDS) - {"echo", "send", "demo", "read", "init", "doctor"})
    assert len(helped) > 8
    found = imported_by_each(*([name, "--help"] for name in helped))
    assert {name: set(heavy) & {"pynetdicom", "highdicom"} for name, heavy in zip(helped, found, strict=True)} == {
        name: set() for name in helped
    }


def test_the_process_of_the_stages_does_without_the_encoder() -> None:
    """highdicom is a third of its start; only the processes that encode load it.

    Nor does it load what reads the results of plugins: SciPy for their masks, pypdf for their documents, the codes of
    their reports; nor, before the first request, what speaks HTTP.
    """
    readers = ("highdicom", "scipy", "pypdf", "pydicom.sr.codedict", "httpx")
    script = f"import sys, node.app.process; print([name for name in {readers} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_supervisor_does_without_a_dicom_library() -> None:
    """`serve` itself reads no image and speaks no DICOM: its children do, each with a library of its own."""
    script = f"import sys, node.cli.running, node.serve.supervisor; print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pydicom" not in done.stdout
    assert "pynetdicom" not in done.stdout
    assert "PIL" not in done.stdout
