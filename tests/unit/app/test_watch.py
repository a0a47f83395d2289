"""The disk, certificates, backlog and callers: an alert while it is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.app import watch
from node.app.alerts import AlertSweep
from node.config.models import Configuration
from node.desk import certificates
from node.ledger import alerts, pauses, refused_callers
from node.ledger.pauses import Pausable, Pause
from node.store import health
from node.store.callers import RefusedCaller
from node.store.health import Load, Trouble
from tests.support.clocks import HandClock
from tests.support.sites.job_site import Site

PLENTY = Load(free_bytes=500 * 2**30, waiting=0)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    monkeypatch.setattr(watch, "load_of", lambda _: PLENTY)
    return site


def configured(**more: Any) -> Configuration:
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    plain = {"node": {"time_zone": "UTC"}, "destinations": {"pacs": pacs}, "alerts": {"for": "0s"}, **more}
    return Configuration.model_validate(plain)


class Room:
    """The sweep, by hand."""

    def __init__(self, site: Site, **more: Any) -> None:
        self.site = site
        self.sweep = AlertSweep(site.node, configured(**more))

    def open(self) -> list[tuple[str, str]]:
        """What is open after the next look."""
        clock = self.site.clock
        assert isinstance(clock, HandClock)
        clock.pass_(seconds=11)
        self.sweep.run_once()
        return [(each.kind, each.place) for each in alerts.every(self.site.ledger.database, closed=False)]


@pytest.mark.parametrize(
    ("load", "kinds"),
    [
        (PLENTY, []),
        (Load(4 * 2**30, 0), [("disk.low", "data")]),
        (Load(2**30, 0), [("reception.refused", "data"), ("disk.low", "data")]),
        (Load(PLENTY.free_bytes, 30_000), [("backlog.high", "index")]),
        (Load(PLENTY.free_bytes, 60_000), [("reception.refused", "data"), ("backlog.high", "index")]),
    ],
)
def test_the_disk_and_what_waits_to_be_indexed(
    site: Site, monkeypatch: pytest.MonkeyPatch, load: Load, kinds: list[tuple[str, str]]
) -> None:
    """A warning before receivers refuse, a critical alert when they do; over when there is room."""
    room = Room(site)
    monkeypatch.setattr(watch, "load_of", lambda _: load)
    assert sorted(room.open()) == sorted(kinds)
    monkeypatch.setattr(watch, "load_of", lambda _: PLENTY)
    assert room.open() == []


def test_what_cannot_be_written_refuses_modalities(site: Site) -> None:
    """As a receiver left word of it."""
    health.note_trouble(site.data_folder.data, Trouble(site.clock.now(), "no space left"))
    room = Room(site)
    assert room.open() == [("reception.refused", "data")]
    (alert,) = alerts.every(site.ledger.database, closed=False)
    assert alert.detail["reason"] == "no space left"


def test_a_certificate_that_ends_soon_and_one_that_has_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning thirty days before, a critical alert after; read again each hour, and with another configuration."""
    said = [("node.listen.tls.certificate", "warning", "ends in 3 days")]
    monkeypatch.setattr(certificates, "reminders", lambda *_: said)
    room = Room(site)
    assert room.open() == [("certificate.ends", "node.listen.tls.certificate")]
    said[:] = [("node.listen.tls.certificate", "alert", "ended")]
    assert room.open() == [("certificate.ends", "node.listen.tls.certificate")]
    room.sweep.use(configured(notify={"language": "ko"}))
    assert room.open() == [("certificate.ended", "node.listen.tls.certificate")]


def test_a_caller_that_is_refused_again_and_again(site: Site) -> None:
    """Ten times within an hour is no slip; over when it has not called for an hour."""
    room = Room(site)

    def refuse(times: int) -> None:
        caller = RefusedCaller("CT9", "PACSNODE", "10.0.0.9", "unknown", times, site.clock.now())
        with site.ledger.transaction() as database:
            refused_callers.add(database, site.clock.now(), [caller])

    refuse(9)
    assert room.open() == []
    refuse(1)
    assert room.open() == [("callers.refused", "CT9@10.0.0.9")]
    clock = site.clock
    assert isinstance(clock, HandClock)
    clock.pass_(minutes=61)
    assert room.open() == []


def test_jobs_that_could_start_and_do_not(site: Site) -> None:
    """For an hour; not those of a plugin that is paused, which is meant."""
    site.receive(1)
    site.complete()
    site.job("slow", ["r1"])
    room = Room(site)
    assert room.open() == []
    clock = site.clock
    assert isinstance(clock, HandClock)
    clock.pass_(minutes=61)
    assert room.open() == [("backlog.high", "run")]
    with site.ledger.transaction() as database:
        pauses.begin(database, clock.now(), Pause(Pausable.PLUGIN, "slow", "os:kim", clock.now(), "x"))
    assert room.open() == []
