"""A saved file: checked, then swapped as a whole, or refused as a whole and said so once."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from node.app.reload import CHANGED, REFUSED, RESTART, NotInForceError, Reload
from node.config import in_force, loading
from node.config.in_force import InForce
from node.config.models import Configuration
from node.ledger import decisions, events
from node.ledger.database import FILE, Ledger
from node.ledger.events import Event, Severity
from node.ledger.rule_versions import IN_FORCE
from node.run import catalogue
from node.run.catalogue import Catalogue
from rules.model import rule_set_digest
from tests.support.clocks import HandClock

CONFIG = """\
node: {time_zone: Asia/Seoul, data: data}
modalities:
  ct1: {ae_title: CT1}
destinations:
  pacs: {ae_title: PACS, host: 10.0.0.9, port: 104}
rules:
  - rules.d/*.yaml
"""
RULE = """\
- name: %s
  when: {Modality: %s}
  choose: {take: one}
  run: lung-density
  send: pacs
  mode: pilot
"""


class Node:
    """What a reload works on: the files, the ledger, and whoever goes by the rules."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG)
        self.folder = folder / "rules.d"
        self.folder.mkdir()
        self.write("chest", RULE % ("chest", "CT"))
        (folder / "data").mkdir()
        self.ledger = Ledger(folder / "data" / FILE)
        self.clock = HandClock()
        self.used: list[Configuration] = []
        self.asked: list[InForce] = []
        self.cannot = ""
        self.dies = False
        self.start()

    def start(self) -> None:
        """As after a start of the node by its files."""
        self._begin(InForce.of(loading.read(self.config), self.clock.now(), "hong"))

    def start_again(self) -> None:
        """As after a death of the node: by what was in force."""
        self._begin(in_force.read(self.config.parent / "data" / in_force.FILE))

    def _begin(self, running: InForce) -> None:
        in_force.write(running)
        plugins = catalogue.usable(running.configuration)
        self.reload = Reload(self.ledger, self.clock, running, plugins, self._use, self._with_receivers)
        self.look()

    def _use(self, configuration: Configuration, plugins: Catalogue) -> None:
        assert plugins.find("lung-density")
        self.used.append(configuration)

    def _with_receivers(self, wanted: InForce) -> None:
        """As the supervisor does."""
        if self.cannot:
            raise NotInForceError(self.cannot)
        self.asked.append(wanted)
        in_force.write(wanted)
        if self.dies:
            raise KeyboardInterrupt

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.yaml").write_text(text)

    def look(self, times: int = 2) -> None:
        """A change is seen by one look and, once it has come to rest, taken up by the next."""
        for _ in range(times):
            assert self.reload.run_once() == 1.0

    def names(self) -> list[str]:
        return [rule.name for rule in self.used[-1].rules] if self.used else []

    def events(self, kind: str) -> list[Event]:
        return [each for each in events.latest(self.ledger.database, 100) if each.kind == kind]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_the_rules_of_the_start_are_a_version(node: Node) -> None:
    """With who started it, their text kept; the first look changes nothing."""
    [event] = node.events(IN_FORCE)
    assert (event.detail["by"], event.detail["added"], event.detail["previous"]) == ("hong", ["chest"], None)
    kept = decisions.rule_set(node.ledger.database, event.detail["digest"])
    assert kept is not None
    assert json.loads(kept)[0]["name"] == "chest"
    assert node.used == []


def test_a_saved_file_is_taken_up_once_it_has_come_to_rest(node: Node) -> None:
    """Not by the look that sees the change: an editor may still be writing."""
    node.write("chest", RULE % ("chest", "MR"))
    node.look(1)
    assert node.used == []
    node.look(1)
    assert node.used[0].rules[0].when.plain == {"Modality": "MR"}
    node.look(3)
    assert len(node.used) == 1


def test_people_are_taken_up_with_the_rules_that_tell_them_and_alone(node: Node) -> None:
    """Somebody new with the rule that names them; then only their address: both without a restart."""
    for number in (1, 2):
        address = f"{{webhook: {{url: 'https://pager.example/{number}'}}}}"
        node.config.write_text(f"{CONFIG}people: {{duty: {address}}}\n")
        node.write("chest", RULE % ("chest", "CT") + "  notify: {whom: duty}\n")
        node.look()
        webhook = node.used[-1].people["duty"].webhook
        assert webhook is not None
        assert webhook.url == f"https://pager.example/{number}"
    assert len(node.used) == 2
    assert node.events(RESTART) == []
    node.start_again()
    assert in_force.read(node.config.parent / "data" / in_force.FILE).configuration.people["duty"].webhook == webhook


def test_each_version_is_kept_with_what_changed_and_whose_file_it_is(node: Node) -> None:
    """Names of what came, went and changed, a diff, the version before."""
    first = node.events(IN_FORCE)[0].detail["digest"]
    node.write("chest", RULE % ("chest", "MR"))
    node.write("head", RULE % ("head", "CT"))
    node.look()
    detail = node.events(IN_FORCE)[0].detail
    assert (detail["added"], detail["removed"], detail["changed"]) == (["head"], [], ["chest"])
    assert detail["previous"] == first
    assert "-  Modality: CT\n+  Modality: MR" in detail["diff"]
    assert "owner of " in detail["by"]
    assert detail["digest"] == rule_set_digest(node.used[-1].rules)
    assert decisions.rule_set(node.ledger.database, detail["digest"]) is not None


def test_a_new_file_that_the_pattern_matches_belongs_to_it_and_a_removed_one_no_more(node: Node) -> None:
    """Nobody has to touch the configuration itself."""
    node.write("head", RULE % ("head", "CT"))
    node.look()
    assert node.names() == ["chest", "head"]
    (node.folder / "head.yaml").unlink()
    node.look()
    assert node.names() == ["chest"]


def test_fault_76_a_bad_file_leaves_the_old_rules_in_force_and_is_told_once(node: Node) -> None:
    """With file, line, column, caret and what was meant; again only for another content."""
    node.write("chest", (RULE % ("chest", "CT")).replace("lung-density", "lung-densty"))
    with structlog.testing.capture_logs() as logs:
        node.look(5)
    assert node.used == []
    [event] = node.events(REFUSED)
    assert event.severity is Severity.ALERT
    assert "chest.yaml:4:8: [0].run: there is no plugin" in event.detail["problems"][0]
    assert 'did you mean "lung-density"?' in event.detail["problems"][0]
    assert "^~~~" in event.detail["shown"]
    assert [each["event"] for each in logs] == ["app.rules-refused"]
    node.write("chest", "- name: [")
    node.look(4)
    assert len(node.events(REFUSED)) == 2


def test_rules_whose_tests_fail_do_not_go_live(node: Node) -> None:
    """A right file with a wrong rule: refused, at the line of what was expected."""
    tests = "tests:\n  - name: a CT\n    given: {Modality: CT}\n    expect: {chest: match}\n"
    rules = "rules:\n" + (RULE % ("chest", "CT")).replace("\n", "\n  ").replace("- name", "  - name").rstrip() + "\n"
    node.write("chest", rules + tests)
    node.look()
    assert node.events(REFUSED) == []
    node.write("chest", rules.replace("Modality: CT", "Modality: MR") + tests)
    node.look()
    assert node.used == []
    assert "chest.yaml:11:14" in node.events(REFUSED)[0].detail["problems"][0]
    assert "does not match" in node.events(REFUSED)[0].detail["problems"][0]


def test_the_same_bad_file_is_not_told_again_by_a_node_that_is_started_again(node: Node) -> None:
    """And that node goes by what was in force, not by the file."""
    node.write("chest", "- name: [")
    node.look()
    node.start_again()
    node.look()
    assert len(node.events(REFUSED)) == 1
    node.write("chest", RULE % ("chest", "MR"))
    node.look()
    assert node.names() == ["chest"]


def test_what_was_refused_and_put_back_is_in_force_again(node: Node) -> None:
    """The last word on the rules is then no refusal."""
    node.write("chest", "")
    node.look()
    node.write("chest", RULE % ("chest", "CT"))
    node.look()
    newest = events.latest_of(node.ledger.database, (IN_FORCE, REFUSED))
    assert newest is not None
    assert newest.kind == IN_FORCE


def test_a_file_of_rules_that_is_new_and_bad_is_watched_too(node: Node) -> None:
    """Its mistake is put right in itself, not in any file that was known before."""
    node.config.write_text(CONFIG + "  - more/*.yaml\n")
    more = node.config.parent / "more"
    more.mkdir()
    (more / "x.yaml").write_text("- name: [")
    node.look()
    assert len(node.events(REFUSED)) == 1
    (more / "x.yaml").write_text(RULE % ("more", "CT"))
    node.look()
    assert node.names() == ["chest", "more"]


def test_what_takes_a_restart_is_told_and_the_rules_of_the_same_file_are_taken_up(node: Node) -> None:
    """Said once, by name."""
    node.config.write_text(CONFIG.replace("data: data", "data: other, jobs_at_once: 7"))
    node.write("chest", RULE % ("chest", "MR"))
    node.look(4)
    [event] = node.events(RESTART)
    assert event.detail["changed"] == ["node.data", "node.jobs_at_once"]
    assert node.names() == ["chest"]
    assert node.used[0].node.data == node.config.parent / "data"
    assert node.events(CHANGED) == []
    assert node.asked == []


def test_receivers_are_asked_for_before_anything_is_taken_up(node: Node) -> None:
    """What they go by is in force once they are there, together with the rules of the same file, and is told."""
    node.config.write_text(CONFIG.replace("CT1}", "CT9}").replace("data: data", "data: data, receivers: 2"))
    node.write("chest", RULE % ("chest", "MR"))
    node.look(4)
    [wanted] = node.asked
    assert wanted.configuration.modalities["ct1"].ae_title == "CT9"
    [used] = node.used
    assert (used.node.receivers, used.rules[0].when.plain) == (2, {"Modality": "MR"})
    assert node.events(CHANGED)[0].detail["changed"] == ["node.receivers", "modalities"]
    node.start_again()
    node.look()
    assert len(node.asked) == len(node.events(CHANGED)) == 1
    assert (node.events(RESTART), node.events(REFUSED)) == ([], [])


def test_where_receivers_cannot_be_had_nothing_is_taken_up(node: Node) -> None:
    """Not even the rules of the same file: it counts as a whole. Put right, it does."""
    node.cannot = "cannot listen on 0.0.0.0 port 104: it is in use"
    node.config.write_text(CONFIG.replace("data: data", "data: data, listen: {port: 104}"))
    node.write("chest", RULE % ("chest", "MR"))
    node.look(4)
    assert node.used == []
    [event] = node.events(REFUSED)
    assert "cannot listen on 0.0.0.0 port 104" in event.detail["problems"][0]
    assert in_force.read(node.config.parent / "data" / in_force.FILE).configuration.node.listen.port == 11112
    node.cannot = ""
    node.reload.ask()
    node.look()
    assert node.used[-1].node.listen.port == 104


def test_a_quiet_period_needs_no_other_receivers(node: Node) -> None:
    """It is the indexer's."""
    node.config.write_text(CONFIG.replace("CT1}", "CT1, quiet: 5s}"))
    node.look()
    assert node.asked == []
    assert node.used[0].modalities["ct1"].quiet == timedelta(seconds=5)


def test_a_change_that_a_dying_node_could_not_tell_is_told_by_the_next(node: Node) -> None:
    """The supervisor puts it in force; then the node dies before it has written its event."""
    node.dies = True
    node.config.write_text(CONFIG.replace("CT1}", "CT9}"))
    with pytest.raises(KeyboardInterrupt):
        node.look()
    assert node.events(CHANGED) == []
    node.start_again()
    assert node.events(CHANGED)[0].detail["changed"] == ["modalities"]
    node.start_again()
    assert len(node.events(CHANGED)) == 1


def test_a_new_destination_is_taken_up_with_the_rules_that_send_there(node: Node) -> None:
    """It may call as well, so receivers have to know it; a new port of a known one is the outbox's alone."""
    new = "  other: {ae_title: OTHER, host: 10.0.0.9, port: 105}\nrules:"
    node.config.write_text(CONFIG.replace("rules:", new))
    node.write("chest", (RULE % ("chest", "CT")).replace("pacs", "other"))
    node.look()
    assert node.used[0].destinations["other"].port == 105
    assert node.events(CHANGED)[0].detail["changed"] == ["destinations"]
    assert len(node.asked) == 1
    node.config.write_text(CONFIG.replace("rules:", new).replace("port: 105", "port: 106"))
    node.look()
    assert node.used[1].destinations["other"].port == 106
    assert len(node.asked) == 1


def test_asked_for_a_reload_it_does_not_wait_for_the_second_look(node: Node) -> None:
    """SIGHUP."""
    node.write("chest", RULE % ("chest", "MR"))
    node.reload.ask()
    assert node.reload.bell.is_set()
    node.look(1)
    assert node.names() == ["chest"]


def test_parameters_of_a_plugin_are_taken_up(node: Node) -> None:
    """The rules are the same; what they run is not."""
    node.config.write_text(CONFIG.replace("rules:", "plugins: {lung-density: {attempts: 7}}\nrules:"))
    node.look()
    assert node.used[0].plugins["lung-density"].attempts == 7


def test_a_reader_that_fails_changes_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with it: the old rules stay, the log has the reason."""

    def broken(_: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(loading, "read", broken)
    node.write("chest", RULE % ("chest", "MR"))
    node.look()
    assert node.used == []
    assert "KeyError" in node.events(REFUSED)[0].detail["problems"][0]


def test_finding_m1_files_saved_before_the_clock_was_set_back_are_read_once(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their times are still to come: that is no sign that somebody saved them while they were being read."""
    node.write("chest", RULE % ("chest", "MR"))
    hour_ahead = time.time() + 3600
    for path in (node.config, node.folder / "chest.yaml"):
        os.utime(path, (hour_ahead, hour_ahead))
    read, reads = loading.read, []
    monkeypatch.setattr(loading, "read", lambda path: reads.append(path) or read(path))
    node.look(6)
    assert node.names() == ["chest"]
    assert reads == [node.config]
