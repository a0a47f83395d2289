"""The crash matrix (case 55): whoever dies when, and whatever the disk, the clock and the archive do meanwhile.

Each run follows from its seed. `make test` plays eight, `make crash` a thousand. One that failed is repeated alone by
`pytest tests/acceptance/test_crashes.py --crashes 1 --first-seed SEED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from plugins.phantoms import chest_series
from plugins.phantoms.chest import Chest
from plugins.phantoms.chest_series import SeriesHeader
from tests.support.faults import crash_story, crash_table
from tests.support.faults.crash_plan import CrashPlan, Feature
from tests.support.faults.crash_rest import Journey
from tests.support.faults.crash_run import CrashRun
from tests.support.faults.crash_site import SLICES
from tests.support.faults.crash_table import CrashOutcome

_FEW = 8
_APART = 19
"""Between the seeds of these: they have different victims and transitions."""
_CHEST = Chest(size=32, slice_mm=46.0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each seed."""
    if "seed" in metafunc.fixturenames:
        first, count = (metafunc.config.getoption(name) for name in ("--first-seed", "--crashes"))
        seeds = range(first, first + count) if count else range(first, first + _FEW * _APART, _APART)
        metafunc.parametrize("seed", seeds)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small studies."""
    made = []
    for number in (1, 2):
        header = SeriesHeader(patient_id=f"P{number}", accession_number=f"A{number}")
        made += chest_series.write_series(_CHEST, tmp_path_factory.mktemp(f"ct{number}"), header)
    return made


def test_fault_55_crash_matrix(seed: int, images: list[Path], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Kills at transitions and by chance; a bad disk, clock, archive; commitment, retention, backup: all is well."""
    assert len(images) == 2 * SLICES
    plan = CrashPlan.of(seed)
    print(plan)
    before = set(psutil.pids())
    run = CrashRun(tmp_path, plan, images)
    with _noted(request.config.getoption("--crash-report"), run.journey), run:
        journey = run.play()
        crash_story.check_running(journey)
        if journey.has(Feature.RETAIN):
            run.let_go()
            crash_story.check_gone(journey)
        print("; ".join(journey.killed))
        journey.site.stop()
        crash_story.check_stopped(journey, before)
        if journey.has(Feature.BACKUP):
            crash_story.check_backup(journey)


@contextmanager
def _noted(report: Path | None, journey: Journey) -> Iterator[None]:
    failed = ""
    try:
        yield
    except BaseException as error:
        failed = f"{type(error).__name__}: {error}"
        raise
    finally:
        if report is not None:
            crash_table.note(report, _outcome(journey, failed))


def _outcome(journey: Journey, failed: str) -> CrashOutcome:
    plan = journey.plan
    return CrashOutcome(
        seed=plan.seed,
        first=plan.kills[0].victim,
        killed=sum(each.endswith("done") for each in journey.killed),
        disk=plan.disk is not None,
        jump=plan.jump != 0,
        archive=bool(plan.archive),
        lost=journey.lost,
        twice=journey.twice,
        failed=failed,
        seconds=journey.seconds,
    )
