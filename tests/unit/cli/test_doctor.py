"""`pacsnode doctor` on a site whose node does not run, and which has never received anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.desk.doctor import machine_checks, plugin_checks
from node.dimse.demo_pacs import DemoPACS
from node.run.confinement import Confinement
from tests.support.ports import free_port
from tests.support.sites.calls import Run

WHOLE = Confinement(True, "isolated: plugins run as pacsnode-plugin", "")


@pytest.fixture(autouse=True)
def _confined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine allows, and wherever its temporary files are."""
    monkeypatch.setattr(plugin_checks, "tried", lambda configuration: WHOLE)
    monkeypatch.setattr(machine_checks, "file_system", lambda folder: "ext4")


def site(folder: Path, pacs_port: int) -> None:
    """Its configuration."""
    (folder / "data").mkdir(mode=0o700)
    (folder / "config.yaml").write_text(
        f"node: {{time_zone: UTC, listen: {{host: 127.0.0.1, port: {free_port()}}}}}\n"
        f"destinations: {{pacs: {{ae_title: PACS, host: 127.0.0.1, port: {pacs_port}}}}}\n"
    )


def test_a_sound_site_has_nothing_wrong_and_nothing_is_changed(run: Run, tmp_path: Path) -> None:
    """What cannot be seen from here is said to be so."""
    with DemoPACS(tmp_path / "pacs", "PACS") as pacs:
        site(tmp_path, pacs.port)
        done = run("doctor", "--json")
    found = {each["what"]: each for each in done.json["findings"]}
    assert done.code == 0
    assert not [each for each in found.values() if each["diagnosis"] == "wrong"]
    assert found["destination pacs"]["said"].startswith(f"PACS at 127.0.0.1:{pacs.port} answers, and takes results")
    assert found["ledger"]["diagnosis"] == "not seen"
    assert list((tmp_path / "data").iterdir()) == []


def test_what_is_wrong_has_a_next_step_and_ends_with_one(run: Run, tmp_path: Path) -> None:
    """A PACS that is not there, and a data folder that everybody can look into."""
    site(tmp_path, free_port())
    done = run("doctor")
    assert done.code == 1
    lines = done.out.splitlines()
    (wrong,) = [number for number, line in enumerate(lines) if line.startswith("wrong     destination pacs")]
    assert any("→ Ask whether it runs" in line for line in lines[wrong + 1 : wrong + 4])


def test_a_configuration_that_cannot_be_used_is_said_as_check_says_it(run: Run, tmp_path: Path) -> None:
    """Exit code 2."""
    (tmp_path / "config.yaml").write_text("node: {time_zone: Nowhere}\n")
    done = run("doctor")
    assert done.code == 2
    assert "config.yaml:1" in done.err
