"""A sign of life is given as long as every stage turns, and not otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.app.heartbeat import HeartbeatStage, StageTurn
from node.app.workers import PERSISTS, Worker, Workers
from node.config.models import Configuration
from node.stage import NodeStage
from node.store import pulse
from tests.support.clocks import HandClock
from tests.support.sites.job_site import Site
from tests.support.sites.listeners import web_service
from tests.support.wait import until

FINE, FAILING, HANGING = (
    StageTurn("index", 1.0, fails=False),
    StageTurn("route", 1.0, fails=True),
    StageTurn("run", 1000.0, fails=False),
)


def configured(**heartbeat: Any) -> Configuration:
    return Configuration.model_validate({"node": {"time_zone": "UTC"}, "heartbeat": heartbeat or None})


@pytest.mark.parametrize("stuck", [FAILING, HANGING])
def test_no_sign_is_given_while_a_stage_does_not_turn(tmp_path: Path, stuck: StageTurn) -> None:
    """Each five minutes to the URL and into the file; then silence, and `status --check` knows which stage it is."""
    site, file, turns = Site(tmp_path), tmp_path / "alive", [FINE]
    clock = site.clock
    assert isinstance(clock, HandClock)
    with web_service() as service:
        room = HeartbeatStage(site.node, configured(url=service.url, file=str(file)), lambda: turns)
        room.run_once()
        room.run_once()
        assert (service.methods, file.read_text()[:10]) == (["GET"], "2026-03-01")
        clock.pass_(minutes=5)
        room.run_once()
        assert len(service.methods) == 2
        turns.append(stuck)
        clock.pass_(minutes=30)
        room.run_once()
        assert len(service.methods) == 2
        said = pulse.last(site.data_folder.data)
        assert said is not None
        assert (said.at, said.stuck) == (clock.now(), (stuck.stage,))
        turns.remove(stuck)
        room.run_once()
        assert len(service.methods) == 3


def test_who_waits_for_another_system_is_not_stuck() -> None:
    """A long way to a PACS is up to the PACS, and an alert of its own."""
    assert not StageTurn("deliver-pacs", 10_000.0, fails=False).is_stuck
    assert StageTurn("deliver-pacs", 1.0, fails=True).is_stuck


def test_a_watch_that_cannot_be_reached_is_tried_again(tmp_path: Path) -> None:
    """At the next look and not five minutes later; without a heartbeat nobody is asked."""
    site = Site(tmp_path)
    room = HeartbeatStage(site.node, configured(url="http://127.0.0.1:9/x", timeout="1s"), lambda: [FINE])
    room.run_once()
    with web_service() as service:
        room.use(configured(url=service.url))
        room.run_once()
        assert service.methods == ["GET"]
        room.use(configured())
        assert isinstance(site.clock, HandClock)
        site.clock.pass_(hours=1)
        room.run_once()
        assert service.methods == ["GET"]


class Broken(NodeStage):
    """Raises for as long as it is broken."""

    broken = True

    def run_once(self) -> float:
        if self.broken:
            raise RuntimeError
        return 60.0


def test_the_workers_say_which_stage_fails(tmp_path: Path) -> None:
    """After its third failure in a row, until it works again."""
    site, stage = Site(tmp_path), Broken()
    workers = Workers(site.signal)
    workers.start([Worker("broken", stage)])
    try:
        assert PERSISTS == 3
        until(lambda: [each.is_stuck for each in workers.turns()] == [True])
        stage.broken = False
        workers.run_at_once()
        until(lambda: [each.is_stuck for each in workers.turns()] == [False])
    finally:
        workers.end(workers.names)
        workers.join(60)
