"""Storage commitment as `status` and `study` show it, and `retry commitment:NUMBER`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.ledger import commitments, studies
from node.ledger.commitment import CommitmentStatus, NewCommitment
from node.ledger.database import FILE, Ledger
from tests.support.sites.calls import Run

NOW = datetime(2026, 3, 2, 4, 30, tzinfo=UTC)
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.3.1"


@pytest.fixture
def made(tmp_path: Path) -> Ledger:
    """A study, and a request for two instances of it by CT3, of which one never came; CT3 could not be told."""
    (tmp_path / "config.yaml").write_text("node: {time_zone: Asia/Seoul}\n")
    (tmp_path / "data").mkdir()
    ledger = Ledger(tmp_path / "data" / FILE)
    with ledger.transaction() as database:
        studies.received(
            database,
            NOW,
            study=STUDY,
            patient_id="P1",
            issuer_of_patient_id="",
            accession_number="A1",
            association="a",
            received_at=NOW,
            due_at=NOW,
        )
        new = NewCommitment(
            entry="1",
            transaction_uid="1.2.9",
            requester="CT3",
            called_ae_title="PACSNODE",
            association="a",
            requested_at=NOW,
            references=[(CT, "1.2.3.1.1"), (CT, "1.2.3.1.2")],
            through=None,
        )
        number = commitments.take(database, NOW, new, 0x0131)
        assert number == 1
        commitments.judged(database, NOW, number, {0: (0, STUDY), 1: (0x0112, None)}, 0x0110)
        commitments.dead(database, NOW, number, "nobody answers at 10.0.0.4")
    return ledger


def test_status_shows_what_could_not_be_reported(made: Ledger, run: Run) -> None:
    """In the queues, and with the reason and what to do."""
    shown = run("status").out
    assert "1 that could not be reported" in shown
    assert "pacsnode retry commitment:NUMBER" in shown
    assert "nobody answers at 10.0.0.4" in shown
    said = json.loads(run("status", "--json").out)
    assert said["queues"]["commitments"]["dead"] == 1
    assert [(each["id"], each["requester"], each["status"]) for each in said["commitments"]] == [(1, "CT3", "dead")]


def test_study_shows_who_asked_and_what_was_said(made: Ledger, run: Run) -> None:
    """Of this study's instances; one that never came is of no study that is known."""
    assert "Storage commitment" in run("study", STUDY).out
    said = json.loads(run("study", STUDY, "--json").out)
    (asked,) = said["commitments"]
    assert [(each["sop_instance_uid"], each["committed"]) for each in asked["instances"]] == [("1.2.3.1.1", True)]
    assert {"commitment.decided", "commitment.dead"} <= {event["kind"] for event in said["events"]}


def test_retry_has_it_decided_anew(made: Ledger, run: Run) -> None:
    """By what is stored by then; nothing of what was said before stays."""
    answer = run("retry", "commitment:1")
    assert answer.code == 0
    assert "decided again and reported to CT3" in answer.out
    assert commitments.get(made.database, 1).status is CommitmentStatus.WAITING
    assert [item.failure for item in commitments.items(made.database, 1)] == [None, None]


@pytest.mark.parametrize(("name", "code"), [("commitment:7", 1), ("commitment:x", 2)])
def test_retry_of_what_is_not_there(made: Ledger, run: Run, name: str, code: int) -> None:
    """In words, not as a trace."""
    answer = run("retry", name)
    assert answer.code == code
    assert "storage commitment" in answer.err


def test_check_says_who_may_ask_and_through_whom(tmp_path: Path, run: Run) -> None:
    """Where it is told, and how long it may have to wait."""
    (tmp_path / "config.yaml").write_text(
        "node: {time_zone: Asia/Seoul}\n"
        "destinations: {pacs: {ae_title: PACS, host: 10.0.0.9, port: 104}}\n"
        "modalities:\n"
        "  ct1: {ae_title: CT1, storage_commitment: {host: 10.0.0.4, port: 105, commit_through: pacs}}\n"
    )
    shown = " ".join(run("check").out.split())
    assert "commits to CT1, reports go to 10.0.0.4:105, once pacs has committed itself (1d at most)" in shown
