"""`pacsnode review`: each question that waits for a person; each answer that it prints works as it is printed."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.config.models import Configuration
from node.desk import review
from node.ledger import (
    alerts,
    decisions,
    defects,
    deliveries,
    earlier_results,
    identities,
    instances,
    jobs,
    notifications,
    withdrawals,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Database, Ledger
from node.ledger.decisions import DecisionOutcome
from node.ledger.delivery import DeliveryStatus
from node.ledger.earlier_results import EarlierResultsStatus, EarlierSeries
from node.ledger.identities import IdentityComparison, IdentityStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import NewJob
from node.ledger.notifications import Occasion
from tests.support.sites import past
from tests.support.sites.calls import Run
from tests.support.sites.outcomes import match
from tests.support.sites.past import FAILED, GOOD, HELD, NOW

OURS = {"StudyInstanceUID": GOOD, "PatientID": "SECRET-4711", "PatientName": "Secret^Here", "AccessionNumber": "A"}
THEIRS = OURS | {"PatientID": "SECRET-4712", "PatientName": "Secret^There"}


def unreportable(database: Database, study: str, rule: str) -> None:
    """A job whose result nothing could be made of."""
    (job,) = jobs.of_study(database, FAILED)[:1]
    terms = {name: getattr(job, name) for name in NewJob.__slots__}
    new = NewJob(**terms | {"rule": rule, "inputs_digest": rule})
    decision = decisions.record(
        database, NOW, study=study, revision=1, rule=rule, rule_set="d" * 64, outcome=DecisionOutcome.MATCHED, trace={}
    )
    made = jobs.enqueue(database, NOW, decision, new)
    assert made is not None
    database.execute("UPDATE jobs SET status='ended', outcome='findings', result='results/x' WHERE id=?", [made.id])
    jobs.unreportable(database, NOW, made.id, "PatientID is empty")


@pytest.fixture
def waiting(ledger: Ledger) -> Ledger:
    """A site on which a person of every kind of question is wanted."""
    with ledger.transaction() as database:
        identities.answered(database, NOW, GOOD, "pacs", IdentityStatus.AGREES)
        identities.answered(
            database, NOW, GOOD, "pacs", IdentityStatus.DIFFERS, "PatientID", IdentityComparison(OURS, [THEIRS])
        )
        (delivered,) = [each for each in deliveries.of_study(database, GOOD) if each.status == DeliveryStatus.DELIVERED]
        withdrawals.enter(database, NOW, GOOD, [delivered], "rejected")
        first = instances.of_study(database, FAILED)[0]
        database.execute("UPDATE instances SET status='conflict' WHERE receipt=?", [first.receipt])
        alerts.raised(database, NOW, AlertKind.INSTANCE_CONFLICT, FAILED, study=FAILED)
        for rule in ("one", "one more"):
            unreportable(database, FAILED, rule)
        defect = defects.failed(database, NOW, "route", f"study:{FAILED}", "an error in the program", study=FAILED)
        defects.park(database, defect)
        alerts.raised(database, NOW, AlertKind.STUDY_DECISION_FAILED, f"route study:{FAILED}", study=FAILED)
        notifications.enqueue(database, NOW, match(database, NOW, GOOD), Occasion.MATCH, ["duty"])
        (told,) = notifications.of_study(database, GOOD)
        notifications.dead(database, NOW, told.id, "webhook x answers 410")
        earlier = EarlierSeries("1.2.9", "SR", "Report", "")
        earlier_results.asked(database, NOW, HELD, "research", EarlierResultsStatus.FOUND, [earlier])
        database.execute("UPDATE deliveries SET hold='odd' WHERE id=?", [delivered.id])
        place = deliveries.study_at(delivered.destination, GOOD)
        alerts.raised(database, NOW, AlertKind.DELIVERY_DELIVERED_THOUGH_HELD, place, study=GOOD)
    return ledger


def items(run: Run, *arguments: object) -> list[dict[str, Any]]:
    found = json.loads(run("review", "--json", *arguments).out)["items"]
    assert isinstance(found, list)
    return found


def test_every_kind_of_question_is_listed_the_urgent_first_and_names_no_patient(waiting: Ledger, run: Run) -> None:
    """Each with its question and its answers; patients' own first, then what did not arrive, then the rest."""
    found = items(run)
    kinds = [each["kind"] for each in found]
    assert set(kinds) == {
        "study.held",
        "identity.differs",
        "instance.conflict",
        "study.to-withdraw",
        "delivery.dead",
        "job.unreportable",
        "study.decision-failed",
        "notification.dead",
        "results.perhaps-sent",
        "delivery.delivered-though-held",
    }
    assert set(kinds[:5]) == {
        "study.held",
        "identity.differs",
        "instance.conflict",
        "study.to-withdraw",
        "delivery.delivered-though-held",
    }
    assert all(each["question"].endswith("?") for each in found)
    assert all(each["answers"] for each in found)
    told = run("review").out
    assert "SECRET" not in told
    assert "Secret" not in told
    assert "20260302-0018 CT" in told, "studies are named as people name them"


def test_every_answer_works_as_it_is_printed(waiting: Ledger, run: Run) -> None:
    """Each command of each question, typed by itself on the site as it was before."""
    commands = [answer["command"] for each in items(run) for answer in each["answers"]]
    assert len(commands) >= 17
    waiting.close()
    files = {path: path.read_bytes() for path in Path("data").glob("ledger.db*")}
    for command in commands:
        for path in Path("data").glob("ledger.db*"):
            path.unlink()
        for path, content in files.items():
            path.write_bytes(content)
        program, *arguments = shlex.split(command)
        answer = run(*arguments)
        assert program == "pacsnode"
        assert answer.code == 0, f"{command}: {answer.err}"


@pytest.mark.parametrize("check", ["study", "none"])
def test_an_identity_check_is_promised_only_where_there_is_one(waiting: Ledger, check: str) -> None:
    """Of dead letters, and of what is held at a destination that is not asked any more."""
    peer = {"ae_title": "PEER", "host": "127.0.0.1", "port": 104, "identity_check": check}
    names = ("pacs", "research")
    configuration = Configuration.model_validate(
        {"node": {"time_zone": "UTC"}, "destinations": dict.fromkeys(names, peer)}
    )
    found = {each.kind: each for each in review.look(waiting, configuration).items}
    dead, differs = (found[kind].answers[0].effect for kind in (AlertKind.DELIVERY_DEAD, AlertKind.IDENTITY_DIFFERS))
    assert ("identity check" in dead) is (check == "study")
    assert ("is asked again" in differs) is (check == "study")


def test_what_was_answered_is_not_asked_again(waiting: Ledger, run: Run) -> None:
    """Though the node is stopped, and nobody closes the alerts."""
    while found := items(run):
        before = len(found)
        answer = shlex.split(found[0]["answers"][-1]["command"])[1:]
        assert run(*answer).code == 0
        assert len(items(run)) < before
    assert "nothing waits for a person" in run("review").out


def test_a_study_that_is_named_has_both_identities_side_by_side(waiting: Ledger, run: Run) -> None:
    """Whoever decides which patient is right has to see both; so is it for scripts."""
    told = run("review", "20260302-0017").out
    assert [line.split() for line in told.splitlines() if "PatientID " in line] == [
        ["PatientID", "SECRET-4711", "SECRET-4712"]
    ]
    (found,) = [each for each in items(run, GOOD) if each["kind"] == "identity.differs"]
    assert found["identity"] == {"destination": "pacs", "ours": OURS, "theirs": [THEIRS]}
    assert {each["study_instance_uid"] for each in items(run, GOOD)} == {GOOD}


def test_dead_letters_of_one_destination_are_one_question(ledger: Ledger, run: Run) -> None:
    """However many they are, of however many studies."""
    with ledger.transaction() as database:
        for number in range(500):
            uid = f"1.2.9.{number}"
            delivery = deliveries.enqueue(
                database,
                NOW,
                sop_instance_uid=f"{uid}.1",
                sop_class_uid=past.COMPREHENSIVE_SR,
                study=uid,
                job=None,
                file="x",
                destination="pacs",
            )
            deliveries.dead(database, NOW, delivery, "refuses this object [A900]")
    (found,) = [each for each in items(run) if each["kind"] == "delivery.dead" and each["destination"] == "pacs"]
    assert found["count"] == 500
    assert found["question"].startswith("500 objects for pacs did not arrive")
    command = shlex.split(found["answers"][0]["command"])[1:]
    refused = run(*command)
    assert refused.code == 2
    assert "say --yes" in refused.err
    assert "500 of 500 done again or sent now" in run(*command, "--yes").out
    assert [each for each in items(run) if each["destination"] == "pacs" and each["kind"] == "delivery.dead"] == []


def test_pages_together_are_all_questions_once(waiting: Ledger, run: Run) -> None:
    """Each page goes on where the last one ended."""
    whole, pages, after = items(run), [], None
    while True:
        arguments = ["--limit", 3, *(["--after", after] if after else [])]
        page = json.loads(run("review", "--json", *arguments).out)
        pages += page["items"]
        after = page["after"]
        if after is None:
            break
    assert pages == whole
    assert run("review", "--after", "nonsense").code == 2
    assert run("review", "--limit", 0).code == 2


@pytest.mark.parametrize(("came_again", "offered"), [(3, 2), (2, 1)])
def test_a_correction_offers_the_newer_images_only_where_all_came_again(
    ledger: Ledger, run: Run, came_again: int, offered: int
) -> None:
    """An answer that would be refused is none."""
    with ledger.transaction() as database:
        for each in instances.of_study(database, HELD):
            first = {"patient": {"PatientID": "1"}, "order": {}}
            database.execute("UPDATE instances SET comparison=? WHERE receipt=?", [json.dumps(first), each.receipt])
        for each in instances.of_study(database, HELD)[:came_again]:
            newer = {"patient": {"PatientID": "2"}, "order": {}}
            receipt, status = f"f{each.receipt[1:]}", InstanceStatus.CORRECTION
            instances.insert(database, replace(each, receipt=receipt, status=status, comparison=newer))
    (found,) = items(run, HELD)
    assert found["question"] == (
        "Study 20260302-0018 CT came again under another patient or order: is what came first right, or what came last?"
    )
    assert [answer["command"] for answer in found["answers"]] == [
        f"pacsnode release {HELD}",
        f"pacsnode release {HELD} --take-newest",
    ][:offered]
