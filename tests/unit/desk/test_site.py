"""How a configuration file and what is in force stand to each other, and that YAML is read only where it has to be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config import in_force, loading
from node.config.in_force import InForce
from node.desk import site
from node.serve.listening import LISTENING
from tests.support.sites.past import CONFIG, NOW

RULES = """
- name: one
  when: {Modality: CT}
  choose: {where: {Modality: CT}}
  run: lung-density
  send: pacs
  mode: pilot
"""


@pytest.fixture
def started(config: Path) -> Path:
    """The node runs, by this configuration and a file of rules."""
    config.write_text(CONFIG + "rules: ['rules/*.yaml']\n")
    (config.parent / "rules").mkdir()
    (config.parent / "rules" / "one.yaml").write_text(RULES)
    for path in (config, config.parent / "rules" / "one.yaml"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    _start(config)
    return config


def _start(config: Path) -> None:
    in_force.write(InForce.of(loading.read(config), NOW, "hong"))
    (config.parent / "data" / LISTENING).write_text(json.dumps({"pid": os.getpid(), "port": 1, "tls_port": None}))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, started: Path) -> list[Path]:
    """Configurations that are read as YAML."""
    found: list[Path] = []
    read = loading.read

    def counted(path: Path) -> loading.LoadedConfiguration:
        found.append(path)
        return read(path)

    monkeypatch.setattr(loading, "read", counted)
    return found


def test_what_is_in_force_as_it_stands_in_the_files_is_not_read_again(started: Path, reads: list[Path]) -> None:
    """Nothing is pending, and the rules are there."""
    found = site.standing(started)
    assert found.running is not None
    assert (found.headlines, found.needs_restart, found.pending) == ((), (), False)
    assert [rule.name for rule in found.configuration.rules] == ["one"]
    assert site.known(started) == site.LedgerConfiguration(found.configuration)
    assert reads == []


def _broken(config: Path) -> None:
    config.write_text(config.read_text() + "destinatoins: {}\n")


def _same_size(config: Path) -> None:
    text = config.read_text()
    config.write_text(text.replace("11113", "11119"))
    os.utime(config, (1_700_000_000, 1_700_000_000))


def _other_rule(config: Path) -> None:
    (config.parent / "rules" / "one.yaml").write_text(RULES.replace("CT", "MR"))


def _one_more(config: Path) -> None:
    (config.parent / "rules" / "two.yaml").write_text(RULES.replace("one", "two"))


def _one_less(config: Path) -> None:
    (config.parent / "rules" / "one.yaml").unlink()


@pytest.mark.parametrize("change", [_broken, _same_size, _other_rule, _one_more, _one_less])
def test_whatever_changes_in_the_files_is_noticed(
    started: Path, reads: list[Path], change: Callable[[Path], None]
) -> None:
    """Another content of the same length and time, another file of rules, one more, one less, a slip."""
    change(started)
    found = site.standing(started)
    assert found.pending or found.headlines
    assert [rule.name for rule in found.configuration.rules] == ["one"]
    assert reads == [started]


def test_a_slip_in_the_file_does_not_hide_what_is_in_force(started: Path) -> None:
    """The configuration is the one in force, and what is wrong with the file is returned."""
    _broken(started)
    found = site.known(started)
    assert [rule.name for rule in found.configuration.rules] == ["one"]
    assert found.headline is not None
    assert "destinatoins" in found.headline


def test_what_only_a_restart_takes_up_is_told_while_the_file_says_so(started: Path) -> None:
    """The rest of the file is in force by now, so its digest alone would hide what is not."""
    started.write_text(started.read_text().replace("Asia/Seoul", "Europe/Paris"))
    last = in_force.find(started)
    assert last is not None
    in_force.write(last.taking_up(loading.read(started)))
    assert site.standing(started).needs_restart == ["node.time_zone"]


def test_a_file_that_the_configuration_names_and_that_is_gone_is_told(started: Path) -> None:
    """The YAML is as it was, and can no longer be taken up: the token of a webhook was deleted."""
    token = started.parent / "token"
    token.write_text("secret")
    started.write_text(
        started.read_text() + "people:\n  duty: {webhook: {url: 'https://pager.example/', token_file: token}}\n"
    )
    os.utime(started, (1_700_000_000, 1_700_000_000))
    _start(started)
    assert site.standing(started).headlines == ()
    token.unlink()
    assert len(site.standing(started).headlines) == 1
    assert "secret" not in (started.parent / "data" / in_force.FILE).read_text()


def test_a_file_that_was_saved_while_it_was_read_is_not_trusted(started: Path, reads: list[Path]) -> None:
    """Its digest could be of what was not read: time stamps of now or later count for nothing."""
    os.utime(started, (4_000_000_000, 4_000_000_000))
    _start(started)
    reads.clear()
    assert not site.standing(started).pending
    assert reads == [started]


def test_what_an_earlier_release_kept_is_read_with_the_files(started: Path, reads: list[Path]) -> None:
    """Without digests nothing is known of the files: they are read."""
    kept = started.parent / "data" / in_force.FILE
    said = json.loads(kept.read_text())
    del said["files"], said["patterns"]
    kept.write_text(json.dumps(said))
    assert not site.standing(started).pending
    assert reads == [started]
