"""`pacsnode plan`: the arithmetic by table, where figures come from, and the worked sites of the page."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from node.cli import main
from node.desk.capacity import arithmetic, figures, measuring
from node.desk.capacity.arithmetic import SPACE, Figure, MachineFigures, PluginWork, Workload
from node.desk.capacity.figures import PlanQuestion
from node.ledger import workload
from node.ledger.database import Ledger
from tests.support.sites.past import CONFIG, tell

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sizing.md"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def said(value: float) -> Figure:
    return Figure(value, "said")


def plugin(name: str, seconds: float, share: float = 1.0, at_once: int = 9) -> PluginWork:
    return PluginWork(name, said(seconds), said(share), at_once)


WORK = Workload(
    studies=said(100),
    images=said(360),
    image_bytes=said(1e6),
    peak_share=said(0.2),
    hours=said(10),
    result_bytes=said(1e6),
    plugins=(plugin("a", 60),),
)
MACHINE = MachineFigures(said(0.1), said(40e6), said(1.1e12), said(10), receivers=1, slots=2)


@pytest.mark.parametrize(
    ("arrivals", "seconds", "slots", "wait"),
    [
        (0.5, 1.0, 1, 1.0),  # M/M/1: load / (1 - load) services
        (0.8, 1.0, 1, 4.0),
        (1.5, 1.0, 2, 1.2857),  # M/M/2: load² / (1 - load²) services, load 0.75
        (8.0, 1.0, 10, 0.2046),  # Erlang C (10 slots, load 8) is 0.4092
        (1.0, 1.0, 1, None),
        (3.0, 1.0, 2, None),
    ],
)
def test_the_wait_is_that_of_erlang(arrivals: float, seconds: float, slots: int, wait: float | None) -> None:
    """Against values of the books."""
    found = arithmetic.waiting_time(arrivals, seconds, slots)
    assert found == (None if wait is None else pytest.approx(wait, rel=1e-3))


def test_each_figure_of_a_plan() -> None:
    """100 studies of 360 images of 1 MB, a fifth of them in one hour."""
    plan = arithmetic.plan(WORK, MACHINE)
    assert (plan.image_bytes_a_day, plan.result_bytes_a_day, plan.ledger_bytes_a_day) == (36e9, 100e6, 100.8e6)
    assert plan.days == pytest.approx(30.39, abs=0.01)
    assert plan.images_a_second == 2.0
    assert plan.receivers == 1
    (need,) = plan.plugins
    assert (need.jobs_a_day, need.hours_a_day, need.at_once) == (100, pytest.approx(1.667, abs=0.001), 1)
    assert plan.busy == pytest.approx(
        {"receivers": 0.2, "disk": 0.1, "plugin slots": 1 / 6, "a (at_once)": 1 / 27, SPACE: 10 / plan.days}, rel=0.01
    )
    assert plan.bottleneck == SPACE


@pytest.mark.parametrize(
    ("changes", "machine", "bottleneck"),
    [
        ({}, {"store_seconds": said(0.4)}, "receivers"),
        ({}, {"write_bytes": said(5e6)}, "disk"),
        ({"plugins": (plugin("a", 600),)}, {}, "plugin slots"),
        ({"plugins": (plugin("a", 150, at_once=1),)}, {}, "a (at_once)"),
        ({}, {"wanted_days": said(30)}, SPACE),
        ({"plugins": ()}, {}, SPACE),
    ],
)
def test_what_comes_to_its_limit_first(changes: dict[str, Any], machine: dict[str, Any], bottleneck: str) -> None:
    """Whichever is busiest."""
    assert arithmetic.plan(replace(WORK, **changes), replace(MACHINE, **machine)).bottleneck == bottleneck


def test_jobs_pile_up_where_more_come_than_can_be_done() -> None:
    """20 jobs in the peak hour, 12 done; the other nine hours leave room for a third of a job an hour, or for none."""
    one_slot = replace(MACHINE, slots=1)
    queue = arithmetic.plan(replace(WORK, plugins=(plugin("a", 300),)), one_slot).queue
    assert (queue.wait_seconds, queue.left_over) == (None, pytest.approx(8))
    assert queue.hours_to_clear == pytest.approx(8 / (12 - 80 / 9))
    assert arithmetic.plan(replace(WORK, plugins=(plugin("a", 900),)), one_slot).queue.hours_to_clear is None
    one_at_once = replace(WORK, plugins=(plugin("a", 300, at_once=1), plugin("b", 1)))
    assert arithmetic.plan(one_at_once, MACHINE).queue.left_over == pytest.approx(8)


def test_a_site_s_own_figures_come_from_its_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what is said counts more; each says where it comes from."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "data").mkdir()
    ledger = Ledger(tmp_path / "data" / "ledger.db")
    with ledger.transaction() as database:
        tell(database)
    site = workload.look(ledger.database, UTC)
    assert site is not None
    assert (site.studies, site.peak_share) == (4, None)
    ledger.close()
    arguments = ["plan", "--studies-per-day", "10", "--mb-per-image", "2", "--disk", "1TB", "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--config", str(tmp_path / "config.yaml")])
    assert ended.value.code == 0
    given = json.loads(capsys.readouterr().out)["given"]
    assert given["images_a_study"] == {"value": site.images, "from": "ledger, last 4 studies"}
    assert given["bytes_an_image"] == {"value": 2e6, "from": "said"}
    assert given["peak_share"]["from"].startswith("assumed")
    assert given["plugins"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plugin", "lung"], "'lung' is not NAME=SECONDS"),
        (["--plugin", "lung=fast"], "not NAME=SECONDS"),
        (["--disk", "much"], "--disk: 'much' is not a size"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    """Wrong usage, and how it is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--studies-per-day", "1", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def worked_sites() -> list[tuple[str, str]]:
    """Each command on the page, and what it says there."""
    blocks = re.split(r"^    \$ ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    found = []
    for block in blocks:
        command, _, rest = block.partition("\n")
        body = re.split(r"^\S", rest, maxsplit=1, flags=re.MULTILINE)[0]
        found.append((command, "\n".join(line[4:] for line in body.strip("\n").splitlines())))
    return found


@pytest.mark.parametrize("number", range(3))
def test_the_page_shows_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """Each worked site, to the letter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    command, shown = worked_sites()[number]
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert ended.value.code == 0
    assert "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) == shown


def test_this_machine_is_measured_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real receiver gets real objects; nothing of it is left but the figures, which the next plan uses."""
    monkeypatch.setattr(measuring, "_OBJECTS", 4)
    monkeypatch.setattr(measuring, "_FILES", 3)
    monkeypatch.chdir(tmp_path)
    found = measuring.measure(tmp_path, 20_000)
    assert found.image_bytes == 20_000
    assert 0 < found.store_seconds < 30
    assert found.write_bytes > 0
    assert [each.name for each in tmp_path.iterdir()] == ["run"]
    _, machine = figures.gather(PlanQuestion(1), None)
    assert machine.store_seconds.value == pytest.approx(found.store_seconds * 0.5e6 / 20_000)
    assert machine.write_bytes.source.startswith(f"measured on {found.on.isoformat()}")
