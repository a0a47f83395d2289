"""Rows that grow without end: what is old and over goes, what is young, open or referred to stays."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from node.clock import to_text
from node.ledger import (
    alerts,
    backups,
    box_answers,
    box_doubts,
    boxes,
    events,
    jobs,
    looks,
    old_rows,
    positions,
    services,
    stop_windows,
    suspensions,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.box_answers import AnswerStatus, BoxAnswer
from node.ledger.boxes import BoxAttempt
from node.ledger.event_kinds import EventKind
from node.ledger.old_rows import RowRule
from node.ledger.rows import query
from node.ledger.stop_windows import WatchedPlace, WindowVerdict
from tests.support.sites.outcomes import deliver
from tests.support.sites.retained import RetainSite
from tests.support.transactions import counted

STUDY = "1.1"
YEARS = 365
NOTIFICATIONS = next(rule for rule in old_rows.HISTORY if rule.table == "notifications")


@pytest.fixture
def site(tmp_path: Path) -> RetainSite:
    return RetainSite(tmp_path)


def numbers(site: RetainSite) -> dict[str, int]:
    """How many rows each table has."""
    names = [row["name"] for row in query(site.ledger.database, "SELECT name FROM sqlite_schema WHERE type='table'")]
    return {name: site.ledger.database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_what_rules_saw_goes_once_the_images_are_gone(site: RetainSite) -> None:
    """Facts, and decisions that led to nothing; a decision with a job stays, and the job without its receipts."""
    job = site.reported(STUDY, site.study(STUDY))
    site.hand.pass_(days=2 * YEARS)
    site.go(facts="1y")
    assert numbers(site)["series_facts"] == 1  # the images are here
    site.go(images="30d", results="30d", facts="1y")
    found = numbers(site)
    assert (found["series_facts"], found["decisions"], found["jobs"]) == (0, 1, 1)
    row = jobs.get(site.ledger.database, job)
    assert [(each.role, each.receipts) for each in row.inputs] == [("ct", ())]


def test_what_was_sent_goes_last_and_the_job_with_it(site: RetainSite) -> None:
    """First objects and deliveries, then the job with its attempts and the decision; the study and its purge stay."""
    site.reported(STUDY, site.study(STUDY))
    site.reported("1.2", site.study("1.2"))  # so that there is a newer job
    site.hand.pass_(days=11 * YEARS)
    site.study("1.3")
    ages = {"images": "30d", "results": "90d", "facts": "2y"}
    site.go(**ages, delivered_objects="12y")
    assert (numbers(site)["deliveries"], numbers(site)["jobs"]) == (2, 2)
    site.go(**ages, delivered_objects="10y")
    site.go(**ages, delivered_objects="10y")  # the decision goes after its job
    found = numbers(site)
    assert (found["deliveries"], found["jobs"], found["attempts"], found["job_studies"]) == (0, 1, 1, 1)
    assert found["studies"] == 3
    assert found["purges"] == 2


def test_no_number_is_given_again_although_its_row_went(site: RetainSite) -> None:
    """Events and what was said name deliveries by their number."""
    site.reported(STUDY, site.study(STUDY))
    database = site.ledger.database
    (last,) = database.execute("SELECT max(id) FROM deliveries").fetchone()
    site.hand.pass_(days=11 * YEARS)
    site.go(images="30d", results="90d", delivered_objects="10y")
    assert numbers(site)["deliveries"] == 0
    site.reported("1.2", site.study("1.2"))
    assert database.execute("SELECT min(id) FROM deliveries").fetchone()[0] > last


def test_events_go_below_every_position_and_the_age_alone(site: RetainSite) -> None:
    """The trigger refuses all others, whoever tries; a reader that has not got so far keeps them."""
    site.study(STUDY)
    site.hand.pass_(days=6 * YEARS)
    database = site.ledger.database
    before = len(events.of_study(database, STUDY))
    with site.ledger.transaction() as writing:
        positions.moved(writing, "audit", 2)
    site.go(events="5y")
    assert [event.id for event in events.of_study(database, STUDY)] == list(range(3, before + 1))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), site.ledger.transaction() as writing:
        writing.execute("DELETE FROM events WHERE id=3")
    with site.ledger.transaction() as writing:
        positions.moved(writing, "audit", 1000)
        positions.moved(writing, "audit", 5)
    assert positions.of(database, "audit") == 1000
    site.go(events="5y")
    assert events.of_study(database, STUDY) == []


def test_events_of_a_study_that_is_pinned_or_held_stay(site: RetainSite) -> None:
    """However old they are."""
    site.study(STUDY)
    site.study("1.2")
    site.hand.pass_(days=6 * YEARS)
    with site.ledger.transaction() as database:
        database.execute("INSERT INTO pins (study_instance_uid, why, by, since) VALUES ('1.1', 'pilot', 'os:a', '')")
        events.record(database, site.hand.now(), EventKind.RETENTION_RAN)
    site.go(events="5y")
    assert events.of_study(site.ledger.database, STUDY)
    assert events.of_study(site.ledger.database, "1.2") == []


def test_history_goes_once_it_is_over(site: RetainSite) -> None:
    """Closed alerts, refused callers; not an open alert, nor what is young."""
    now = site.hand.now()
    with site.ledger.transaction() as database:
        for place in ("a", "b", "c"):
            alerts.met(database, now, AlertKind.FETCH_FAILED, place)
        database.execute("UPDATE alerts SET closed_at=?, closed_by='node' WHERE place<>'b'", [to_text(now)])
        database.execute("INSERT INTO refused_callers VALUES ('h', 'A', 'B', '::1', 'r', 1, ?)", [to_text(now)])
    site.hand.pass_(days=6 * YEARS)
    with site.ledger.transaction() as database:
        alerts.met(database, site.hand.now(), AlertKind.FETCH_FAILED, "young")
    site.go(events="5y")
    places = [row["place"] for row in query(site.ledger.database, "SELECT place FROM alerts ORDER BY id")]
    assert places == ["b", "young"]
    assert numbers(site)["refused_callers"] == 0


IDENTITY = (
    "INSERT INTO identities (study_instance_uid, destination, status, detail, waiting_since, alerted, ours)"
    " VALUES ('1.1', 'pacs', 'differs', '', '', 0, '{\"PatientID\":\"7\"}')"
)
ADOPTION = (
    "INSERT INTO adoptions (study_instance_uid, destination, number, identity, by, at, open)"
    " VALUES ('1.1', 'pacs', 1, '{\"PatientID\":\"8\"}', 'node', '', 0)"
)
EARLIER = "INSERT INTO earlier_results VALUES ('1.1', ?, ?, '[]', '', '', NULL, NULL, NULL)"


def test_what_destinations_said_of_a_patient_goes_with_the_study(site: RetainSite) -> None:
    """Neither before its images, nor an adopted identity before what was sent under it, nor an open question."""
    site.reported(STUDY, site.study(STUDY))
    with site.ledger.transaction() as database:
        database.execute(IDENTITY)
        database.execute(ADOPTION)
        for destination, status in (("pacs", "taken_as_sent"), ("vna", "unknown")):
            database.execute(EARLIER, [destination, status])
        database.execute("UPDATE deliveries SET status='dead'")
    site.hand.pass_(days=11 * YEARS)
    site.reported("1.2", site.study("1.2"))  # so that there is a newer job
    ages = {"results": "90d", "facts": "2y", "delivered_objects": "10y"}
    tables = ("identities", "adoptions", "earlier_results")
    site.go(**ages)
    assert [numbers(site)[name] for name in tables] == [1, 1, 2]  # the images are here
    with site.ledger.transaction() as database:
        database.execute("UPDATE studies SET images='gone' WHERE study_instance_uid='1.1'")
    site.go(**ages)
    assert [numbers(site)[name] for name in tables] == [1, 1, 2]  # a person has to decide
    with site.ledger.transaction() as database:
        database.execute("UPDATE deliveries SET status='delivered' WHERE study_instance_uid='1.1'")
    site.go(facts="2y")
    assert [numbers(site)[name] for name in tables] == [0, 1, 2]
    for _ in range(2):  # after the deliveries, which go in the same night or the one before
        site.go(**ages)
    assert [numbers(site)[name] for name in tables] == [0, 0, 1]


def test_what_was_asked_of_archives_and_outages_go_once_over(site: RetainSite) -> None:
    """Not a batch that is open, nor an outage of a destination for which something waits; the last backup stays."""
    now = to_text(site.hand.now())
    waiting = deliver(site.ledger, site.hand.now(), STUDY, None, "2.25.1")
    with site.ledger.transaction() as database:
        for ended in (now, None, now):
            database.execute(
                "INSERT INTO commit_batches (destination, study_instance_uid, not_before, put_off_at, made_at,"
                " ended_at) VALUES ('pacs', '1.1', ?, ?, ?, ?)",
                [now, now, now, ended],
            )
            database.execute(
                "INSERT INTO archive_requests (transaction_uid, batch, asked_at)"
                " SELECT '2.25.' || max(id), max(id), '' FROM commit_batches"
            )
        for name in ("pacs", "formerly"):
            sql = "INSERT INTO outages VALUES (?, 'destination', ?, 'why', 1, 0, ?, ?, 0)"
            database.execute(sql, [name, now, now, now])
        for name in ("a", "b"):
            made = backups.begin(database, site.hand.now(), folder="/b", name=name, by="node")
            backups.made(database, site.hand.now(), made.id, files=1, size=1)
    site.hand.pass_(days=6 * YEARS)
    site.go(events="5y")
    database = site.ledger.database
    assert [row["id"] for row in query(database, "SELECT id FROM commit_batches ORDER BY id")] == [2]
    assert [row["batch"] for row in query(database, "SELECT batch FROM archive_requests ORDER BY batch")] == [2]
    assert [row["destination"] for row in query(database, "SELECT destination FROM outages")] == [waiting.destination]
    assert [row["name"] for row in query(database, "SELECT name FROM backups")] == ["b"]


def test_a_notification_goes_after_those_that_it_was_passed_on_to(site: RetainSite) -> None:
    """The younger one names it, and it may still have to be heard."""
    old = to_text(site.hand.now())
    site.hand.pass_(days=6 * YEARS)
    young = to_text(site.hand.now())
    site.study(STUDY)
    sql = (
        "INSERT INTO notifications (study, id, key, occasion, person, status, sent_by, attempts, not_before,"
        " enqueued_at, escalated_from, escalate_at) VALUES ('1.1', ?, ?, 'match', 'duty', 'sent', '[]', 0, '', ?, ?, ?)"
    )
    with site.ledger.transaction() as database:
        rows = ((1, old, None, None), (2, young, 1, None), (3, old, None, young), (4, old, None, None))
        for number, at, earlier, until in rows:
            database.execute(sql, [number, str(number), at, earlier, until])
    list(old_rows.remove(site.ledger, NOTIFICATIONS, site.hand.now() - timedelta(days=YEARS), site.hand.now()))
    # those behind a young one wait for it
    assert [row["id"] for row in query(site.ledger.database, "SELECT id FROM notifications")] == [1, 2, 3, 4]
    with site.ledger.transaction() as database:
        database.execute("UPDATE notifications SET enqueued_at=?", [old])
    list(old_rows.remove(site.ledger, NOTIFICATIONS, site.hand.now() - timedelta(days=YEARS), site.hand.now()))
    assert [row["id"] for row in query(site.ledger.database, "SELECT id FROM notifications")] == [1, 3]


def test_windows_of_stop_rules_go_once_they_are_over(site: RetainSite) -> None:
    """What suspends a rule, has an open alert or still gets jobs stays, however old; a quiet scanner does not."""
    quiet, busy = (site.reported(study, site.study(study)) for study in (STUDY, "1.2"))

    def window(scanner: str, job: str) -> stop_windows.StopWindow:
        place = WatchedPlace("lungs", "{}", "lung-density", "rule", scanner, "")
        return stop_windows.count(database, site.hand.now(), place, job, hit=True)

    with site.ledger.transaction() as database:
        stop_windows.end(database, site.hand.now(), window("kept", quiet), WindowVerdict.KEPT)
        stop_windows.met(database, site.hand.now(), window("alert", quiet), "20 of 20 jobs failed")
        for scanner in ("suspended", "resumed"):
            met = window(scanner, quiet)
            stop_windows.met(database, site.hand.now(), met, "20 of 20 jobs failed")
            suspensions.begin(database, site.hand.now(), met, "20 of 20 jobs failed")
        suspensions.end(database, site.hand.now(), str(met.id), "os:kim", "mended")
        for number in alerts.over(database):
            alerts.close(database, site.hand.now(), number)
        window("gone scanner", quiet)
        window("busy scanner", busy)
        site.hand.pass_(days=2 * YEARS)
        database.execute("UPDATE jobs SET finished_at=? WHERE id=?", [to_text(site.hand.now()), busy])
        window("newest", busy)
    site.go(events="1y")
    left = [row["scanner"] for row in query(site.ledger.database, "SELECT scanner FROM stop_windows ORDER BY id")]
    assert left == ["alert", "suspended", "busy scanner", "newest"]


def test_rows_go_in_short_transactions_and_a_window_at_a_time(site: RetainSite) -> None:
    """However many there are: 200 a transaction, and no question reads the whole table."""
    now = to_text(site.hand.now())
    with site.ledger.transaction() as database:
        rows = [(f"h{number}", now) for number in range(2500)]
        sql = "INSERT INTO refused_callers VALUES (?, 'A', 'B', '::1', 'r', 1, ?)"
        database.conn.executemany(sql, rows)
    later = site.hand.now() + timedelta(days=9)
    with counted(site.ledger) as changed:
        done = list(old_rows.remove(site.ledger, RowRule("refused_callers", "last_at<:before"), later, later))
    assert (sum(done), max(done)) == (2500, 200)
    assert max(changed) == 200


def test_rows_are_read_up_to_the_first_that_is_too_young(site: RetainSite) -> None:
    """Rows are in order of time: those behind it are not looked at."""
    with site.ledger.transaction() as database:
        for day in range(5):
            at = to_text(site.hand.now() + timedelta(days=day))
            database.execute("INSERT INTO refused_callers VALUES (?, 'A', 'B', '::1', 'r', 1, ?)", [str(day), at])
    rule = RowRule("refused_callers", "last_at<:before", young="last_at>=:before")
    before = site.hand.now() + timedelta(days=2)
    assert list(old_rows.found(site.ledger, rule, before, before)) == [[1, 2]]
    assert list(old_rows.found(site.ledger, rule, site.hand.now(), before)) == []


@pytest.mark.parametrize("rules", [old_rows.FACTS, old_rows.DELIVERED_OBJECTS, old_rows.HISTORY])
def test_every_rule_is_sound_sql(site: RetainSite, rules: tuple[RowRule, ...]) -> None:
    """On a ledger with rows of all kinds, removed as a whole."""
    site.reported(STUDY, site.study(STUDY))
    later = site.hand.now() + timedelta(days=40 * YEARS)
    for rule in rules:
        list(old_rows.remove(site.ledger, rule, later, later))
    assert site.ledger.database.execute("PRAGMA foreign_key_check").fetchall() == []


def test_what_a_box_or_service_was_sent_goes_with_its_job(site: RetainSite) -> None:
    """Its answers stay known by their UIDs: a PACS may send them back years later."""
    site.reported(STUDY, site.study(STUDY))
    site.reported("1.2", site.study("1.2"))
    with site.ledger.transaction() as database:
        (attempt,) = query(database, "SELECT attempts.id, job FROM attempts JOIN jobs ON jobs.id=job LIMIT 1")
        box_doubts.ask(database, site.hand.now(), attempt["job"], "cad", STUDY)
        looks.keep(database, looks.planned(database, site.hand.now(), STUDY, 1, ["r"], answer=attempt["job"]))
        looks.decided(database, site.hand.now(), looks.undecided(database)[0])
        name, now = attempt["id"], site.hand.now()
        boxes.laid_out(database, BoxAttempt(name, "cad", "NODE", "P", None, None, 0, None), ["1.2.3.4"])
        boxes.answered_in(database, name, "cad", "pacs", ["1.2.3"])
        services.laid_out(database, name, "ai", "key")
        answer = BoxAnswer("r" * 32, "cad", "1.9", "1.9", "1.1", "NODE", "a", now, AnswerStatus.NEW, None, None, None)
        box_answers.received(database, answer)
        box_answers.matched(database, answer, name)
    site.hand.pass_(days=11 * YEARS)
    site.study("1.3")
    for _ in range(2):
        site.go(images="30d", results="90d", facts="2y", delivered_objects="10y")
    found = numbers(site)
    gone = ("box_attempts", "box_instances", "box_series", "box_doubts")
    assert [found[table] for table in (*gone, "box_answers")] == [0, 0, 0, 0, 1]
    assert found["service_attempts"] == 0
    assert box_answers.is_answer(site.ledger.database, "1.9")
    assert site.ledger.database.execute("PRAGMA foreign_key_check").fetchall() == []
