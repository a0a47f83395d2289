"""The crash matrix (case 55): whoever dies when, and whatever the disk, the clock and the archive do meanwhile.

Each run follows from its seed. `make test` plays three, `make nightly` two hundred, `make crash` a thousand. One that
failed is repeated alone by `pytest tests/acceptance/test_crashes.py --crashes 1 --first-seed SEED`.
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
from tests.support.faults.crash_plan import CrashPlan, Feature, Victim
from tests.support.faults.crash_rest import Journey
from tests.support.faults.crash_run import CrashRun
from tests.support.faults.crash_site import SLICES
from tests.support.faults.crash_table import CrashOutcome

_IN_EVERY_RUN = (38, 76, 133)
"""Together they have every feature, a bad disk, a clock that jumps and an odd archive. They kill the supervisor, a
guard and the archive; receiver, node, encoder and plugin are killed by tests/acceptance/test_killed.py in every run."""
_CHEST = Chest(size=32, slice_mm=46.0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each seed."""
    if "seed" in metafunc.fixturenames:
        first, count = (metafunc.config.getoption(name) for name in ("--first-seed", "--crashes"))
        seeds = range(first, first + count) if count else _IN_EVERY_RUN
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


def test_the_runs_of_every_suite_have_each_feature_and_each_mishap() -> None:
    """Whatever the plans are made of by now: all features, the disk, the clock, the archive and its commitment."""
    plans = [CrashPlan.of(seed) for seed in _IN_EVERY_RUN]
    assert {feature for plan in plans for feature in plan.features} == set(Feature)
    assert any(plan.disk for plan in plans)
    assert any(plan.jump for plan in plans)
    assert any(plan.archive for plan in plans)
    assert any(plan.commitment for plan in plans)
    assert {kill.victim for plan in plans for kill in plan.kills} >= {Victim.SUPERVISOR, Victim.GUARD, Victim.ARCHIVE}


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
