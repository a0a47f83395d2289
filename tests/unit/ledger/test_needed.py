"""Each reason why something may not go holds it, and its end lets it go: a table over both questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from node.ledger import alerts, commitments, defects, forward_parts, instances, needed, notifications, studies, timers
from node.ledger.alert_kinds import AlertKind
from node.ledger.commitment import NewCommitment
from node.ledger.connection import Database
from node.ledger.delivery import DeliveryStatus
from node.ledger.needed import NeedKind
from node.ledger.notifications import Occasion
from node.ledger.rows import query
from node.ledger.timers import TimerKind
from tests.support.sites.outcomes import match
from tests.support.sites.retained import RetainSite

UID, OTHER = "1.1", "1.2"
LATER = timedelta(days=3000)


@dataclass(frozen=True)
class Case:
    """What makes something needed, and what ends that; by SQL where no stage of this branch does it."""

    begins: Callable[[Database, datetime, str], object] | str
    ends: Callable[[Database, datetime, str], object] | str
    study: bool = True
    """Whether it holds the images of the study."""
    job: bool = True
    """Whether it holds the files of its job."""


def promise(keep: timedelta | None, through: str | None = None) -> Callable[[Database, datetime, str], None]:
    """Storage commitment of one image, asked for and, but for `through`, given."""

    def ask(database: Database, at: datetime, _: str) -> None:
        uid = instances.of_study(database, UID)[0].sop_instance_uid
        new = NewCommitment("e", "1.9", "CT1", "NODE", "", at, [("1", uid)], through, keep)
        number = commitments.take(database, at, new, 0x0131)
        assert number is not None
        commitments.judged(database, at, number, {0: (None if through else 0, UID)}, 0x0110)
        if through is None:
            commitments.reported(database, at, number, 0, "on a test")

    return ask


def notify(database: Database, at: datetime, _: str) -> None:
    notifications.enqueue(database, at, match(database, at, UID), Occasion.MATCH, ["duty"])


def set_aside(database: Database, at: datetime, _: str) -> None:
    alerts.met(database, at, AlertKind.INSTANCE_CONFLICT, UID, study=UID)


DELIVERY = "UPDATE deliveries SET status='{}' WHERE job='{job}'"
COMMITMENT = "UPDATE deliveries SET commitment='{}' WHERE job='{job}'"
JOB = "UPDATE jobs SET status='{}' WHERE id='{job}'"
STUDY = "UPDATE studies SET {} WHERE study_instance_uid='1.1'"
FETCH = (
    "INSERT INTO fetches (decision, study_instance_uid, rule, source, wanted, status, prior_study, attempts,"
    " not_before, deadline, asked_at)"
    " SELECT id, '{}', 'r', 'pacs', '{{}}', 'arriving', {}, 0, '', '', '' FROM decisions LIMIT 1"
)
FETCHED = "UPDATE fetches SET status='fetched', ended_at='x', followed_up=1"
PIN = "INSERT INTO pins (study_instance_uid, why, by, since, until) VALUES ('1.1', 'pilot', 'os:a', '', {})"
WITHDRAWAL = (
    "INSERT INTO withdrawals (item, destination, study_instance_uid, delivery, reason, by, status, listed_at)"
    " SELECT item, destination, study_instance_uid, id, 'x', 'node', '{}', '' FROM deliveries WHERE job='{job}'"
)


def _later_step(database: Database, _at: datetime, job: str) -> None:
    """A job of another step that waits, and takes the result of this one."""
    (row,) = query(database, "SELECT * FROM jobs WHERE id=?", [job])
    row = dict(row)
    row |= {"id": "later", "step": "later", "status": "queued", "outcome": None, "result": None, "files": "gone"}
    row |= {"finished_at": None, "encoded_at": None, "answered_by": None, "supersedes": None}
    names, marks = ",".join(row), ",".join("?" * len(row))
    database.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", list(row.values()))
    database.execute("INSERT INTO job_results (job, name, source, digest) VALUES ('later','mask',?,'d')", [job])


CASES: dict[tuple[NeedKind, str], Case] = {
    (NeedKind.GOING, "the images"): Case(STUDY.format("images='purging'"), STUDY.format("images='here'"), job=False),
    (NeedKind.GOING, "the files"): Case("UPDATE jobs SET files='purging'", "UPDATE jobs SET files='here'", study=False),
    (NeedKind.RECEIVING, ""): Case(STUDY.format("status='receiving'"), STUDY.format("status='complete'"), job=False),
    (NeedKind.UNDECIDED, "a revision"): Case(
        STUDY.format("decided_revision=0"), STUDY.format("decided_revision=1"), job=False
    ),
    (NeedKind.UNDECIDED, "a look"): Case(
        "INSERT INTO looks VALUES ('1.1', 1, 1, '[]', NULL, '', NULL, NULL)",
        "UPDATE looks SET decided_at='x'",
        job=False,
    ),
    (NeedKind.HELD, ""): Case(
        lambda database, at, _: studies.hold(database, at, UID, "x"),
        lambda database, at, _: studies.unhold(database, at, UID, "os:a"),
    ),
    (NeedKind.SET_ASIDE, ""): Case(set_aside, "UPDATE alerts SET acknowledged_at='x'", job=False),
    (NeedKind.PINNED, "for ever"): Case(PIN.format("NULL"), "DELETE FROM pins"),
    (NeedKind.PINNED, "until a day"): Case(PIN.format("'2999-01-01'"), "UPDATE pins SET until='2000-01-01'"),
    **{
        (NeedKind.JOB_OPEN, status): Case(JOB.replace("{}", status), JOB.replace("{}", "reported"))
        for status in ("queued", "running", "ended")
    },
    (NeedKind.JOB_OPEN, "of another study, that compares"): Case(
        "INSERT INTO job_studies SELECT id, '1.1', 'earlier' FROM jobs WHERE id<>'{job}';"
        "UPDATE jobs SET status='queued' WHERE id<>'{job}'",
        "UPDATE jobs SET status='reported'",
        job=False,
    ),
    (NeedKind.UNREPORTABLE, ""): Case(JOB.replace("{}", "unreportable"), JOB.replace("{}", "cancelled")),
    (NeedKind.FOLLOW_UP, ""): Case("UPDATE jobs SET followed_up=0", "UPDATE jobs SET followed_up=1"),
    (NeedKind.LATER_STEP, ""): Case(
        _later_step, "UPDATE jobs SET status='cancelled', finished_at=created_at WHERE id='later'", study=False
    ),
    (NeedKind.RULE_WAITS, ""): Case(
        lambda database, at, _: timers.start(database, UID, "r", TimerKind.WAIT, at, at),
        lambda database, at, _: timers.stop(database, UID, TimerKind.WAIT, "r"),
        job=False,
    ),
    (NeedKind.FETCH_OPEN, "for it"): Case(FETCH.format(UID, "NULL"), FETCHED, job=False),
    (NeedKind.FETCH_OPEN, "of it"): Case(FETCH.format(OTHER, "'1.1'"), FETCHED, job=False),
    **{
        (NeedKind.NOT_DELIVERED, status): Case(DELIVERY.replace("{}", status), DELIVERY.replace("{}", end))
        for status, end in (
            (DeliveryStatus.WAITING, DeliveryStatus.DELIVERED),
            (DeliveryStatus.SENDING, DeliveryStatus.SUPERSEDED),
            (DeliveryStatus.HELD, DeliveryStatus.CANCELLED),
            (DeliveryStatus.DEAD, DeliveryStatus.CANCELLED),
            (DeliveryStatus.REFUSED, DeliveryStatus.REPLACED),
            (DeliveryStatus.WAITING, DeliveryStatus.WITHHELD),
        )
    },
    (NeedKind.NOT_DELIVERED, "not in the outbox yet"): Case(
        lambda database, at, _: forward_parts.keep(database, UID, "vna", {}, ["r"]),
        lambda database, at, _: forward_parts.drop(database, UID),
        job=False,
    ),
    (NeedKind.ADOPTED, ""): Case(
        "INSERT INTO adoptions (study_instance_uid, destination, number, identity, by, at, open)"
        " VALUES ('1.1', 'pacs', 1, '{}', 'node', '', 1)",
        "UPDATE adoptions SET open=0",
    ),
    **{
        (NeedKind.NOT_COMMITTED, state): Case(COMMITMENT.replace("{}", state), COMMITMENT.replace("{}", "committed"))
        for state in ("wanted", "asked", "refused", "overdue")
    },
    (NeedKind.COMMITMENT_OPEN, "at the archive"): Case(
        promise(None, "pacs"), "UPDATE commitments SET status='reported'", job=False
    ),
    (NeedKind.PROMISED, "for a time"): Case(promise(LATER), "UPDATE commitments SET keep_seconds=60", job=False),
    (NeedKind.PROMISED, "for ever, by an earlier release"): Case(
        promise(None), "UPDATE commitment_items SET failure=272", job=False
    ),
    (NeedKind.WITHDRAWAL, "listed"): Case(
        WITHDRAWAL.replace("{}", "listed"), "UPDATE withdrawals SET status='dismissed'"
    ),
    (NeedKind.WITHDRAWAL, "sent"): Case(WITHDRAWAL.replace("{}", "sent"), "UPDATE withdrawals SET status='done'"),
    (NeedKind.NOT_NOTIFIED, "about the study"): Case(notify, "UPDATE notifications SET status='sent'", job=False),
    (NeedKind.NOT_NOTIFIED, "about the job"): Case(
        "INSERT INTO notifications (key, job, occasion, person, status, sent_by, attempts, not_before, enqueued_at)"
        " VALUES ('k', '{job}', 'match', 'duty', 'sending', '[]', 0, '', '')",
        "UPDATE notifications SET status='sent'",
    ),
    (NeedKind.DEFECT, ""): Case(
        lambda database, at, job: defects.failed(database, at, "run", "job:x", "why", study=UID),
        lambda database, at, _: defects.settled(database, "run", "job:x"),
    ),
}


@pytest.fixture
def site(tmp_path: Path) -> RetainSite:
    """Two studies of long ago, with a job each, of which nothing is needed any more."""
    made = RetainSite(tmp_path)
    made.reported(OTHER, made.study(OTHER))
    made.hand.pass_(days=30)
    return made


def do(site: RetainSite, what: Callable[[Database, datetime, str], object] | str, job: str) -> None:
    with site.ledger.transaction() as database:
        if callable(what):
            what(database, site.hand.now(), job)
            return
        for statement in what.split(";"):
            database.execute(statement.replace("{job}", job))


def kinds(site: RetainSite, job: str) -> tuple[list[NeedKind], list[NeedKind]]:
    database, now = site.ledger.database, site.hand.now()
    return (
        [each.kind for each in needed.why_needed(database, UID, now)],
        [each.kind for each in needed.why_needed_job(database, job, now)],
    )


@pytest.mark.parametrize("name", CASES, ids=" ".join)
def test_each_reason_holds_what_it_is_about_until_it_ends(site: RetainSite, name: tuple[NeedKind, str]) -> None:
    """By that reason alone; and retention leaves the files where they are."""
    kind, case = name[0], CASES[name]
    receipts = site.study(UID)
    job = site.reported(UID, receipts)
    site.hand.pass_(days=30)
    assert kinds(site, job) == ([], [])
    do(site, case.begins, job)
    assert kinds(site, job) == ([kind] if case.study else [], [kind] if case.job else [])
    if kind is not NeedKind.GOING:
        site.go(images="1d", unmatched="1d", results="1d")
        kept = {receipt for receipt in receipts if receipt in site.stored()}
        assert kept == (set(receipts) if case.study else set())
        assert (site.data_folder.results / job).exists() == case.job
        return
    do(site, case.ends, job)
    assert kinds(site, job) == ([], [])


@pytest.mark.parametrize("name", CASES, ids=" ".join)
def test_each_reason_has_an_end(site: RetainSite, name: tuple[NeedKind, str]) -> None:
    """What ends it is what the handbook says; then everything goes."""
    case, receipts = CASES[name], site.study(UID)
    job = site.reported(UID, receipts)
    do(site, case.begins, job)
    do(site, case.ends, job)
    site.hand.pass_(days=30)
    site.go(images="1d", unmatched="1d", results="1d")
    assert not set(receipts) & set(site.stored())
    assert not (site.data_folder.results / job).exists()


def test_every_reason_is_in_the_table() -> None:
    """And has a sentence of its own."""
    assert {kind for kind, _ in CASES} == set(NeedKind)
    assert len({kind.sentence for kind in NeedKind}) == len(NeedKind)


def test_a_promise_ends_with_its_own_time_and_not_with_a_new_setting(site: RetainSite) -> None:
    """What was asked for under a year is kept for a year, whatever `keep` says by then."""
    site.study(UID)
    do(site, promise(timedelta(days=365)), "")
    database = site.ledger.database
    for days, expected in ((364, [NeedKind.PROMISED]), (2, [])):
        site.hand.pass_(days=days)
        assert [each.kind for each in needed.why_needed(database, UID, site.hand.now())] == expected


def test_an_archive_that_has_committed_itself_keeps_the_promise(site: RetainSite) -> None:
    """With `commit_through` the node's own copy may go then."""
    site.study(UID)
    do(site, promise(timedelta(days=365), "pacs"), "")
    do(site, "UPDATE commitment_items SET failure=0;UPDATE commitments SET status='reported', decided_at='{now}'", "")
    assert needed.why_needed(site.ledger.database, UID, site.hand.now()) == []


def test_nothing_is_promised_of_what_began_to_go(site: RetainSite) -> None:
    """A modality must not delete its own images because of a success that was true a moment ago."""
    site.study(UID)
    do(site, STUDY.format("images='purging'"), "")
    do(site, promise(timedelta(days=365)), "")
    (number,) = [row["id"] for row in site.ledger.database.query("SELECT id FROM commitments")]
    (item,) = commitments.items(site.ledger.database, number)
    assert item.failure == 0x0110


def test_a_request_that_is_not_judged_yet_holds_its_images(site: RetainSite) -> None:
    """Its items name no study yet: the SOP instances tell."""
    site.study(UID)
    with site.ledger.transaction() as database:
        uid = instances.of_study(database, UID)[0].sop_instance_uid
        new = NewCommitment("e", "1.9", "CT1", "NODE", "", site.hand.now(), [("1", uid)], None)
        commitments.take(database, site.hand.now(), new, 0x0131)
    found = needed.why_needed(site.ledger.database, UID, site.hand.now())
    assert [each.kind for each in found] == [NeedKind.COMMITMENT_OPEN]
