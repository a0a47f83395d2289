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

from node.accounts.roles import Role
from node.app.alerts import AlertSweep
from node.app.reload import NotInForceError, Reload
from node.config import in_force, loading
from node.config.destinations import dicom_destinations
from node.config.in_force import InForce
from node.config.models import Configuration
from node.config.sections import Party
from node.desk import configuration_files
from node.desk.actor import Actor, ActorKind
from node.desk.configuration_files import ConfigurationFile, FileEdit
from node.ledger import decisions
from node.ledger.database import FILE, Ledger
from node.ledger.event_kinds import EventKind
from node.ledger.events import Event
from node.run.catalogue import Catalogues
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from rules.model import rule_set_digest
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.dimse.certificates import Certificates, signed_by_itself

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


class ReloadRoom:
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
        self.node = Node(self.ledger, DataFolder(folder / "data"), self.clock, Wakes())
        self.used: list[Configuration] = []
        self.parties: list[frozenset[Party]] = []
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
        self.reload = Reload(self.node, running, Catalogues(), self._take_up)
        self.look()

    def _take_up(self, wanted: InForce, parties: frozenset[Party]) -> None:
        (self._with_receivers if Party.RECEIVERS in parties else in_force.write)(wanted)
        self.used.append(wanted.configuration)
        self.parties.append(parties)

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
        return [each for each in history.latest(self.ledger.database, 100) if each.kind == kind]


@pytest.fixture
def node(tmp_path: Path) -> ReloadRoom:
    return ReloadRoom(tmp_path)


def test_the_rules_of_the_start_are_a_version(node: ReloadRoom) -> None:
    """With who started it, their text kept; the first look changes nothing."""
    [event] = node.events(EventKind.RULES_IN_FORCE)
    assert (event.detail["by"], event.detail["added"], event.detail["previous"]) == ("hong", ["chest"], None)
    kept = decisions.rule_set(node.ledger.database, event.detail["digest"])
    assert kept is not None
    assert json.loads(kept)[0]["name"] == "chest"
    assert node.used == []


def test_a_saved_file_is_taken_up_once_it_has_come_to_rest(node: ReloadRoom) -> None:
    """Not by the look that sees the change: an editor may still be writing."""
    node.write("chest", RULE % ("chest", "MR"))
    node.look(1)
    assert node.used == []
    node.look(1)
    assert node.used[0].rules[0].when.plain == {"Modality": "MR"}
    node.look(3)
    assert len(node.used) == 1


def test_people_are_taken_up_with_the_rules_that_tell_them_and_alone(node: ReloadRoom) -> None:
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
    assert node.events(EventKind.CONFIGURATION_NEEDS_RESTART) == []
    node.start_again()
    assert in_force.read(node.config.parent / "data" / in_force.FILE).configuration.people["duty"].webhook == webhook


def test_each_version_is_kept_with_what_changed_and_whose_file_it_is(node: ReloadRoom) -> None:
    """Names of what came, went and changed, a diff, the version before."""
    first = node.events(EventKind.RULES_IN_FORCE)[0].detail["digest"]
    node.write("chest", RULE % ("chest", "MR"))
    node.write("head", RULE % ("head", "CT"))
    node.look()
    detail = node.events(EventKind.RULES_IN_FORCE)[0].detail
    assert (detail["added"], detail["removed"], detail["changed"]) == (["head"], [], ["chest"])
    assert detail["previous"] == first
    assert "-  Modality: CT\n+  Modality: MR" in detail["diff"]
    assert "owner of " in detail["by"]
    assert detail["digest"] == rule_set_digest(node.used[-1].rules)
    assert decisions.rule_set(node.ledger.database, detail["digest"]) is not None


def test_a_version_that_was_written_in_the_console_names_its_user(node: ReloadRoom) -> None:
    """Until somebody changes the file again in another way."""
    file = ConfigurationFile("rules.d/chest.yaml", (node.folder / "chest.yaml").resolve())
    node.write("chest", RULE % ("chest", "CT"))
    edit = FileEdit(file, configuration_files.read(file).digest, RULE % ("chest", "MR"))
    configuration_files.write(node.ledger, edit, HandClock().now(), Actor(ActorKind.USER, "kim", Role.ADMIN))
    node.look()
    assert node.events(EventKind.RULES_IN_FORCE)[0].detail["by"] == "user:kim"
    node.write("chest", RULE % ("chest", "CT"))
    node.look()
    assert "owner of " in node.events(EventKind.RULES_IN_FORCE)[0].detail["by"]


def test_a_new_file_that_the_pattern_matches_belongs_to_it_and_a_removed_one_no_more(node: ReloadRoom) -> None:
    """Nobody has to touch the configuration itself."""
    node.write("head", RULE % ("head", "CT"))
    node.look()
    assert node.names() == ["chest", "head"]
    (node.folder / "head.yaml").unlink()
    node.look()
    assert node.names() == ["chest"]


def test_fault_76_a_bad_file_leaves_the_old_rules_in_force_and_is_told_once(node: ReloadRoom) -> None:
    """With file, line, column, caret and what was meant; again only for another content."""
    node.write("chest", (RULE % ("chest", "CT")).replace("lung-density", "lung-densty"))
    with structlog.testing.capture_logs() as logs:
        node.look(5)
    assert node.used == []
    [event] = node.events(EventKind.RULES_REFUSED)
    [alert] = history.open_alerts(node.ledger.database)
    assert (alert.kind, alert.place) == (EventKind.RULES_REFUSED, str(node.config))
    assert "chest.yaml:4:8: [0].run: there is no plugin" in event.detail["problems"][0]
    assert 'did you mean "lung-density"?' in event.detail["problems"][0]
    assert "^~~~" in event.detail["shown"]
    assert [each["event"] for each in logs] == ["app.rules-refused"]
    node.write("chest", "- name: [")
    node.look(4)
    assert len(node.events(EventKind.RULES_REFUSED)) == 2


def test_rules_whose_tests_fail_do_not_go_live(node: ReloadRoom) -> None:
    """A right file with a wrong rule: refused, at the line of what was expected."""
    tests = "tests:\n  - name: a CT\n    given: {Modality: CT}\n    expect: {chest: match}\n"
    rules = "rules:\n" + (RULE % ("chest", "CT")).replace("\n", "\n  ").replace("- name", "  - name").rstrip() + "\n"
    node.write("chest", rules + tests)
    node.look()
    assert node.events(EventKind.RULES_REFUSED) == []
    node.write("chest", rules.replace("Modality: CT", "Modality: MR") + tests)
    node.look()
    assert node.used == []
    assert "chest.yaml:11:14" in node.events(EventKind.RULES_REFUSED)[0].detail["problems"][0]
    assert "does not match" in node.events(EventKind.RULES_REFUSED)[0].detail["problems"][0]


def test_the_same_bad_file_is_not_told_again_by_a_node_that_is_started_again(node: ReloadRoom) -> None:
    """And that node goes by what was in force, not by the file."""
    node.write("chest", "- name: [")
    node.look()
    node.start_again()
    node.look()
    assert len(node.events(EventKind.RULES_REFUSED)) == 1
    node.write("chest", RULE % ("chest", "MR"))
    node.look()
    assert node.names() == ["chest"]


def test_what_was_refused_and_put_back_is_in_force_again(node: ReloadRoom) -> None:
    """The last word on the rules is then no refusal."""
    node.write("chest", "")
    node.look()
    node.write("chest", RULE % ("chest", "CT"))
    node.look()
    assert [each.kind for each in history.latest(node.ledger.database, 2)] == [
        EventKind.RULES_IN_FORCE,
        EventKind.RULES_REFUSED,
    ]
    assert history.open_alerts(node.ledger.database) == []


def test_a_file_of_rules_that_is_new_and_bad_is_watched_too(node: ReloadRoom) -> None:
    """Its mistake is put right in itself, not in any file that was known before."""
    node.config.write_text(CONFIG + "  - more/*.yaml\n")
    more = node.config.parent / "more"
    more.mkdir()
    (more / "x.yaml").write_text("- name: [")
    node.look()
    assert len(node.events(EventKind.RULES_REFUSED)) == 1
    (more / "x.yaml").write_text(RULE % ("more", "CT"))
    node.look()
    assert node.names() == ["chest", "more"]


def test_what_takes_a_restart_is_told_and_the_rules_of_the_same_file_are_taken_up(node: ReloadRoom) -> None:
    """Said once, by name."""
    node.config.write_text(CONFIG.replace("data: data", "data: other, jobs_at_once: 7"))
    node.write("chest", RULE % ("chest", "MR"))
    node.look(4)
    [event] = node.events(EventKind.CONFIGURATION_NEEDS_RESTART)
    assert event.detail["changed"] == ["node.data", "node.jobs_at_once"]
    assert node.names() == ["chest"]
    assert node.used[0].node.data == node.config.parent / "data"
    assert node.events(EventKind.CONFIGURATION_IN_FORCE) == []
    assert node.asked == []


def test_receivers_are_asked_for_before_anything_is_taken_up(node: ReloadRoom) -> None:
    """What they go by is in force once they are there, together with the rules of the same file, and is told."""
    node.config.write_text(CONFIG.replace("CT1}", "CT9}").replace("data: data", "data: data, receivers: 2"))
    node.write("chest", RULE % ("chest", "MR"))
    node.look(4)
    [wanted] = node.asked
    assert wanted.configuration.modalities["ct1"].ae_title == "CT9"
    [used] = node.used
    assert (used.node.receivers, used.rules[0].when.plain) == (2, {"Modality": "MR"})
    assert node.events(EventKind.CONFIGURATION_IN_FORCE)[0].detail["changed"] == ["node.receivers", "modalities"]
    node.start_again()
    node.look()
    assert len(node.asked) == len(node.events(EventKind.CONFIGURATION_IN_FORCE)) == 1
    assert (node.events(EventKind.CONFIGURATION_NEEDS_RESTART), node.events(EventKind.RULES_REFUSED)) == ([], [])


def test_where_receivers_cannot_be_had_nothing_is_taken_up(node: ReloadRoom) -> None:
    """Not even the rules of the same file: it counts as a whole. Put right, it does."""
    node.cannot = "cannot listen on 0.0.0.0 port 104: it is in use"
    node.config.write_text(CONFIG.replace("data: data", "data: data, listen: {port: 104}"))
    node.write("chest", RULE % ("chest", "MR"))
    node.look(4)
    assert node.used == []
    [event] = node.events(EventKind.RULES_REFUSED)
    assert "cannot listen on 0.0.0.0 port 104" in event.detail["problems"][0]
    assert in_force.read(node.config.parent / "data" / in_force.FILE).configuration.node.listen.port == 11112
    node.cannot = ""
    node.reload.ask()
    node.look()
    assert node.used[-1].node.listen.port == 104


def test_a_quiet_period_needs_no_other_receivers(node: ReloadRoom) -> None:
    """It is the indexer's."""
    node.config.write_text(CONFIG.replace("CT1}", "CT1, quiet: 5s}"))
    node.look()
    assert node.asked == []
    assert node.used[0].modalities["ct1"].quiet == timedelta(seconds=5)


def test_a_change_that_a_dying_node_could_not_tell_is_told_by_the_next(node: ReloadRoom) -> None:
    """The supervisor puts it in force; then the node dies before it has written its event."""
    node.dies = True
    node.config.write_text(CONFIG.replace("CT1}", "CT9}"))
    with pytest.raises(KeyboardInterrupt):
        node.look()
    assert node.events(EventKind.CONFIGURATION_IN_FORCE) == []
    node.start_again()
    assert node.events(EventKind.CONFIGURATION_IN_FORCE)[0].detail["changed"] == ["modalities"]
    node.start_again()
    assert len(node.events(EventKind.CONFIGURATION_IN_FORCE)) == 1


def test_a_new_destination_is_taken_up_with_the_rules_that_send_there(node: ReloadRoom) -> None:
    """It may call as well, so receivers have to know it; a new port of a known one is the outbox's alone."""
    new = "  other: {ae_title: OTHER, host: 10.0.0.9, port: 105}\nrules:"
    node.config.write_text(CONFIG.replace("rules:", new))
    node.write("chest", (RULE % ("chest", "CT")).replace("pacs", "other"))
    node.look()
    assert dicom_destinations(node.used[0].destinations)["other"].port == 105
    assert node.events(EventKind.CONFIGURATION_IN_FORCE)[0].detail["changed"] == ["destinations"]
    assert len(node.asked) == 1
    node.config.write_text(CONFIG.replace("rules:", new).replace("port: 105", "port: 106"))
    node.look()
    assert dicom_destinations(node.used[1].destinations)["other"].port == 106
    assert len(node.asked) == 1


def test_asked_for_a_reload_it_does_not_wait_for_the_second_look(node: ReloadRoom) -> None:
    """SIGHUP."""
    node.write("chest", RULE % ("chest", "MR"))
    node.reload.ask()
    assert node.reload.bell.is_set()
    node.look(1)
    assert node.names() == ["chest"]


@pytest.mark.parametrize(
    "use",
    [{"attempts": 7}, {"isolation": "off"}, {"resources": {"cpus": 1.5}}, {"warm": "off"}, {"memory": "1GiB"}],
    ids=str,
)
def test_what_a_plugin_is_run_by_is_taken_up(node: ReloadRoom, use: dict[str, Any]) -> None:
    """The rules are the same; what they run, or how, is not."""
    node.config.write_text(CONFIG.replace("rules:", f"plugins: {{lung-density: {json.dumps(use)}}}\nrules:"))
    node.look()
    assert node.used[0].plugins["lung-density"].model_dump(mode="json", exclude_unset=True).keys() == use.keys()
    assert Party.NODE in node.parties[0]


def test_a_reader_that_fails_changes_nothing(node: ReloadRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with it: the old rules stay, the log has the reason."""

    def broken(_: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(loading, "read", broken)
    node.write("chest", RULE % ("chest", "MR"))
    node.look()
    assert node.used == []
    assert "an error in the program (test_reload.py" in node.events(EventKind.RULES_REFUSED)[0].detail["problems"][0]


def test_finding_m1_files_saved_before_the_clock_was_set_back_are_read_once(
    node: ReloadRoom, monkeypatch: pytest.MonkeyPatch
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


def test_finding_m11_a_half_renewed_certificate_is_no_alert_once_the_other_half_is_there(
    node: ReloadRoom, tmp_path: Path
) -> None:
    """Certificate first, its key a moment later: refused in between, and then nothing is left to be done."""
    for name in ("node", "renewed"):
        signed_by_itself(tmp_path, name)
    tls = "{port: 2762, certificate: node.pem, key: node.key, client_certificates: none}"
    node.config.write_text(CONFIG.replace("data: data", f"data: data, listen: {{tls: {tls}}}"))
    node.look()
    (tmp_path / "renewed.pem").rename(tmp_path / "node.pem")
    node.look()
    [refused] = node.events(EventKind.RULES_REFUSED)
    assert "key values mismatch" in refused.detail["problems"][0]
    AlertSweep(node.node).run_once()
    assert [each.kind for each in history.open_alerts(node.ledger.database)] == [EventKind.RULES_REFUSED]
    node.clock.pass_(minutes=1)
    (tmp_path / "renewed.key").rename(tmp_path / "node.key")
    node.look()
    assert node.events(EventKind.CONFIGURATION_IN_FORCE)[0].detail["changed"] == ["certificates"]
    assert len(node.asked) == 2
    AlertSweep(node.node).run_once()
    assert history.open_alerts(node.ledger.database) == []


def test_finding_a8_a_list_of_revoked_certificates_that_was_gone_is_taken_up_when_it_is_back(
    node: ReloadRoom, tmp_path: Path
) -> None:
    """A fetch that failed removes it: refused, with an alert. The next one brings a list, under any name."""
    certificates = Certificates.made_in(tmp_path)
    (lists := tmp_path / "lists").mkdir()
    listed = certificates.list_revoked(lists / "root.crl")
    tls = "{port: 2762, certificate: server.pem, key: server.key, authorities: authority.pem, revoked: lists}"
    node.config.write_text(CONFIG.replace("data: data", f"data: data, listen: {{tls: {tls}}}"))
    node.look()
    assert len(node.asked) == 1
    listed.unlink()
    node.look()
    [refused] = node.events(EventKind.RULES_REFUSED)
    assert "has no file with a list of revoked certificates" in refused.detail["problems"][0]
    node.clock.pass_(minutes=1)
    certificates.revoke("ct1")
    certificates.list_revoked(lists / "next.crl")
    node.look()
    assert node.events(EventKind.CONFIGURATION_IN_FORCE)[0].detail["changed"] == ["certificates"]
    assert len(node.asked) == 2
    lists.rename(tmp_path / "elsewhere")
    node.look()
    assert "there is no file or folder" in node.events(EventKind.RULES_REFUSED)[0].detail["problems"][0]
    (tmp_path / "elsewhere").rename(lists)
    certificates.revoke("ct2")
    certificates.list_revoked(lists / "next.crl")
    node.look()
    assert len(node.asked) == 3
    AlertSweep(node.node).run_once()
    assert history.open_alerts(node.ledger.database) == []
