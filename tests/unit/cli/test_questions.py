"""`status` and `study`: what they show, and what they never do."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from node.cli.output import SEVERITY_STYLES
from node.ledger import database, studies
from node.ledger.database import Ledger
from node.run import confinement
from node.run.sandbox import Isolation
from node.store.health import Trouble, note_trouble
from tests.support.sites import past
from tests.support.sites.calls import Run
from tests.support.sites.past import ARRIVING, FAILED, GOOD, HELD, NOW


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("command", [["status"], ["study", "1.2"], ["retry", "1"], ["cancel", "1"]])
def test_no_ledger_is_made_where_there_is_none(run: Run, tmp_path: Path, command: list[str]) -> None:
    """Asking is not installing: exit code 1, and the folder is as it was."""
    answer = run(*command)
    assert answer.code == 1
    assert "there is no ledger" in answer.err
    assert answer.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.usefixtures("ledger")
def test_status_counts_what_the_ledger_holds(run: Run) -> None:
    """Four studies: one reported, one held, one failed, one arriving."""
    found = run("status", "--json").json
    assert found["running"] is False
    assert found["queues"]["studies"] == {"receiving": 1, "complete": 3, "undecided": 1, "held": 1}
    assert found["queues"]["jobs"]["reported"] == 1
    assert found["queues"]["deliveries"]["pacs"]["delivered"] == 1
    assert found["queues"]["deliveries"]["research"]["dead"] == 1
    assert [each["study_instance_uid"] for each in found["held_studies"]] == [HELD]
    assert [each["id"] for each in found["held_deliveries"]] == [3]
    assert [(each["id"], each["dimse_status"]) for each in found["dead_letters"]] == [(2, "A900")]
    assert [each["study_instance_uid"] for each in found["failures"]] == [FAILED]
    assert found["health"]["warnings"] == [
        *([found["health"]["isolation"]] if not found["health"]["isolated"] else []),
        "research: results are sent without an identity check (identity_check: none)",
    ]
    assert {each["study_instance_uid"] for each in found["studies"]} == {GOOD, HELD, FAILED, ARRIVING}


@pytest.mark.usefixtures("ledger")
def test_finding_x9_status_says_that_plugins_run_unconfined_as_root(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """First of the warnings, marked as an alert; in JSON too."""
    unconfined = confinement.of(Isolation(None, "bubblewrap is not installed"), as_root=True)
    monkeypatch.setattr(confinement, "tried", lambda: unconfined)
    health = run("status", "--json").json["health"]
    assert (health["isolated"], health["isolation"]) == (False, unconfined.text)
    assert health["warnings"][0].startswith("plugins run unconfined as root: not isolated")
    assert "plugins run unconfined as root" in run("status").out
    assert "red" in SEVERITY_STYLES[unconfined.severity]


@pytest.mark.usefixtures("ledger")
def test_json_is_all_that_stands_on_standard_output(run: Run) -> None:
    """One object from the first character to the last."""
    answer = run("study", GOOD, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)["study"]["study_instance_uid"] == GOOD


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("columns", ["80", "120"])
def test_tables_fit_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """No line is longer than the terminal is wide, and what names a study is never cut."""
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["status"], ["study", GOOD]):
        answer = run(*arguments)
        assert answer.code == 0
        assert max(map(len, answer.out.splitlines())) <= int(columns)
        assert "20260302-0017" in answer.out


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("command", [["status"], ["study", GOOD]])
def test_the_patient_is_shown_only_on_demand(run: Run, command: list[str]) -> None:
    """Not in tables, not in JSON, unless `--identify` is given."""
    for form in ([], ["--json"]):
        assert "SECRET-4711" not in run(*command, *form).out
        assert "SECRET-4711" in run(*command, *form, "--identify").out


@pytest.mark.usefixtures("ledger")
def test_what_the_ledger_holds_cannot_steer_the_terminal(run: Run) -> None:
    """Control characters are escaped and rich's markup is text."""
    out = run("status").out
    assert "\x1b" not in out
    assert "[bold]4 GB[/bold]" in out


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("name", [GOOD, "1772424000.4711", "…72424000.4711", "20260302-0017"])
def test_a_study_is_found_by_uid_by_its_end_and_by_accession_number(run: Run, name: str) -> None:
    """What `status` shows can be pasted."""
    assert run("study", name, "--json").json["study"]["study_instance_uid"] == GOOD


@pytest.mark.usefixtures("ledger")
def test_a_name_that_means_several_studies_is_refused_with_all_of_them(run: Run) -> None:
    """Exit code 2: nothing was shown of any."""
    answer = run("study", "1.2.840.113619")
    assert (answer.code, answer.out) == (2, "")
    assert all(uid in answer.err for uid in (GOOD, HELD, FAILED, ARRIVING))


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("name", ["9.9.9", "%", "_", ""])
def test_a_study_that_is_not_there_is_exit_code_1(run: Run, name: str) -> None:
    """Also for what a database would take for a pattern."""
    answer = run("study", name)
    assert answer.code == 1
    assert "there is no study" in answer.err


@pytest.mark.usefixtures("ledger")
def test_a_study_shows_events_decisions_jobs_and_deliveries(run: Run) -> None:
    """Everything there is, in order; the trace only with --explain."""
    found = run("study", GOOD, "--json").json
    kinds = [event["kind"] for event in found["events"]]
    assert kinds[:3] == ["study.first-received", "study.complete", "decision.matched"]
    assert [each["outcome"] for each in found["decisions"]] == ["matched"]
    assert [each["status"] for each in found["jobs"]] == ["reported"]
    assert [each["status"] for each in found["deliveries"]] == ["delivered", "dead", "held"]
    assert [each["status"] for each in found["identities"]] == ["differs"]
    assert "trace" not in found["decisions"][0]
    assert run("study", GOOD, "--json", "-v").json["decisions"][0]["trace"]["why"] == "it took series 3"


@pytest.mark.usefixtures("ledger")
def test_explain_prints_every_clause(run: Run) -> None:
    """With the value it was held against."""
    assert "Modality: CT — CT in all 275 instances" in run("study", GOOD, "--explain").out
    assert "275 instances" not in run("study", GOOD).out


def test_status_says_whether_the_node_runs(run: Run, ledger: Ledger) -> None:
    """By what the node writes while it runs; what a killed node left behind counts for nothing."""
    listening = ledger.path.parent / "listening.json"
    listening.write_text(json.dumps({"pid": os.getpid(), "port": 11112, "tls_port": None}))
    assert run("status", "--json").json["process"]["port"] == 11112
    listening.write_text(json.dumps({"pid": 2**22 + 1, "port": 11112, "tls_port": None}))
    assert run("status", "--json").json["running"] is False


def test_status_reads_while_the_node_writes(run: Run, ledger: Ledger) -> None:
    """WAL: an open write transaction holds no reader up, and is not seen before it ends."""
    with ledger.transaction() as writing:
        studies.unhold(writing, studies.latest(writing, 1)[0].last_received_at, HELD, "test")
        assert run("status", "--json").json["queues"]["studies"]["held"] == 1
    assert run("status", "--json").json["queues"]["studies"]["held"] == 0


@pytest.mark.usefixtures("config")
def test_a_damaged_ledger_is_told_and_left_alone(run: Run, tmp_path: Path) -> None:
    """Exit code 1, in words, and no byte changed."""
    (tmp_path / "data").mkdir()
    broken = tmp_path / "data" / database.FILE
    broken.write_bytes(b"this is no database, whatever its name says" * 100)
    before = broken.read_bytes()
    answer = run("status")
    assert answer.code == 1
    assert "the ledger is damaged" in answer.err
    assert broken.read_bytes() == before


def _warnings(run: Run) -> list[str]:
    warnings: list[str] = run("status", "--json").json["health"]["warnings"]
    return warnings


def test_status_is_red_while_associations_are_refused(run: Run, ledger: Ledger, config: Path) -> None:
    """Below the mark for free space, or with too many objects to be indexed: status says so, and which mark it is."""
    config.write_text(config.read_text().replace("  data: data", "  data: data\n  limits: {free_space: 1000000TiB}"))
    assert any("associations are refused:" in text and "to stay free" in text for text in _warnings(run))
    config.write_text(config.read_text().replace("free_space: 1000000TiB", "free_space: 0, waiting_objects: 1"))
    assert not any("associations are refused" in text for text in _warnings(run))
    incoming = config.parent / "data" / "incoming"
    incoming.mkdir()
    for name in ("a", "b"):
        (incoming / f"{name}.dcm").touch()
    assert "associations are refused: 2 objects wait to be indexed, more than 1 (node.limits)" in _warnings(run)
    assert "! associations are refused" in run("status").out


def test_fault_53_status_is_red_while_nothing_can_be_written(
    run: Run, ledger: Ledger, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds out itself by writing a file; of a failure that a receiver met it reads the word that was left."""
    data = config.parent / "data"
    (data / "incoming").mkdir()
    note_trouble(data, Trouble(NOW, "cannot be written: Input/output error"))
    assert any(text.startswith("what was received") and "Input/output error" in text for text in _warnings(run))
    monkeypatch.setattr(os, "fsync", _no_space)
    assert any(text.startswith("nothing can be received") and "No space left" in text for text in _warnings(run))
    assert list((data / "incoming").iterdir()) == []


def _no_space(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_images_that_are_sent_on_are_counted_and_not_listed(run: Run, ledger: Ledger) -> None:
    """By destination and state in `status`, by reason in `study`; a dead one stands among what needs a person."""
    past.images(ledger)
    found = run("status", "--json").json
    assert {name: count for name, count in found["queues"]["images"]["research"].items() if count} == {
        "waiting": 1,
        "dead": 1,
    }
    assert "research" in found["queues"]["deliveries"]
    (stuck,) = found["stuck_images"]
    assert (stuck["instances"], stuck["why"]) == (1, "RESEARCH accepts none of them")
    assert "0 of 2 images" in " ".join(run("status").out.split())
    images = run("study", FAILED, "--json").json["images"]
    assert [(each["status"], each["instances"]) for each in images] == [("dead", 1), ("waiting", 1)]
    assert "RESEARCH accepts none" in run("study", FAILED).out
