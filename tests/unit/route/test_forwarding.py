"""From a rule that sends images on to rows in the outbox: which images, to whom, and once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.config.destinations import DicomDestination
from node.errors import TransientError
from node.index.stopping import stop_study
from node.ledger import decisions, deliveries, events, forward_parts, forwards, image_turns, instances, studies, turns
from node.ledger.decisions import DecisionOutcome
from node.ledger.delivery import Delivery, DeliveryStatus
from node.ledger.event_kinds import EventKind
from node.ledger.forwards import ForwardTerms
from node.ledger.instances import InstanceStatus
from node.route.forwarding import ae_titles_of
from node.route.stage import RouteStage
from node.wake import Stage
from rules.model import Rule
from tests.support import history, transactions
from tests.support.sites.configurations import ruled
from tests.support.sites.job_site import STUDY, Site
from tests.support.sites.outcomes import match


def destination(ae_title: str, port: int, host: str = "10.0.0.1") -> DicomDestination:
    return DicomDestination.model_validate({"ae_title": ae_title, "host": host, "port": port})


DESTINATIONS = {
    "archive": destination("ARCHIVE", 104),
    "same-place": destination("SCANNER", 11112, "10.0.0.2"),
    "other-name": destination("OTHER", 11112, "10.0.0.2"),
}


def rule(*to: str, **fields: Any) -> Rule:
    plain = {"name": "on", "when": {"Modality": "CT"}, "forward": {"to": list(to)}, "mode": "clinical"} | fields
    return Rule.model_validate(plain)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def run(site: Site, *rules: Rule) -> None:
    RouteStage(site.node, ruled(rules, destinations=DESTINATIONS), lambda _: site.catalogue()).run_once()


def outbox(site: Site) -> list[Delivery]:
    return deliveries.of_study(site.ledger.database, STUDY)


def test_every_image_is_put_into_the_outbox_once(site: Site) -> None:
    """With the decision, its rule and the receipt; one line of history a destination; the outbox is woken."""
    bell = site.signal.subscribe(Stage.DELIVER)
    receipts = site.receive(3)
    site.complete()
    run(site, rule("archive", forward={"to": ["archive"], "coerce": {"InstitutionName": "Site A"}}))
    found = outbox(site)
    assert [(each.receipt, each.destination, each.status) for each in found] == [
        (receipt, "archive", DeliveryStatus.WAITING) for receipt in receipts
    ]
    (decision,) = decisions.of_study(site.ledger.database, STUDY)
    assert {(each.decision, each.job, each.coerce["InstitutionName"]) for each in found if each.coerce} == {
        (decision.id, None, "Site A")
    }
    assert decision.outcome is DecisionOutcome.MATCHED
    (event,) = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind.startswith("forward.")]
    assert event.detail == {
        "rule": "on",
        "destination": "archive",
        "instances": 3,
        "corrected": None,
        "coerced": ["InstitutionName"],
        "not_before": None,
    }
    assert bell.is_set()


def test_a_late_image_goes_too_and_alone(site: Site) -> None:
    """A revision with more: only what is new; one without: unchanged."""
    site.receive(2)
    site.complete()
    run(site, rule("archive"))
    (late,) = site.receive(1)
    site.complete()
    run(site, rule("archive"))
    assert [each.receipt for each in outbox(site)][2:] == [late]
    site.complete()
    run(site, rule("archive"))
    assert len(outbox(site)) == 3
    outcomes = [each.outcome for each in decisions.of_study(site.ledger.database, STUDY)]
    assert outcomes == [DecisionOutcome.MATCHED] * 2 + [DecisionOutcome.UNCHANGED]


def test_never_back_to_where_it_came_from(site: Site) -> None:
    """By calling AE title; also under another name of what listens at the same host and port."""
    site.receive(2)
    site.complete()
    run(site, rule("archive", "same-place", "other-name"))
    assert {each.destination for each in outbox(site)} == {"archive"}
    assert ae_titles_of("other-name", DESTINATIONS) == {"SCANNER", "OTHER"}


def test_never_back_to_a_destination_that_came_with_a_reload(site: Site) -> None:
    """Destinations are swapped with the rules: by those of the start, the sender would be no destination at all."""
    site.receive(2)
    site.complete()
    route = RouteStage(site.node, ruled(()), lambda _: site.catalogue())
    route.use(ruled([rule("same-place")], destinations=DESTINATIONS))
    route.run_once()
    assert outbox(site) == []


def test_what_this_node_made_fetched_or_set_aside_is_not_sent_on(site: Site) -> None:
    """Own results, priors fetched from the archive, quarantined and rejected images; the rest goes."""
    (kept,) = site.receive(1)
    site.receive(1, origin="retrieved")
    for status in (InstanceStatus.OWN, InstanceStatus.CONFLICT, InstanceStatus.REJECTED, InstanceStatus.DUPLICATE):
        (receipt,) = site.receive(1)
        with site.ledger.transaction() as database:
            instances.set_status(database, receipt, status)
    site.complete()
    run(site, rule("archive"))
    assert [each.receipt for each in outbox(site)] == [kept]


def test_finding_t1_an_unreadable_header_is_not_sent_on_and_an_alert_says_so(site: Site) -> None:
    """What could not be read to its end stays here, said once for each destination; other marks do not hold it back."""
    (kept,) = site.receive(1, marks={"bad-encoding": "(4000,4000): odd length 3"})
    (left,) = site.receive(1, marks={"unreadable-header": "3 bytes at the end are no element"})
    site.complete()
    run(site, rule("archive", "same-place"), rule("archive", name="another"))
    assert [(each.receipt, each.destination) for each in outbox(site)] == [(kept, "archive")]
    site.complete()
    run(site, rule("archive"))
    found = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind == "forward.left-out"]
    uid = next(each for each in instances.of_study(site.ledger.database, STUDY) if each.receipt == left)
    (said,) = found
    assert [each.kind for each in history.open_alerts(site.ledger.database)] == ["forward.left-out"]
    assert said.detail == {
        "rule": "on",
        "destination": "archive",
        "instances": 1,
        "mark": "unreadable-header",
        "reasons": ["3 bytes at the end are no element"],
        "sop_instance_uids": [uid.sop_instance_uid],
    }


@pytest.mark.parametrize(
    ("sop_class_uid", "is_told"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.33", True),
        ("1.2.840.10008.5.1.4.1.1.104.1", True),
        ("1.2.840.10008.5.1.4.1.1.2", False),
    ],
)
def test_finding_t6_names_within_documents_are_not_coerced_and_an_event_says_so(
    site: Site, sop_class_uid: str, *, is_told: bool
) -> None:
    """A report or a PDF among what is coerced: one warning of the study for each destination; images give none."""
    for _ in range(2):
        site.receive(1)
    with site.ledger.transaction() as database:
        database.execute("UPDATE instances SET sop_class_uid=?", [sop_class_uid])
    site.complete()
    run(site, rule("archive", forward={"to": ["archive"], "coerce": {"PatientName": "X"}}))
    told = history.of_kind(site.ledger.database, EventKind.FORWARD_CONTENT_NOT_COERCED)
    assert [(each.study_instance_uid, each.detail["documents"], each.detail["destination"]) for each in told] == (
        [(STUDY, 2, "archive")] if is_told else []
    )


def test_two_rules_for_one_destination_send_once(site: Site) -> None:
    """The first one says how."""
    site.receive(1)
    site.complete()
    coerced = rule("archive", name="coerced", forward={"to": "archive", "coerce": {"StudyID": "1"}})
    run(site, coerced, rule("archive"))
    (found,) = outbox(site)
    assert found.coerce == {"StudyID": "1"}


def test_off_peak(site: Site) -> None:
    """Hours of the rule hold for what it sends on: not before they begin."""
    site.receive(1)
    site.complete()
    at = site.clock.now().astimezone(ZoneInfo("Asia/Seoul"))
    later = (at + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    end = later + timedelta(hours=1)
    run(site, rule("archive", hours={"open": [{"between": [f"{later:%H:%M}", f"{end:%H:%M}"]}]}))
    (found,) = outbox(site)
    assert found.not_before == found.enqueued_at == later
    assert image_turns.next_study(site.ledger.database, "archive", at) is None
    assert image_turns.next_study(site.ledger.database, "archive", later) is not None


def replace(site: Site, old: str) -> str:
    """A correction has taken the place of this receipt."""
    earlier = instances.by_receipt(site.ledger.database, old)
    assert earlier is not None
    with site.ledger.transaction() as database:
        instances.set_status(database, old, InstanceStatus.CORRECTED)
    (new,) = site.receive(1)
    site.ledger.database.execute(
        "UPDATE instances SET sop_instance_uid=? WHERE receipt=?", [earlier.sop_instance_uid, new]
    )
    return new


@pytest.mark.parametrize("status", [DeliveryStatus.WAITING, DeliveryStatus.HELD, DeliveryStatus.DELIVERED])
def test_a_corrected_image_takes_the_place_of_what_was_sent_or_not(site: Site, status: DeliveryStatus) -> None:
    """Under the same SOP Instance UID, whether the first one has left or not; the row is one."""
    first, other = site.receive(2)
    site.complete()
    run(site, rule("archive"))
    site.ledger.database.execute("UPDATE deliveries SET status=?, hold='why' WHERE receipt=?", [status, first])
    corrected = replace(site, first)
    site.complete()
    run(site, rule("archive"))
    assert [(each.receipt, each.status, each.hold) for each in outbox(site)] == [
        (corrected, DeliveryStatus.WAITING, None),
        (other, DeliveryStatus.WAITING, None),
    ]


def test_while_the_first_one_is_being_sent_the_corrected_one_waits_for_the_decision(site: Site) -> None:
    """The decision is put off: nothing is written."""
    (first,) = site.receive(1)
    site.complete()
    run(site, rule("archive"))
    site.ledger.database.execute("UPDATE deliveries SET status='sending'")
    replace(site, first)
    site.complete()
    run(site, rule("archive"))
    study = studies.get(site.ledger.database, STUDY)
    assert study is not None
    assert (study.decided_revision, study.revision) == (1, 2)
    assert [each.receipt for each in outbox(site)] == [first]
    images = instances.of_study(site.ledger.database, STUDY)
    with pytest.raises(TransientError), site.ledger.transaction() as database:
        forwards.enqueue(database, site.clock.now(), STUDY, forwards.ForwardTerms("archive", 1, "on"), images)


def test_a_person_sends_again_or_cancels(site: Site) -> None:
    """Held and dead ones go again as if they were new; what was cancelled stays so, also in the next revision."""
    site.receive(3)
    site.complete()
    run(site, rule("archive"))
    ids = [each.id for each in outbox(site)]
    for delivery, status in zip(ids, ("held", "dead", "delivered"), strict=True):
        site.ledger.database.execute("UPDATE deliveries SET status=?, refusals=3 WHERE id=?", [status, delivery])
    with site.ledger.transaction() as database:
        assert forwards.again(database, site.clock.now(), STUDY, "admin") == 2
    assert [(each.status, each.refusals) for each in outbox(site)][:2] == [(DeliveryStatus.WAITING, 0)] * 2
    with site.ledger.transaction() as database:
        assert forwards.cancel(database, site.clock.now(), STUDY, "cancelled by admin") == 2
    site.complete()
    run(site, rule("archive"))
    assert [each.status for each in outbox(site)] == [DeliveryStatus.CANCELLED] * 2 + [DeliveryStatus.DELIVERED]


MANY = 520
"""Images of a study that take three transactions."""


def many(site: Site) -> list[str]:
    """A complete study of so many images; their receipts."""
    receipts = site.receive(MANY)
    site.complete()
    return receipts


def test_images_that_are_not_in_the_outbox_yet_are_cancelled_with_the_others(site: Site) -> None:
    """A person says so between two parts: none is sent, nor by a later decision."""
    receipts = many(site)
    with site.ledger.transaction() as database:
        decision = match(database, site.clock.now(), STUDY)
        those = instances.of_study(database, STUDY)
        forwards.enqueue(database, site.clock.now(), STUDY, ForwardTerms("archive", decision.id, "r"), those)
    with site.ledger.transaction() as database:
        assert forwards.cancel(database, site.clock.now(), STUDY, "cancelled by admin") == MANY
        forwards.cancel_some(database, STUDY, "cancelled by admin")
    run(site, rule("archive"))
    assert [each.receipt for each in outbox(site)] == receipts
    assert {each.status for each in outbox(site)} == {DeliveryStatus.CANCELLED}
    assert forward_parts.waiting(site.ledger.database) == []


def test_a_study_of_many_images_is_enqueued_in_short_transactions(site: Site) -> None:
    """All of them, once, in the order of arrival, with one line of history."""
    receipts = many(site)
    with transactions.counted(site.ledger) as rows:
        run(site, rule("archive"))
    assert max(rows) <= transactions.MOST
    assert [each.receipt for each in outbox(site)] == receipts
    assert forward_parts.waiting(site.ledger.database) == []
    (event,) = [each for each in events.of_study(site.ledger.database, STUDY) if each.kind.startswith("forward.")]
    assert event.detail["instances"] == MANY


def test_fault_55_killed_between_two_parts_of_a_study(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next node enqueues what is left, as far as it still counts; results of the study wait for it."""
    receipts = many(site)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forwards, "enqueue_part", die)
        with pytest.raises(KeyboardInterrupt):
            run(site, rule("archive"))
    assert len(outbox(site)) < MANY
    with site.ledger.transaction() as database:
        database.execute("UPDATE deliveries SET status='delivered'")
        deliver = deliveries.enqueue(
            database,
            site.clock.now(),
            sop_instance_uid="9.1",
            sop_class_uid="1",
            study=STUDY,
            job=None,
            file="f",
            destination="archive",
        )
        instances.set_status(database, receipts[-1], InstanceStatus.REJECTED)
    assert turns.due(site.ledger.database, "archive", site.clock.now(), STUDY) == []
    run(site, rule("archive"))
    images = [each for each in outbox(site) if each.is_image]
    assert [each.receipt for each in images] == receipts[:-1]
    with site.ledger.transaction() as database:
        database.execute("UPDATE deliveries SET status='delivered' WHERE kind='image'")
    assert [each.id for each in turns.due(site.ledger.database, "archive", site.clock.now(), STUDY)] == [deliver]


def test_what_is_left_of_a_decision_is_not_sent_when_the_newest_is_taken(site: Site) -> None:
    """The study came again under another patient: only what is decided on then is forwarded."""
    many(site)
    with site.ledger.transaction() as database:
        images = instances.of_study(database, STUDY)
        decisions.keep_rule_set(database, site.clock.now(), "rules", "[]")
        terms = forwards.ForwardTerms("archive", 1, "on")
        forward_parts.keep(database, STUDY, "archive", terms.to_plain(), [each.receipt for each in images])
        stop_study(database, site.clock.now(), STUDY, "why", for_good=True)
    run(site)
    assert outbox(site) == []
