"""Plugins: how they do, why they fail, and pausing and withdrawing them."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.accounts.roles import Role
from node.clock import SystemClock
from node.ledger import pauses, plugin_versions, recalls
from node.ledger.pauses import Pausable
from node.ledger.plugin_versions import PluginVersion
from node.run import occupancy
from node.run.occupancy import IdleWorker, Occupancy, OfferedGpu
from tests.support.console import ConsoleClient, text_of
from tests.support.sites.watched_site import WatchedSite

RULES = """\
rules:
  - {name: thin-chest, when: {Modality: CT}, choose: {take: one}, run: lung-density, send: pacs, mode: pilot}
"""


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> WatchedSite:
    site = WatchedSite(tmp_path, RULES)
    site.ended_now()
    return site


def _admin(site: WatchedSite) -> ConsoleClient:
    visitor = site.visitor()
    visitor.log_in(Role.ADMIN)
    return visitor


def test_the_list_says_how_each_plugin_does_and_on_what_it_runs(site: WatchedSite) -> None:
    """Slots, GPUs and warm workers are those that the run stage left word of; failures have their reason."""
    there = Occupancy(3, 1, 8.0, 2**34, [OfferedGpu("GPU-1", 2**33)], [IdleWorker("lung_density", 5 * 2**20, None)])
    occupancy.note(site.data, there)
    page = text_of(_admin(site).get("/plugins"))
    assert "0 / 3 slots in use (1 for urgent jobs alone)" in page
    assert "GPUs GPU-1 8.0 GiB" in page
    assert "lung-density" in page
    assert "1 (5 MiB)" in page
    assert "Failures of the last 7 days by reason" in page
    assert occupancy.noted(site.data) == there


def test_nothing_is_known_of_a_machine_before_a_node_has_run(site: WatchedSite) -> None:
    """A file that is damaged is as none."""
    (site.data / occupancy.FILE).write_text('{"slots": 1}')
    assert occupancy.noted(site.data) == Occupancy()
    assert _admin(site).get("/plugins").status_code == 200


def test_a_plugin_is_paused_with_a_reason_and_goes_on(site: WatchedSite) -> None:
    """The pause names the console's user; without a reason there is none."""
    visitor = _admin(site)
    visitor.post("/plugins/lung-density/pause", {"why": " "})
    assert "say why it is paused" in text_of(visitor.get("/plugins/lung-density"))
    visitor.post("/plugins/lung-density/pause", {"why": "new scanner"})
    page = text_of(visitor.get("/plugins/lung-density"))
    assert "Paused by user:admin: new scanner" in page
    visitor.post("/plugins/lung-density/resume", {"paused": "lung-density"})
    with site.ledger.reading() as database:
        assert pauses.get(database, Pausable.PLUGIN, "lung-density") is None


def test_a_version_is_withdrawn_after_a_look_at_what_that_concerns(site: WatchedSite) -> None:
    """The look changes nothing; the withdrawal is in force, and is taken back with a reason."""
    at = SystemClock().now()
    with site.ledger.transaction() as database:
        plugin_versions.ran(database, at, PluginVersion("lung-density", "0.9", {}, {}, ""))
    visitor = _admin(site)
    page = text_of(visitor.get("/plugins/lung-density/withdraw?version=0.9&reason=safety&why=overcalls"))
    assert "would be withdrawn (safety); nothing was changed" in page
    with site.ledger.reading() as database:
        assert recalls.find(database, "lung-density", "0.9") is None
    wanted = {"version": "0.9", "reason": "safety", "why": "overcalls"}
    visitor.post("/plugins/lung-density/withdraw", wanted)
    page = text_of(visitor.get("/plugins/lung-density"))
    assert "lung-density 0.9 is withdrawn (safety) by user:admin" in page
    visitor.post("/plugins/lung-density/reinstate", {"version": "0.9", "why": "it was the scanner"})
    assert "lung-density 0.9 may run again" in text_of(visitor.get("/plugins/lung-density"))


def test_a_version_that_never_ran_is_not_withdrawn(site: WatchedSite) -> None:
    """A slip is refused with what there is; so is a reason that there is not."""
    visitor = _admin(site)
    assert visitor.get("/plugins/lung-density/withdraw?version=7.7&reason=safety").status_code == 400
    assert visitor.get("/plugins/lung-density/withdraw?version=0.9&reason=boredom").status_code == 400
    assert visitor.get("/plugins/nobody").status_code == 404


def test_a_viewer_sees_plugins_and_changes_none(site: WatchedSite) -> None:
    """There is no form, and what is sent anyway is refused."""
    viewer = site.visitor()
    viewer.log_in(Role.VIEWER)
    assert "Pause the plugin" not in text_of(viewer.get("/plugins/lung-density"))
    assert viewer.post("/plugins/lung-density/pause", {"why": "no"}).status_code == 403
    assert viewer.post("/plugins/lung-density/withdraw", {"version": "1", "reason": "safety"}).status_code == 403
