"""Storage commitment as `status` and `study` show it, and `retry commitment:NUMBER`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from node.ledger import commitment_refusers, commitments, deliveries, studies
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


@pytest.fixture
def kept(made: Ledger, tmp_path: Path) -> Ledger:
    """Four results that `pacs` has taken: committed, asked for, overdue, refused; it accepts no more requests."""
    pacs = "pacs: {ae_title: PACS, host: 10.0.0.9, port: 104, commitment: require}"
    (tmp_path / "config.yaml").write_text(f"node: {{time_zone: Asia/Seoul}}\ndestinations:\n  {pacs}\n")
    with made.transaction() as database:
        for number, state in enumerate(("committed", "asked", "overdue", "refused")):
            about: Any = {"sop_instance_uid": f"1.9.{number}", "sop_class_uid": CT, "study": STUDY, "job": None}
            delivery = deliveries.enqueue(database, NOW, **about, file="f", destination="pacs")
            deliveries.sending(database, NOW, delivery)
            deliveries.delivered(database, NOW, delivery, "dimse:0000", commit_by=NOW + timedelta(hours=24))
            database.execute("UPDATE deliveries SET commitment=? WHERE id=?", [state, delivery])
        database.execute("UPDATE deliveries SET commit_failure=0x0112 WHERE commitment='refused'")
        commitment_refusers.refused(database, NOW, "pacs", "accepts nothing", NOW, required=True)
    return made


def test_status_tells_delivered_from_committed(kept: Ledger, run: Run) -> None:
    """In a table of its own, for scripts, and at the top where the destination does not accept to be asked."""
    shown = " ".join(run("status").out.split())
    assert "withheld held dead next pacs 0 0 4 0 0 0" in shown
    assert "Destination of committed asked not kept pacs results 1 1 2" in shown
    assert "! pacs does not accept storage commitment (commitment: require): accepts nothing" in shown
    said = json.loads(run("status", "--json").out)
    assert said["queues"]["commitment_of_destinations"]["pacs"]["results"] == {
        "wanted": 0,
        "asked": 1,
        "committed": 1,
        "refused": 1,
        "overdue": 1,
    }
    assert said["queues"]["deliveries"]["pacs"]["delivered"] == 4


def test_no_table_of_deliveries_breaks_words_at_eighty_columns(
    kept: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where destinations are asked for storage commitment, too: all headings are whole."""
    monkeypatch.setenv("COLUMNS", "80")
    headings = "Destination  waiting  sending  delivered  withheld  held  dead  next"
    assert headings in run("status").out
    assert "No.  Job  Kind  Destination  Status     Tries  Answer  About" in run("study", STUDY).out
    assert "Under way" in run("studies").out


def test_study_tells_delivered_from_committed(kept: Ledger, run: Run) -> None:
    """Of each delivery, and of all together, with the reason and until when."""
    shown = " ".join(run("study", STUDY).out.split())
    assert "Storage commitment of what was sent (again: pacsnode retry STUDY)" in shown
    assert "pacs results refused 1 0112" in shown
    assert "pacs results asked 1 03-03 13:30" in shown
    said = json.loads(run("study", STUDY, "--json").out)
    assert [each["commitment"] for each in said["deliveries"]] == ["committed", "asked", "overdue", "refused"]
    assert said["deliveries"][3]["commit_failure"] == "0112"
    assert {each["commitment"]: each["instances"] for each in said["destination_commitments"]}["overdue"] == 1


def test_a_site_that_asks_nobody_sees_nothing_of_it(made: Ledger, run: Run) -> None:
    """No columns and no section of what it does not use."""
    assert "not kept" not in run("status").out
    assert json.loads(run("status", "--json").out)["queues"]["commitment_of_destinations"] == {}
    assert "Storage commitment of what was sent" not in run("study", STUDY).out
