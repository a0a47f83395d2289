"""`pacsnode retention`: what would go, what stays, why, how long the disk will do; and a run that somebody begins."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from node.ledger import outdated, retention_runs
from node.ledger.database import Ledger
from tests.support.sites.calls import Run
from tests.support.sites.past import CONFIG

RETENTION = "retention: {unmatched: 2d, images: 30d, results: 90d, events: 5y, work: 1d}\n"


@pytest.fixture
def with_retention(config: Path) -> Path:
    config.write_text(CONFIG + RETENTION)
    return config


def test_it_says_what_would_go_and_what_stays_and_why(run: Run, with_retention: Path, ledger: Ledger) -> None:
    """The site's past is months old: two studies have results that are not delivered or not reported, one is held."""
    answer = run("retention", "--dry-run", "--config", with_retention)
    assert answer.code == 0
    assert "images" in answer.out
    assert "a job is not finished" in " ".join(answer.out.split())
    assert "kept" in next(line for line in answer.out.splitlines() if line.startswith("facts"))
    assert "are free" in answer.out


def test_scripts_get_stable_keys_and_nothing_has_changed(run: Run, with_retention: Path, ledger: Ledger) -> None:
    """No run begins, and no study begins to go."""
    before = ledger.database.execute("SELECT count(*) FROM events").fetchone()
    found = json.loads(run("retention", "--dry-run", "--json", "--config", with_retention).out)
    assert {each["class"]: each["of"] for each in found["classes"]} == {
        "work": "files",
        "unmatched": "studies",
        "fetched": "studies",
        "images": "studies",
        "results": "jobs",
        "facts": "rows",
        "delivered_objects": "rows",
        "events": "rows",
    }
    images = next(each for each in found["classes"] if each["class"] == "images")
    assert (images["age_seconds"], images["going"]) == (30 * 86400, 0)
    assert sum(images["kept"].values()) == 2
    unmatched = next(each for each in found["classes"] if each["class"] == "unmatched")
    assert sum(unmatched["kept"].values()) == 2  # one is held, one is still arriving
    assert found["last_run"] is None
    assert ledger.database.execute("SELECT count(*) FROM events").fetchone() == before


def test_the_days_that_are_left_come_from_the_last_seven(
    run: Run, with_retention: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GiB a day came and a quarter went; what may fill up of 9.5 GiB, of which 2 stay free, is full in ten days."""
    usage = shutil.disk_usage(with_retention.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=int(9.5 * 2**30)))
    monkeypatch.setattr(outdated, "received_since", lambda *_: 7 * 2**30)
    monkeypatch.setattr(outdated, "removed_since", lambda *_: 7 * 2**28)
    assert "10 days are left" in run("retention", "--dry-run", "--config", with_retention).out
    monkeypatch.setattr(outdated, "removed_since", lambda *_: 8 * 2**30)
    assert "The disk does not fill" in run("retention", "--dry-run", "--config", with_retention).out


def test_a_person_begins_a_run_under_their_name_and_once(run: Run, with_retention: Path, ledger: Ledger) -> None:
    """A running node goes on with it."""
    assert "goes now" in run("retention", "--config", with_retention).out
    began = retention_runs.under_way(ledger.database)
    assert began is not None
    assert began.asked_by.startswith("os:")
    assert "under way already" in run("retention", "--config", with_retention).out


def test_where_nothing_is_ever_deleted_it_says_so(run: Run, config: Path, ledger: Ledger) -> None:
    """A usage error, and where to read on; --dry-run shows that everything is kept."""
    answer = run("retention", "--config", config)
    assert answer.code == 2
    assert "nothing is deleted: the configuration has no retention" in answer.err
    rows = [line.split() for line in run("retention", "--dry-run", "--config", config).out.splitlines()[2:10]]
    assert {row[1] for row in rows} == {"kept"}


def test_no_patient_is_named(run: Run, with_retention: Path, ledger: Ledger) -> None:
    """Neither in the table nor for scripts."""
    for more in ((), ("--json",)):
        assert "SECRET" not in run("retention", "--dry-run", "--config", with_retention, *more).out
