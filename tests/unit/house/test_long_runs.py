"""What is too long for every commit: `make nightly` runs it in full, continuous integration in its short form."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shared_data import ROOT

NIGHTLY = ROOT / ".ci" / "nightly"
LONG = shlex.split(re.findall(r"set -- (.*)$", NIGHTLY.read_text(), re.MULTILINE)[0])
MAKEFILE = (ROOT / "Makefile").read_text()


def shortened() -> list[tuple[str, str]]:
    """File and name of each test of `make test` that asks whether it is to run at full length."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for each in ast.parse(path.read_text()).body:
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"):
                names = {argument.arg for argument in (*each.args.args, *each.args.kwonlyargs)}
                if "full_length" in names:
                    found.append((str(path.relative_to(ROOT)), each.name))
    return found


def test_soak_runs_every_test_that_is_shortened_otherwise() -> None:
    """By its folder and its name; docs/reliability.md promises the full length."""
    command = MAKEFILE.partition("\nsoak:")[2].partition("\n\n")[0]
    places = re.findall(r"\btests/\S+", command)
    words = re.findall(r'-k "([^"]+)"', command)[0].split(" or ")
    tests = shortened()
    assert len(tests) > 5
    missed = [
        f"{path}::{name}"
        for path, name in tests
        if not path.startswith(tuple(places)) or not any(word in name for word in words)
    ]
    assert missed == []


def test_what_is_left_to_the_night_runs_there() -> None:
    """Tests that are marked so run in `make soak`, and each says what every other run has in their place."""
    recipe = MAKEFILE.partition("\nsoak:")[2].partition("\n\n")[0]
    assert "pytest -m at_night --full-length" in recipe
    marks = [
        mark
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for mark in re.findall(r"mark\.at_night(?:\((.*)\))?", path.read_text())
    ]
    assert [each for each in marks if not each and each != r"(?:\((.*)\))?"] == []


@pytest.mark.parametrize("target", LONG)
def test_what_runs_at_night_has_a_short_form_in_continuous_integration(target: str) -> None:
    """`SHORT=1`, or tests that `make test` collects and only the night repeats; the matrix is taken in pairs there."""
    recipe = MAKEFILE.partition(f"\n{target}:")[2].partition("\n\n")[0]
    assert recipe, f"no target {target}"
    if "SHORT" in recipe:
        assert f"{target} SHORT=1" in (ROOT / ".ci" / "run").read_text()
    elif target == "matrix":
        assert "pairs" in (ROOT / "tests" / "peers" / "test_validators_results.py").read_text()
    else:
        assert re.search(r"--full-length|--fuzz-seconds|--crashes", recipe)


def test_a_failure_at_night_does_not_hide_the_next(tmp_path: Path) -> None:
    """Each target is made, however the one before ended; what failed is named, and the exit code tells."""
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$2" >>{tmp_path}/made\n[ "$2" != soak ] && [ "$2" != viewer ]\n')
    make.chmod(0o755)
    environment = {**os.environ, "MAKE": str(make)}
    done = subprocess.run(["sh", NIGHTLY], env=environment, capture_output=True, text=True, timeout=60)
    assert (tmp_path / "made").read_text().split() == LONG
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "nightly: FAILED: soak viewer"


SKIPPING = """
import pytest
@pytest.mark.parametrize("n", range(3))
def test_peer(n): pytest.skip("nobody is missing")
@pytest.mark.skip(reason="real files missing")
def test_file(): pass
def test_runs(): pass
"""


def test_skipped_tests_are_counted_and_named(tmp_path: Path) -> None:
    """By reason: how many, and which; a test with parameters is one line."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n")
    (tmp_path / "test_x.py").write_text(SKIPPING)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    title, *lines = done.stdout.partition("not tested here")[2].splitlines()
    assert title.startswith(": 4 tests ")
    assert lines[:4] == [
        "3 tests: nobody is missing",
        "    test_x.py::test_peer, 3 cases",
        "1 test: real files missing",
        "    test_x.py::test_file",
    ]
