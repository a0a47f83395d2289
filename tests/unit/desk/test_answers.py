"""What a person answers beside retry and cancel: taken out, may stay, stays set aside, the archive is right."""

from __future__ import annotations

import pytest

from node.desk import actions, answers
from node.desk.actor import Actor, ActorKind
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import adoptions, alerts, deliveries, identities, instances, studies, withdrawals
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.identities import IdentityComparison, IdentityStatus
from node.ledger.withdrawals import WithdrawalStatus
from tests.support import history
from tests.support.sites.past import FAILED, GOOD, NOW

ALICE = Actor(ActorKind.OS, "alice")
OURS = {"StudyInstanceUID": GOOD, "PatientID": "1", "PatientName": "A", "AccessionNumber": "X"}
THEIRS = OURS | {"PatientID": "2", "PatientBirthDate": "19500101"}


def says(ledger: Ledger, *theirs: dict[str, str]) -> None:
    """The destination has the good study under this."""
    with ledger.transaction() as database:
        compared = IdentityComparison(OURS, theirs)
        identities.answered(database, NOW, GOOD, "pacs", IdentityStatus.DIFFERS, "PatientID", compared)


@pytest.mark.parametrize(("way", "status"), [("done", WithdrawalStatus.DONE), ("cancel", WithdrawalStatus.DISMISSED)])
def test_what_is_listed_for_withdrawal_was_taken_out_or_may_stay(
    ledger: Ledger, way: str, status: WithdrawalStatus
) -> None:
    """Recorded with who said so; its alert has no ground any more; once is enough."""
    with ledger.transaction() as database:
        (sent,) = [each for each in deliveries.of_study(database, GOOD) if each.status is DeliveryStatus.DELIVERED]
        withdrawals.enter(database, NOW, GOOD, [sent], "rejected")
    act = answers.done if way == "done" else actions.cancel
    assert act(ledger, f"withdrawal:{GOOD}", NOW, ALICE).value["objects"] == 1
    (found,) = withdrawals.of_study(ledger.database, GOOD)
    assert found.status is status
    assert "study.to-withdraw" not in {each.kind for each in history.open_alerts(ledger.database)}
    assert {each.actor for each in history.latest(ledger.database, 1)} == {"os:alice"}
    with pytest.raises(NotFoundError, match="nothing of study"):
        act(ledger, f"withdrawal:{GOOD}", NOW, ALICE)
    with pytest.raises(UsageError, match="no list for withdrawal"):
        answers.done(ledger, GOOD, NOW, ALICE)


def test_a_conflict_that_was_looked_at_is_no_question_until_the_next_one(ledger: Ledger) -> None:
    """What is set aside stays so; a later object that conflicts is a new question."""
    first, second, _ = instances.of_study(ledger.database, FAILED)
    with ledger.transaction() as database:
        database.execute("UPDATE instances SET status='conflict' WHERE receipt=?", [first.receipt])
        alerts.raised(database, NOW, AlertKind.INSTANCE_CONFLICT, FAILED, study=FAILED)
    assert identities.in_question(ledger.database, FAILED) == "a conflict of the study is open"
    done = actions.cancel(ledger, f"conflict:{FAILED}", NOW, ALICE)
    assert done.sentence == f"1 objects of study {FAILED} stay set aside (conflict); what came first counts"
    assert "instance.conflict" not in {each.kind for each in history.open_alerts(ledger.database)}
    assert identities.in_question(ledger.database, FAILED) == ""
    with ledger.transaction() as database:
        database.execute("UPDATE instances SET status='conflict' WHERE receipt=?", [second.receipt])
        alerts.raised(database, NOW, AlertKind.INSTANCE_CONFLICT, FAILED, study=FAILED)
    assert "instance.conflict" in {each.kind for each in history.open_alerts(ledger.database)}


def test_a_person_adopts_what_the_destination_has(ledger: Ledger) -> None:
    """Though birth date and sex may differ: both were side by side. What is there is listed, once."""
    says(ledger, THEIRS)
    done = answers.adopt(ledger, GOOD, "pacs", NOW, ALICE)
    assert (done.value["revision"], done.value["to_withdraw"]) == (1, 1)
    found = adoptions.newest(ledger.database, GOOD, "pacs")
    assert found is not None
    assert (found.by, found.identity["PatientID"], found.identity["PatientBirthDate"]) == ("os:alice", "2", "19500101")
    with pytest.raises(PermanentError, match="was adopted by os:alice"):
        answers.adopt(ledger, GOOD, "pacs", NOW, ALICE)


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ([THEIRS, OURS], "several answers"),
        ([THEIRS | {"PatientID": ""}], "no single PatientID"),
        ([THEIRS | {"AccessionNumber": "A\\B"}], "no single AccessionNumber"),
    ],
)
def test_what_is_not_clear_is_not_adopted_by_a_person_either(
    ledger: Ledger, theirs: list[dict[str, str]], why: str
) -> None:
    """Nobody can say which of the two it would be."""
    says(ledger, *theirs)
    with pytest.raises(PermanentError, match=why):
        answers.adopt(ledger, GOOD, "pacs", NOW, ALICE)
    assert not answers.can_adopt(ledger.database, GOOD, "pacs")


def test_never_while_the_images_are_in_question(ledger: Ledger) -> None:
    """A held study is decided first; a destination that has said nothing else has nothing to adopt."""
    with pytest.raises(NotFoundError, match="has not said"):
        answers.adopt(ledger, GOOD, "research", NOW, ALICE)
    says(ledger, THEIRS)
    with ledger.transaction() as database:
        studies.hold(database, NOW, GOOD, "a test")
    with pytest.raises(PermanentError, match="the study is held"):
        answers.adopt(ledger, GOOD, "pacs", NOW, ALICE)
