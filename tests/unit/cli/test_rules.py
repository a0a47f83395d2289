"""`rules`: which versions were in force, what one said, how two differ."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from node.app.reload import Reload
from node.config import in_force, loading
from node.config.in_force import InForce
from node.ledger.database import FILE, Ledger
from node.run.catalogue import Catalogues
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from rules.model import rule_set_digest
from tests.support.clocks import HandClock
from tests.support.sites.calls import Run

HEAD = "node: {time_zone: Asia/Seoul, data: data}\nrules: [rules.yaml]\n"
RULE = """\
- name: %s
  description: Once a year, Bosniak's "cysts"
  when:
    all:
      - Modality: CT
      - StudyDate: {after: 2024-03-01}
      - any: [{StudyDescription: {matches: ["*chest*", "*흉부*"]}}, {PatientAge: {matches: "0*"}}]
      - patient_age: {at_least: %s}
  hours: {open: [{between: ["18:00", "07:00"], dates: [2026-12-25]}]}
  limits: {cool_down: 30 days}
  sample: 12.5 %%
  choose: {where: {SliceThickness: {at_most: 1.5}}, prefer: [{SliceThickness: smallest}]}
  run: {plugin: lung-density, parameters: {maximum_slice_mm: 1.5}}
  mode: shadow
"""


@pytest.fixture
def digests(tmp_path: Path) -> list[str]:
    """Two versions that were in force, the first one again at last; by the file that stands there now."""
    config = tmp_path / "config.yaml"
    config.write_text(HEAD)
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULE % ("chest", 18))
    (tmp_path / "data").mkdir()
    ledger = Ledger(tmp_path / "data" / FILE)
    clock = HandClock()
    loaded = loading.read(config)
    running = InForce.of(loaded, clock.now(), "hong")
    in_force.write(running)
    node = Node(ledger, DataFolder(tmp_path / "data"), clock, Wakes())
    reload = Reload(node, running, Catalogues(), lambda _wanted, _parties: None)
    found = [rule_set_digest(loaded.configuration.rules)]
    for text in (RULE % ("chest", 21) + RULE % ("second", 18), RULE % ("chest", 18)):
        clock.pass_(hours=1)
        rules.write_text(text)
        reload.ask()
        reload.run_once()
        found.append(rule_set_digest(loading.read(config).configuration.rules))
    ledger.close()
    return found


def test_the_versions_are_listed_newest_first(run: Run, digests: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Since when, by whom, what came, went and changed; also at 80 columns."""
    found = run("rules", "--json").json
    assert [each["digest"] for each in found["versions"]] == digests[::-1]
    assert found["rule_set"] == digests[0] == digests[2] != digests[1]
    newest, middle, first = found["versions"]
    assert (first["added"], first["by"]) == (["chest"], "hong")
    assert (middle["added"], middle["changed"], middle["rules"]) == (["second"], ["chest"], 2)
    assert (newest["removed"], newest["changed"]) == (["second"], ["chest"])
    said = run("rules").out
    assert "new: second; changed: chest" in said
    assert "(owner of rules.yaml)" in said
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, run("rules").out.splitlines())) <= 80


def test_a_version_is_written_as_a_file_that_brings_it_back(run: Run, digests: list[str], tmp_path: Path) -> None:
    """What it writes, read again, is the same version; nothing that is not asked for stands in it."""
    said = run("rules", digests[1][:6]).out
    assert said.startswith(f"# version {digests[1]}\n")
    assert "priority" not in said
    (tmp_path / "rules.yaml").write_text(said)
    assert rule_set_digest(loading.read(tmp_path / "config.yaml").configuration.rules) == digests[1]
    assert run("rules", digests[1], "--json").json["rules"][0]["name"] == "chest"


def test_two_versions_are_compared(run: Run, digests: list[str]) -> None:
    """What the second changed; the same twice says so."""
    said = run("rules", digests[0], digests[1]).out
    assert re.search(r"^- +at_least: 18\n\+ +at_least: 21$", said, re.MULTILINE)
    assert f"+++ second {digests[1][:8]}\n" in said
    assert "+  - name: second" in said
    assert run("rules", digests[0], digests[1], "--json").json["diff"] == said.rstrip("\n")
    assert run("rules", digests[0], digests[0]).out == "The two say the same.\n"


def test_a_version_that_never_was_is_said_to_be_none(run: Run, digests: list[str]) -> None:
    """Exit code 1; also for a beginning that several have."""
    assert digests
    assert (run("rules", "ffffffffff").code, run("rules", "").code) == (1, 1)
    assert "begins 2 versions" in run("rules", "").err
