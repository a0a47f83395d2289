"""What all tests share: settings of hypothesis, a PACS on request, and an honest end of the run."""

from __future__ import annotations

import os
import shutil
import sqlite3
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from weakref import WeakSet

import pytest
from hypothesis import settings

from node.app import preloaded
from node.ledger.database import Ledger
from tests.support.programs.orthanc import Orthanc

# No deadline: a test here never says how fast something must be. print_blob: a failure in CI can be repeated at a desk.
settings.register_profile("pacsnode", deadline=None, print_blob=True)
settings.load_profile("pacsnode")
# As the node does; the process itself is started by the first test that calls a child.
_PRELOADED = ["node.processes.unhurried", *preloaded.MODULES, "node.processes.preloaded"]
get_context("forkserver").set_forkserver_preload(_PRELOADED)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make soak` and `make fuzz`."""
    parser.addoption("--full-length", action="store_true", help="run what is shortened otherwise at its full length")
    parser.addoption("--fuzz-seconds", type=float, default=0.0, help="fuzz for so long instead of a number of examples")
    parser.addoption("--crashes", type=int, default=0, help="runs of the crash matrix, one seed after the other")
    parser.addoption("--first-seed", type=int, default=0, help="the first of them")
    parser.addoption("--crash-report", type=Path, help="a file for what came of them, a line of JSON each")


def pytest_configure(config: pytest.Config) -> None:
    """Declare `at_night`."""
    config.addinivalue_line("markers", "at_night(instead): run by `make soak` alone; what every other run has instead")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What has a short form in every run is left to the night; the end of the run names it."""
    if config.getoption("--full-length"):
        return
    for item in items:
        for mark in item.iter_markers("at_night"):
            item.add_marker(pytest.mark.skip(reason=f"at night (make soak); here: {mark.args[0]}"))


@pytest.fixture(scope="session")
def full_length(request: pytest.FixtureRequest) -> bool:
    """Whether repetitions that `make test` shortens are to run in full."""
    return bool(request.config.getoption("--full-length"))


_OPENED: WeakSet[Ledger] = WeakSet()
"""Ledgers that a test of this file opened, as long as anything refers to them."""


@pytest.fixture(scope="session", autouse=True)
def _ledgers_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new ledger of this process is a copy of the session's first: its migrations take a tenth of a second of CPU.

    Most tests of stages begin with one. Those of the migrations themselves begin with an older file, or apply them.
    """
    make, first = Ledger.__init__, tmp_path_factory.mktemp("ledger") / "first.db"

    def copied(ledger: Ledger, path: Path) -> None:
        if not path.exists() and path.parent.is_dir():
            if not first.exists():
                make(made := Ledger.__new__(Ledger), first)
                made.close()
            shutil.copyfile(first, path)
            with closing(sqlite3.connect(path)) as new, new:
                new.execute("UPDATE ledger SET id=?", [uuid.uuid4().hex])  # no two ledgers have the same
        make(ledger, path)
        _OPENED.add(ledger)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "__init__", copied)
        yield


@pytest.fixture(autouse=True)
def _umask_is_given_back() -> Iterator[None]:
    """`serve` sets it for its process; of a test that calls it here, the next test would have it."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="module", autouse=True)
def _ledgers_are_closed() -> Iterator[None]:
    """What the tests of a file opened gives its files back: pynetdicom cannot listen once a process has 1,024 open."""
    yield
    while _OPENED:
        _OPENED.pop().close()


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """An empty Orthanc, AE title PACS, of the test's own."""
    with Orthanc(tmp_path / "orthanc") as pacs:
        yield pacs


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was not tested here: how many, by reason, and which."""
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for report in terminalreporter.stats.get("skipped", []):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        reasons[reason.removeprefix("Skipped: ")][report.nodeid.partition("[")[0]] += 1
    if not reasons:
        return
    total = sum(tests.total() for tests in reasons.values())
    terminalreporter.section(f"not tested here: {_tests(total)}")
    for reason, tests in sorted(reasons.items()):
        terminalreporter.line(f"{_tests(tests.total())}: {reason}")
        for name, count in sorted(tests.items()):
            terminalreporter.line(f"    {name}" + (f", {count} cases" if count > 1 else ""))


def _tests(count: int) -> str:
    return f"{count} test{'s' if count > 1 else ''}"
