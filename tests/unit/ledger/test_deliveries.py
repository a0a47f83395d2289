"""The outbox: every transition, what is due, and holding what is just being sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from node.deliver.ways.dimse import dimse
from node.dicom.report_classes import SOP_CLASSES
from node.errors import NotFoundError, PermanentError
from node.ledger import (
    deliveries,
    events,
    fallbacks,
    forwards,
    identities,
    image_turns,
    instances,
    objects,
    studies,
    turns,
)
from node.ledger.connection import Database
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus as Status
from node.ledger.event_kinds import Severity
from node.ledger.forwards import ForwardTerms
from node.ledger.identities import IdentityStatus
from node.ledger.image_turns import StudyDue
from node.ledger.job import URGENT
from node.ledger.objects import ResultObject
from tests.support import history
from tests.support.sites.outcomes import deliver, queue_job
from tests.support.sites.past import FAILED, GOOD, tell

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
COMPREHENSIVE, ENHANCED = (SOP_CLASSES[each] for each in ("comprehensive", "enhanced"))

TRANSITIONS: dict[str, tuple[Callable[[Database, int], Any], dict[Status, Status]]] = {
    "sending": (lambda d, i: deliveries.sending(d, NOW, i), {Status.WAITING: Status.SENDING}),
    "delivered": (lambda d, i: deliveries.delivered(d, NOW, i, dimse(0)), {Status.SENDING: Status.DELIVERED}),
    "wait": (
        lambda d, i: deliveries.wait(d, NOW, i, LATER, "why"),
        {Status.SENDING: Status.WAITING, Status.WAITING: Status.WAITING},
    ),
    "dead": (
        lambda d, i: deliveries.dead(d, NOW, i, "why"),
        dict.fromkeys((Status.SENDING, Status.WAITING, Status.REFUSED), Status.DEAD),
    ),
    "hold": (
        lambda d, i: deliveries.hold(d, NOW, i, "why"),
        {Status.SENDING: Status.SENDING, Status.WAITING: Status.HELD, Status.REFUSED: Status.HELD},
    ),
    "stop": (
        lambda d, i: deliveries.stop(d, NOW, i, Status.CANCELLED, "why"),
        dict.fromkeys((Status.WAITING, Status.HELD, Status.DEAD, Status.WITHHELD, Status.REFUSED), Status.CANCELLED),
    ),
    "again": (
        lambda d, i: deliveries.again(d, NOW, i, "admin"),
        dict.fromkeys(
            (Status.HELD, Status.DEAD, Status.CANCELLED, Status.WAITING, Status.WITHHELD, Status.REFUSED),
            Status.WAITING,
        ),
    ),
    "refused": (
        lambda d, i: fallbacks.refused(d, NOW, i, ENHANCED, "why"),
        {Status.SENDING: Status.REFUSED},
    ),
    "replaced": (
        lambda d, i: fallbacks.replaced(d, NOW, i, i),
        {Status.REFUSED: Status.REPLACED},
    ),
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("name", list(TRANSITIONS))
def test_every_transition_from_every_status(ledger: Ledger, name: str, status: Status) -> None:
    """Allowed: the new status and an event. Otherwise: PermanentError, the row as it was, no event."""
    transition, allowed = TRANSITIONS[name]
    made = deliver(ledger, NOW, "1.2", None, "9.1")
    ledger.database.execute("UPDATE deliveries SET status=? WHERE id=?", [status, made.id])
    before = len(events.of_study(ledger.database, "1.2"))
    if status in allowed:
        with ledger.transaction() as database:
            transition(database, made.id)
        assert deliveries.get(ledger.database, made.id).status is allowed[status]
        assert len(events.of_study(ledger.database, "1.2")) == before + 1
    else:
        with pytest.raises(PermanentError, match=f"is {status}"), ledger.transaction() as database:
            transition(database, made.id)
        assert deliveries.get(ledger.database, made.id).status is status
        assert len(events.of_study(ledger.database, "1.2")) == before


def test_an_instance_goes_to_a_destination_once(ledger: Ledger) -> None:
    """Enqueued twice: one row, one event."""
    for _ in range(2):
        deliver(ledger, NOW, "1.2", None, "9.1")
    assert len(deliveries.of_study(ledger.database, "1.2")) == 1
    kinds = [event.kind for event in events.of_study(ledger.database, "1.2")]
    assert kinds.count("delivery.enqueued") == 1


def test_due_is_in_order_after_its_time_and_not_of_a_held_study(ledger: Ledger) -> None:
    """The longest due first; what waits comes at its time; a held study keeps everything back."""
    first, second = (deliver(ledger, NOW, "1.2", None, uid) for uid in ("9.1", "9.2"))
    with ledger.transaction() as database:
        deliveries.wait(database, NOW, first.id, LATER, "down")
    assert [one.id for one in turns.due(ledger.database, "pacs", NOW, "1.2")] == [second.id]
    assert [one.id for one in turns.due(ledger.database, "pacs", LATER, "1.2")] == [second.id, first.id]
    assert turns.due(ledger.database, "elsewhere", LATER, "1.2") == []
    assert turns.next_due_at(ledger.database, "pacs") == NOW
    with ledger.transaction() as database:
        studies.hold(database, NOW, "1.2", "why")
    assert turns.due(ledger.database, "pacs", LATER, "1.2") == []


def test_held_while_being_sent_is_held_if_it_fails(ledger: Ledger) -> None:
    """It cannot be called back, but it is not sent again; `again` by a person clears the hold."""
    made = deliver(ledger, NOW, "1.2", None, "9.1", Status.SENDING)
    with ledger.transaction() as database:
        deliveries.hold(database, NOW, made.id, "the patient was corrected")
        deliveries.wait(database, NOW, made.id, LATER, "no answer")
    assert deliveries.get(ledger.database, made.id).status is Status.HELD
    with ledger.transaction() as database:
        again = deliveries.again(database, NOW, made.id, "admin")
    assert (again.status, again.hold) == (Status.WAITING, None)


def test_held_while_being_sent_and_delivered_all_the_same_is_an_alert(ledger: Ledger) -> None:
    """The destination has it now: a person has to know."""
    made = deliver(ledger, NOW, "1.2", None, "9.1", Status.SENDING)
    with ledger.transaction() as database:
        deliveries.hold(database, NOW, made.id, "the patient was corrected")
        deliveries.delivered(database, NOW, made.id, dimse(0))
    assert deliveries.get(ledger.database, made.id).status is Status.DELIVERED
    alerts = history.open_alerts(ledger.database)
    assert "delivery.delivered-though-held" in {event.kind for event in alerts}


def test_found_sending_at_start_is_sent_again(ledger: Ledger) -> None:
    """The outcome is unknown: it waits again, attempts counted, UID unchanged."""
    made = deliver(ledger, NOW, "1.2", None, "9.1", Status.SENDING)
    with ledger.transaction() as database:
        assert deliveries.interrupted(database, NOW, "pacs") == 1
    after = deliveries.get(ledger.database, made.id)
    assert (after.status, after.attempts, after.item) == (Status.WAITING, 1, "9.1")


def test_held_while_its_class_is_refused_waits_for_a_person(ledger: Ledger) -> None:
    """A correction came while it was tried: it is held, not made anew, and `again` tries it once more."""
    made = deliver(ledger, NOW, "1.2", None, "9.1", Status.SENDING)
    with ledger.transaction() as database:
        deliveries.hold(database, NOW, made.id, "the patient was corrected")
        fallbacks.refused(database, NOW, made.id, ENHANCED, "why")
        assert fallbacks.waiting(database) == []
        assert deliveries.get(database, made.id).status is Status.HELD
        assert deliveries.again(database, NOW, made.id, "admin").status is Status.WAITING


def test_a_refused_report_and_what_took_its_place(ledger: Ledger) -> None:
    """It waits to be made anew and not to be sent, counts as no attempt, and ends with a link and a warning."""
    old = deliver(ledger, NOW, "1.2", None, "9.1", Status.SENDING)
    with ledger.transaction() as database:
        fallbacks.refused(database, NOW, old.id, ENHANCED, "why")
    assert [each.id for each in fallbacks.waiting(ledger.database)] == [old.id]
    assert turns.due(ledger.database, "pacs", LATER, "1.2") == []
    new = deliver(ledger, NOW, "1.2", None, "9.2")
    with ledger.transaction() as database:
        database.execute("UPDATE deliveries SET sop_class_uid=? WHERE id=?", [ENHANCED, new.id])
        fallbacks.replaced(database, NOW, old.id, new.id)
    after = deliveries.get(ledger.database, old.id)
    assert (after.status, after.successor, after.attempts) == (Status.REPLACED, new.id, 0)
    assert fallbacks.newest(ledger.database, after).id == new.id
    assert fallbacks.tried_before(ledger.database, new.id) == [COMPREHENSIVE]
    (told,) = [each for each in history.latest(ledger.database, 10) if each.severity is Severity.WARNING]
    assert (told.kind, told.detail["refused"], told.detail["used"]) == (
        "delivery.replaced",
        "Comprehensive SR",
        "Enhanced SR",
    )


def test_a_destination_refuses_a_class_until_it_takes_one(ledger: Ledger) -> None:
    """What `status` warns of: reports made anew since the last one of the class that arrived there."""

    def refuses() -> fallbacks.Fallbacks | None:
        return fallbacks.of_destination(ledger.database, "pacs", COMPREHENSIVE)

    assert refuses() is None
    for number in (1, 2):
        old = deliver(ledger, NOW, "1.2", None, f"9.{number}", Status.SENDING)
        with ledger.transaction() as database:
            fallbacks.refused(database, NOW, old.id, ENHANCED, "why")
            fallbacks.replaced(database, NOW, old.id, old.id)
        assert refuses() == fallbacks.Fallbacks(number, ENHANCED)
    assert fallbacks.of_destination(ledger.database, "pacs", ENHANCED) is None
    assert fallbacks.of_destination(ledger.database, "elsewhere", COMPREHENSIVE) is None
    deliver(ledger, NOW, "1.2", None, "9.3", Status.DELIVERED)
    assert refuses() is None


def test_lists_and_counts(ledger: Ledger) -> None:
    """By job, by destination and status; an unknown id is named."""
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    deliver(ledger, NOW, "1.2", job.id, "9.1")
    deliver(ledger, NOW, "1.2", None, "9.2", Status.DELIVERED)
    assert [one.item for one in deliveries.of_job(ledger.database, job.id)] == ["9.1"]
    assert deliveries.counts(ledger.database) == {"pacs": {Status.WAITING: 1, Status.DELIVERED: 1}}
    with pytest.raises(NotFoundError, match="no delivery 77"):
        deliveries.get(ledger.database, 77)


def test_identity_answers_are_recorded_when_they_change(ledger: Ledger) -> None:
    """Asked thrice, answered absent, absent, differs: two events, for the second an alert; since when, by answer."""
    with ledger.transaction() as database:
        for at, status, since in (
            (NOW, IdentityStatus.ABSENT, NOW),
            (LATER, IdentityStatus.ABSENT, NOW),
            (LATER, IdentityStatus.DIFFERS, LATER),
        ):
            answer = identities.answered(database, at, "1.2", "pacs", status, "PatientID")
            assert (answer.waiting_since, answer.checked_at) == (since, at)
        identities.alerted(database, LATER, "1.2", "pacs", "overdue")
    found = [event for event in events.of_study(ledger.database, "1.2") if event.kind.startswith("identity.")]
    assert [(event.kind, event.severity) for event in found] == [
        ("identity.absent", Severity.INFO),
        ("identity.differs", Severity.WARNING),
        ("identity.overdue", Severity.WARNING),
    ]
    assert set(history.raised(ledger.database)) == {"identity.differs", "identity.overdue"}
    assert identities.of_study(ledger.database, "1.2")[0].alerted
    with ledger.transaction() as database:
        identities.forget(database, "1.2", "pacs")
    assert identities.get(ledger.database, "1.2", "pacs") is None


def test_result_objects_are_known_as_ours(ledger: Ledger) -> None:
    """Recorded twice is one row; `is_ours` knows its UIDs."""
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    made = ResultObject("9.1", "1.2.840.10008.5.1.4.1.1.88.33", "8.1", "1.2", job.id, "sr", "p", "results/x", "d", NOW)
    with ledger.transaction() as database:
        for _ in range(2):
            objects.insert(database, made)
    assert objects.of_job(ledger.database, job.id) == [made]
    assert objects.is_ours(ledger.database, "9.1", made.sop_class_uid, "8.1")
    assert not objects.is_ours(ledger.database, "9.2", made.sop_class_uid, "8.1")
    assert not objects.is_ours(ledger.database, "9.1", "1.2.840.10008.5.1.4.1.1.2", "8.1")


@pytest.mark.parametrize(
    ("priority", "urgent", "expected"), [(0, False, 0), (10, False, 10), (10, True, URGENT), (URGENT, False, URGENT)]
)
def test_finding_m9_a_result_is_as_urgent_as_its_rule_or_its_finding(
    ledger: Ledger, priority: int, urgent: bool, expected: int
) -> None:
    """A finding that is present and urgent makes a routine rule's result urgent; one that is absent does not."""
    job = queue_job(ledger, NOW, "1.2", ["r1"])
    found = {"findings": [{"present": True, "urgent": urgent}, {"present": False, "urgent": True}]}
    with ledger.transaction() as database:
        database.execute("UPDATE jobs SET priority=?, found=? WHERE id=?", [priority, json.dumps(found), job.id])
    assert deliver(ledger, NOW, "1.2", job.id, "9.1").priority == expected


def test_finding_m9_images_of_an_urgent_rule_go_first(ledger: Ledger) -> None:
    """Though they were put into the outbox last."""
    with ledger.transaction() as database:
        tell(database)
        for study, priority in ((GOOD, 0), (FAILED, URGENT)):
            images = instances.of_study(database, study)
            forwards.enqueue(database, NOW, study, ForwardTerms("pacs", 1, "on", priority), images)
    found = image_turns.next_study(ledger.database, "pacs", NOW + timedelta(days=9))
    assert found == StudyDue(FAILED, URGENT)
