"""What all tests share: settings of hypothesis, a PACS on request, and an honest end of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.programs.orthanc import Orthanc

# No deadline: a test here never says how fast something must be. print_blob: a failure in CI can be repeated at a desk.
settings.register_profile("pacsnode", deadline=None, print_blob=True)
settings.load_profile("pacsnode")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make soak` and `make fuzz`."""
    parser.addoption("--full-length", action="store_true", help="run what is shortened otherwise at its full length")
    parser.addoption("--fuzz-seconds", type=float, default=0.0, help="fuzz for so long instead of a number of examples")


@pytest.fixture(scope="session")
def full_length(request: pytest.FixtureRequest) -> bool:
    """Whether repetitions that `make test` shortens are to run in full."""
    return bool(request.config.getoption("--full-length"))


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """An empty Orthanc, AE title PACS, of the test's own."""
    with Orthanc(tmp_path / "orthanc") as pacs:
        yield pacs


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was not tested here and why, one line a reason."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        reasons[reason.removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section("not tested here")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count} test{'s' if count > 1 else ''}: {reason}")
