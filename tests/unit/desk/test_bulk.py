"""What a person decides about many at once: which are meant, what is done with each, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from node.clock import to_text
from node.desk import actions, bulk, periods
from node.desk.actor import Actor, ActorKind
from node.desk.bulk import BulkAction, Selection
from node.errors import NotFoundError, PermanentError, UsageError
from node.ledger import deliveries, forward_parts, forwards, identities, instances, jobs, studies
from node.ledger.database import Ledger
from node.ledger.delivery import DeliveryStatus
from node.ledger.instances import InstanceStatus
from node.ledger.job import JobStatus
from tests.support import history, transactions
from tests.support.sites import past
from tests.support.sites.past import FAILED, GOOD, HELD, NOW

ALICE = Actor(ActorKind.OS, "alice")


def do(ledger: Ledger, action: BulkAction, **chosen: object) -> dict[str, object]:
    many = bulk.find(ledger, action, Selection(**chosen))  # type: ignore[arg-type] # the test's own words
    return dict(bulk.carry_out(ledger, many, lambda: NOW, ALICE).value)


def dead(ledger: Ledger, count: int, destination: str = "pacs") -> list[int]:
    """So many dead letters, each of a study of its own."""
    made = []
    with ledger.transaction() as database:
        for number in range(count):
            uid = f"1.2.9.{number}"
            delivery = deliveries.enqueue(
                database,
                NOW,
                sop_instance_uid=f"{uid}.{destination}",
                sop_class_uid=past.COMPREHENSIVE_SR,
                study=uid,
                job=None,
                file="x",
                destination=destination,
            )
            deliveries.dead(database, NOW, delivery, "refuses this object [A900]")
            made.append(delivery)
    return made


@pytest.fixture(autouse=True)
def reported(ledger: Ledger) -> None:
    """The job that failed has been reported as that."""
    with ledger.transaction() as database:
        jobs.reported(database, NOW, jobs.of_study(database, FAILED)[0].id, 0)


def test_failed_jobs_of_a_rule_run_again_each_with_its_event(ledger: Ledger) -> None:
    """A new job each, by the person; the same again finds none, because the old ones have been replaced."""
    done = do(ledger, BulkAction.RETRY, status="failed", rule="thin-chest")
    assert (done["done"], done["refused"]) == (1, {})
    (old, new) = jobs.of_study(ledger.database, FAILED)
    assert (new.supersedes, new.status) == (old.id, JobStatus.QUEUED)
    (event,) = [each for each in history.latest(ledger.database, 20) if each.kind == "job.again"]
    assert (event.actor, event.job) == ("os:alice", old.id)
    assert do(ledger, BulkAction.RETRY, status="failed", rule="thin-chest")["of"] == 0


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({"rule": "thin-chest"}, 1),
        ({"rule": "another"}, 0),
        ({"plugin": "lung-density"}, 1),
        ({"plugin": "another"}, 0),
        ({"destination": "research"}, 1),
        ({"destination": "another"}, 0),
        ({"study": FAILED}, 1),
        ({"study": GOOD}, 0),
        ({"since": NOW}, 1),
        ({"since": NOW + timedelta(days=1)}, 0),
        ({"until": NOW}, 0),
        ({"until": NOW + timedelta(days=1)}, 1),
    ],
)
def test_each_filter_narrows(ledger: Ledger, chosen: dict[str, object], count: int) -> None:
    """One failed job is there."""
    found = bulk.find(ledger, BulkAction.RETRY, Selection(status="failed", **chosen))  # type: ignore[arg-type]
    assert found.count == count


def test_a_dry_run_changes_nothing_and_says_how_many(ledger: Ledger) -> None:
    """By kind, with examples."""
    dead(ledger, 4)
    about = bulk.described(bulk.find(ledger, BulkAction.CANCEL, Selection(status="dead", destination="pacs")))
    assert about.sentence.splitlines()[0] == "would be cancelled: 4 deliveries"
    assert about.value["deliveries"] == 4
    assert deliveries.counts(ledger.database)["pacs"][DeliveryStatus.DEAD] == 4


def test_five_hundred_are_done_in_many_transactions(ledger: Ledger) -> None:
    """Others write meanwhile: no transaction has more than fifty; it says how far it is."""
    dead(ledger, 500)
    heard: list[tuple[int, int]] = []
    many = bulk.find(ledger, BulkAction.RETRY, Selection(status="dead", destination="pacs"))
    with transactions.counted(ledger) as rows:
        done = bulk.carry_out(ledger, many, lambda: NOW, ALICE, lambda done, of: heard.append((done, of)))
    assert done.value["done"] == 500
    assert len(rows) == 10
    assert max(rows) <= transactions.MOST
    assert heard[0] == (50, 500)
    assert heard[-1] == (500, 500)
    assert DeliveryStatus.DEAD not in deliveries.counts(ledger.database)["pacs"]
    assert len([each for each in history.latest(ledger.database, 2000) if each.kind == "delivery.again"]) == 500


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({}, 2),
        ({"rule": "on"}, 2),
        ({"rule": "another"}, 0),
        ({"plugin": "lung-density"}, 0),
        ({"destination": "vna"}, 2),
        ({"destination": "pacs"}, 0),
        ({"study": GOOD}, 2),
        ({"study": HELD}, 0),
        ({"since": NOW + timedelta(days=1)}, 0),
        ({"until": NOW + timedelta(days=1)}, 2),
    ],
)
def test_images_that_are_not_in_the_outbox_yet_are_cancelled_as_those_that_wait(
    ledger: Ledger, chosen: dict[str, object], count: int
) -> None:
    """Each filter narrows; they come into the outbox as what is not sent, and are not there to be cancelled again."""
    with ledger.transaction() as database:
        (decision,) = database.execute("SELECT id FROM decisions WHERE study_instance_uid=? LIMIT 1", [GOOD]).fetchone()
        receipts = [each.receipt for each in instances.of_study(database, GOOD)][:2]
        terms = forwards.ForwardTerms("vna", decision, "on")
        forward_parts.keep(database, GOOD, "vna", terms.to_plain(), receipts)
        database.execute("UPDATE decisions SET decided_at=?", [to_text(NOW)])
    assert do(ledger, BulkAction.CANCEL, status="waiting", **chosen)["done"] == count
    assert do(ledger, BulkAction.CANCEL, status="waiting", **chosen)["of"] == 0
    ((number, _),) = forward_parts.waiting(ledger.database)
    with ledger.transaction() as database:
        forwards.enqueue_part(database, NOW, number)
    found = [each.status for each in deliveries.of_study(ledger.database, GOOD) if each.destination == "vna"]
    assert found == [DeliveryStatus.CANCELLED if count else DeliveryStatus.WAITING] * 2


def test_one_that_changed_meanwhile_costs_itself_alone(ledger: Ledger) -> None:
    """It is counted with its reason; nothing of it is written; the others are done."""
    first, *_ = dead(ledger, 3)
    many = bulk.find(ledger, BulkAction.CANCEL, Selection(status="dead", destination="pacs"))
    actions.retry(ledger, f"delivery:{first}", NOW, ALICE)
    done = bulk.carry_out(ledger, many, lambda: NOW, ALICE)
    assert (done.value["done"], done.value["refused"]) == (2, {"it is waiting by now": 1})
    assert deliveries.get(ledger.database, first).status is DeliveryStatus.WAITING


def test_what_is_cut_short_goes_on_with_the_same_command(ledger: Ledger) -> None:
    """What was done has another status by then: nothing is done twice."""
    dead(ledger, 120)

    def cut(done: int, of: int) -> None:
        raise KeyboardInterrupt

    many = bulk.find(ledger, BulkAction.RETRY, Selection(status="dead", destination="pacs"))
    with pytest.raises(KeyboardInterrupt):
        bulk.carry_out(ledger, many, lambda: NOW, ALICE, cut)
    assert do(ledger, BulkAction.RETRY, status="dead", destination="pacs")["done"] == 70


def test_a_job_whose_images_were_rejected_since_is_not_done_again(ledger: Ledger) -> None:
    """Neither with others nor named alone: no plugin works on rejected images (IHE IOCM)."""
    with ledger.transaction() as database:
        (job,) = jobs.of_study(database, FAILED)
        receipt = instances.of_study(database, FAILED)[0].receipt
        database.execute("UPDATE jobs SET inputs=? WHERE id=?", [f'[["", "x", ["{receipt}"]]]', job.id])
        instances.set_status(database, receipt, InstanceStatus.REJECTED)
    done = do(ledger, BulkAction.RETRY, status="failed")
    assert "its images were rejected or corrected since" in str(done["refused"])
    with pytest.raises(PermanentError, match="rejected or corrected since"):
        actions.retry(ledger, job.id, NOW, ALICE)


def test_held_results_are_sent_together_only_where_the_identity_is_the_question(ledger: Ledger) -> None:
    """The destination is asked again about those; what is held for another reason is looked at alone."""
    assert do(ledger, BulkAction.RETRY, status="held", destination="pacs")["done"] == 1
    with ledger.transaction() as database:
        deliveries.hold(database, NOW, 3, "its images were rejected")
    done = do(ledger, BulkAction.RETRY, status="held", destination="pacs")
    assert done["done"] == 0
    assert done["refused"] == {"held, because its images were rejected: say --study, and decide on that one": 1}
    assert do(ledger, BulkAction.RETRY, status="held", study=GOOD)["done"] == 1
    assert identities.get(ledger.database, GOOD, "pacs") is None


def test_images_of_a_study_are_one_event(ledger: Ledger) -> None:
    """Those of the status and the destination that were asked for, and no others."""
    past.images(ledger)
    found = [each for each in forwards.of_study(ledger.database, FAILED) if each.status is DeliveryStatus.DEAD]
    where = found[0].destination
    done = do(ledger, BulkAction.RETRY, status="dead", destination=where, study=FAILED)
    assert done["done"] == sum(each.instances for each in found)
    (event,) = [each for each in history.latest(ledger.database, 20) if each.kind == "forward.again"]
    assert (event.actor, event.detail["destination"]) == ("os:alice", where)


def test_held_studies_are_released_but_those_that_came_again(ledger: Ledger) -> None:
    """A correction is a decision of its own: it is named, and stays held; named alone, it is released."""
    with ledger.transaction() as database:
        studies.hold(database, NOW, GOOD, "a file could not be indexed")
        first = instances.of_study(database, HELD)[0]
        instances.insert(database, replace(first, receipt="f" * 32, status=InstanceStatus.CORRECTION))
    done = do(ledger, BulkAction.RELEASE, since=NOW)
    assert (done["done"], done["to_decide"]) == (1, [HELD])
    assert [each.study_instance_uid for each in studies.held(ledger.database)] == [HELD]
    assert actions.release(ledger, HELD, NOW, ALICE).value["status"] == "released"
    with pytest.raises(NotFoundError, match="is not held"):
        actions.release(ledger, HELD, NOW, ALICE)


@pytest.mark.parametrize(
    ("action", "selection"),
    [
        (BulkAction.RETRY, Selection()),
        (BulkAction.CANCEL, Selection()),
        (BulkAction.RELEASE, Selection()),
        (BulkAction.RETRY, Selection(rule="thin-chest")),
        (BulkAction.RETRY, Selection(status="delivered")),
        (BulkAction.CANCEL, Selection(status="failed")),
        (BulkAction.RELEASE, Selection(status="dead")),
    ],
)
def test_without_a_filter_or_with_a_wrong_status_nothing_is_done(
    ledger: Ledger, action: BulkAction, selection: Selection
) -> None:
    """Everything is never meant; the message says what can be."""
    with pytest.raises(UsageError):
        bulk.find(ledger, action, selection)


ZONE = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2d", NOW - timedelta(days=2)),
        ("30m", NOW - timedelta(minutes=30)),
        ("2026-03-02", datetime(2026, 3, 1, 15, tzinfo=UTC)),
        ("2026-03-02 14:00", datetime(2026, 3, 2, 5, tzinfo=UTC)),
    ],
)
def test_moments_are_read_in_the_time_zone_of_the_site(text: str, expected: datetime) -> None:
    """Periods are counted back from now."""
    assert periods.moment(text, NOW, ZONE) == expected
    with pytest.raises(UsageError, match="no period and no moment"):
        periods.moment("yesterday", NOW, ZONE)
