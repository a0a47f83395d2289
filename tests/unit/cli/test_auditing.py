"""`pacsnode audit`: verify says where the trail is broken, show and export say who did what, and are recorded."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from node.audit.stage import AuditStage
from node.audit.trail import files_in, folder_of
from node.config import loading
from node.ledger.database import Ledger
from node.stage import Node
from node.store.layout import DataFolder
from node.wake import Wakes
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.sites.calls import Run
from tests.support.sites.past import GOOD, NOW


@pytest.fixture
def trail(config: Path, ledger: Ledger) -> Path:
    """The folder with the trail of the site's past."""
    data = DataFolder(config.parent / "data")
    stage = AuditStage(Node(ledger, data, HandClock(NOW), Wakes()), loading.read(config).configuration)
    while not stage.run_once():
        pass
    return folder_of(data.data)


def test_a_trail_that_is_right_gives_a_checkpoint_to_note(run: Run, config: Path, trail: Path) -> None:
    """With it, what was made again as a whole is found out."""
    answer = run("audit", "verify", "--config", config)
    assert answer.code == 0
    summary, checkpoint = answer.out.splitlines()
    assert summary.endswith("entries; as they were written")
    noted = checkpoint.removeprefix("checkpoint ")
    assert run("audit", "verify", "--config", config, "--checkpoint", noted).code == 0
    other = f"{noted[:-1]}{'1' if noted[-1] == '0' else '0'}"
    answer = run("audit", "verify", "--config", config, "--checkpoint", other, "--json")
    assert answer.code == 1
    assert "is not the one that was written" in json.loads(answer.out)["breaks"][0]["what"]
    answer = run("audit", "verify", "--config", config, "--checkpoint", "12")
    assert (answer.code, "NUMBER:DIGEST" in answer.err) == (2, True)


def test_verify_says_where_it_is_broken_and_fails(run: Run, config: Path, trail: Path) -> None:
    """File, line and what."""
    (file,) = files_in(trail)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], *lines[3:-1]]))
    answer = run("audit", "verify", "--config", config)
    assert answer.code == 1
    assert f"{file.name}, line 3: entries 3 to 3 were removed" in answer.out
    assert f"the end was cut off: entries {len(lines)} to {len(lines)} are missing" in answer.out
    assert "NOT as they were written" in answer.out


def test_show_finds_by_study_person_kind_and_time(run: Run, config: Path, trail: Path, ledger: Ledger) -> None:
    """No patient without --identify; that somebody looked is an event."""
    every = ("audit", "show", "--config", config, "--since", "")
    found = json.loads(run(*every, "--json").out)["entries"]
    assert {"delivery.delivered", "study.first-received"} <= {each["kind"] for each in found}
    assert not any("patient_id" in each for each in found)
    named = json.loads(run(*every, "--json", "--identify", "--study", GOOD[-6:]).out)["entries"]
    assert {each["study"] for each in named} == {GOOD}
    assert all(each["patient_id"] for each in named)
    by_accession = json.loads(run(*every, "--json", "--study", "20260302-0017").out)["entries"]
    assert len(by_accession) == len(named)
    shown = run(*every, "--kind", "delivery", "--person", "node").out
    assert "delivery.delivered" in shown
    assert "study." not in shown
    assert json.loads(run(*every, "--json", "--until", "2026-01-01").out)["entries"] == []
    two = json.loads(run(*every, "--json", "--limit", "2").out)
    assert (two["entries"], two["more"]) == (found[-2:], True)
    (event,) = history.latest(ledger.database, 1)
    assert (event.kind, event.actor[:3], event.detail["how"]) == ("audit.used", "os:", "show")


def test_export_prints_the_messages_as_they_are(run: Run, config: Path, trail: Path) -> None:
    """XML or JSON, one a line."""
    xml = run("audit", "export", "--config", config).out.splitlines()
    assert {fromstring(each).tag for each in xml} == {"AuditMessage"}
    entries = [json.loads(each) for each in run("audit", "export", "--config", config, "--as", "json").out.splitlines()]
    assert [each["message"] for each in entries] == xml
