"""What a person decides, without any command: what changes, what is returned, who is recorded."""

from __future__ import annotations

import os

import pytest

from node.desk import actions
from node.desk.actor import Actor, ActorKind, who_types
from node.errors import NodeError, NotFoundError, PermanentError, UsageError
from node.ledger import deliveries, identities, jobs, notifications, studies
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.events import Event
from node.ledger.job import JobStatus
from node.ledger.notifications import NotificationStatus, Occasion
from tests.support import history, transactions
from tests.support.sites import past
from tests.support.sites.outcomes import match
from tests.support.sites.past import FAILED, GOOD, HELD, NOW

ALICE = Actor(ActorKind.OS, "alice")


def last(ledger: Ledger, kind: str) -> Event:
    """The newest event of a kind."""
    return next(event for event in history.latest(ledger.database, 50) if event.kind == kind)


def test_the_actor_is_who_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind sudo it is not root, and a user id without a name is still somebody; as text, kind and name."""
    assert str(ALICE) == "os:alice"
    monkeypatch.setenv("SUDO_USER", "alice")
    assert who_types() == ALICE
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setattr("getpass.getuser", _no_name)
    assert who_types() == Actor(ActorKind.OS, f"uid {os.getuid()}")


def _no_name() -> str:
    raise KeyError("getpwuid(): uid not found")


def test_a_job_is_done_again(ledger: Ledger) -> None:
    """A new job that names the old one; what is returned says both, for people and for scripts."""
    old = jobs.of_study(ledger.database, GOOD)[0]
    done = actions.retry(ledger, old.id[:8], NOW, ALICE)
    new = jobs.get(ledger.database, str(done.value["job"]))
    assert (new.supersedes, new.round, new.status) == (old.id, 2, JobStatus.QUEUED)
    assert done.sentence == f"job {old.id[:8]} is done again as job {new.id[:8]} (round 2)"
    assert last(ledger, "job.again").actor == "os:alice"


def test_a_delivery_is_sent_again_and_its_destination_asked_again(ledger: Ledger) -> None:
    """It waits, and what the destination said about the patient is forgotten."""
    done = actions.retry(ledger, "delivery:3", NOW, ALICE)
    assert done.value == {"delivery": 3, "destination": "pacs", "status": "waiting"}
    assert deliveries.get(ledger.database, 3).status is DeliveryStatus.WAITING
    assert identities.get(ledger.database, GOOD, "pacs") is None
    assert last(ledger, "delivery.again").actor == "os:alice"


def test_a_refused_action_changes_nothing(ledger: Ledger) -> None:
    """What was done before the refusal is taken back: the destination's answer is still known."""
    with pytest.raises(NodeError):
        actions.retry(ledger, "1", NOW, ALICE)
    assert identities.get(ledger.database, GOOD, "pacs") is not None
    assert deliveries.get(ledger.database, 1).status is DeliveryStatus.DELIVERED


def test_a_held_study_is_released(ledger: Ledger) -> None:
    """The sentence says once more why it was held."""
    done = actions.retry(ledger, HELD, NOW, ALICE)
    assert done.value["status"] == "released"
    assert "a correction arrived: PatientID differs" in done.sentence
    found = studies.get(ledger.database, HELD)
    assert found is not None
    assert found.hold is None
    assert last(ledger, "study.released").actor == "os:alice"


def test_taking_the_newest_is_refused_where_it_would_mix_two_patients(ledger: Ledger) -> None:
    """Not every instance was sent again: the study stays held."""
    with pytest.raises(PermanentError, match="mix two patients"):
        actions.retry(ledger, HELD, NOW, ALICE, take_newest=True)
    found = studies.get(ledger.database, HELD)
    assert found is not None
    assert found.hold


def test_images_of_a_study_are_sent_on_again_or_not_at_all(ledger: Ledger) -> None:
    """By the study."""
    past.images(ledger)
    assert actions.retry(ledger, FAILED, NOW, ALICE).value == {"study_instance_uid": FAILED, "images": 1}
    assert actions.cancel(ledger, FAILED, NOW, ALICE).value["images"] == 2
    assert past.statuses(ledger, FAILED) == [DeliveryStatus.CANCELLED] * 2


def test_a_notification_is_sent_again_and_cancelled(ledger: Ledger) -> None:
    """Both by its number; the record says who cancelled it."""
    with ledger.transaction() as database:
        notifications.enqueue(database, NOW, match(database, NOW, GOOD), Occasion.MATCH, ["duty"])
        notifications.dead(database, NOW, 1, "webhook x answers 410")
    (told,) = notifications.of_study(ledger.database, GOOD)
    done = actions.retry(ledger, f"notification:{told.id}", NOW, ALICE)
    assert done.sentence == f"notification {told.id} to duty is sent now"
    actions.cancel(ledger, f"notification:{told.id}", NOW, ALICE)
    assert notifications.get(ledger.database, told.id).status is NotificationStatus.CANCELLED
    assert last(ledger, "notification.cancelled").detail["reason"] == "cancelled by alice"


@pytest.mark.parametrize(
    ("what", "refusal"),
    [
        ("99", NotFoundError),
        ("notification:99", NotFoundError),
        ("notification:" + "9" * 40, NotFoundError),
        ("delivery:" + "9" * 40, NotFoundError),
        ("commitment:99", NotFoundError),
        ("commitment:x", UsageError),
        ("commitment:" + "9" * 40, UsageError),
        ("defect:x", UsageError),
        ("1.2.840.99999", NotFoundError),
        (GOOD, NotFoundError),
    ],
)
def test_what_is_not_there_is_a_refusal(ledger: Ledger, what: str, refusal: type[NodeError]) -> None:
    """A number that no row can have is one as well; nothing comes through as SQLite's own error."""
    with pytest.raises(refusal):
        actions.retry(ledger, what, NOW, ALICE)


def test_thousands_of_images_are_sent_again_or_cancelled_in_short_transactions(ledger: Ledger) -> None:
    """All of them, with one line of history; the node writes in between."""
    past.images(ledger)
    columns = "kind, sop_class_uid, study_instance_uid, receipt, file, destination, attempts, refusals, not_before"
    copied = f"{columns}, put_off_at, enqueued_at, decision"
    with ledger.transaction() as database:
        for number in range(600):
            database.execute(
                f"INSERT INTO deliveries (item, status, {copied}) SELECT ?, 'dead', {copied} FROM deliveries"
                " WHERE kind='image' LIMIT 1",
                [f"9.{number}"],
            )
    with transactions.counted(ledger) as rows:
        done = actions.retry(ledger, FAILED, NOW, ALICE)
    assert done.value == {"study_instance_uid": FAILED, "images": 601}
    assert max(rows) <= transactions.MOST
    assert DeliveryStatus.DEAD not in past.statuses(ledger, FAILED)
    with transactions.counted(ledger) as rows:
        done = actions.cancel(ledger, FAILED, NOW, ALICE)
    assert done.value["images"] == 602
    assert max(rows) <= transactions.MOST
    assert past.statuses(ledger, FAILED).count(DeliveryStatus.CANCELLED) == 602
    assert [last(ledger, kind).detail["instances"] for kind in ("forward.again", "forward.cancelled")] == [601, 602]
