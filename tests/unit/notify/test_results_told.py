"""The right person is told of a result, until somebody has taken note, and again when it does not stand any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from node.config.models import Configuration
from node.errors import PermanentError
from node.index import stopping
from node.ledger import (
    acknowledgements,
    alerts,
    jobs,
    late,
    notices,
    notifications,
    plugin_failures,
    recalled_results,
    recalls,
    studies,
)
from node.ledger.alert_kinds import AlertKind
from node.ledger.job import Job, JobOutcome
from node.ledger.notifications import Notification, NotificationStatus, Occasion
from node.ledger.recalls import NewRecall, RecallReason
from node.ledger.terms import NoticeTerms, Terms, from_kept
from node.notify.stage import NotifyStage
from node.run import found
from plugins.contract import Code, Finding, Result, ResultStatus, Score
from rules import actions
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.sites.job_site import STUDY, Site
from tests.support.sites.listeners import MailServer, WebService, mail_server, web_service

BLOOD = Code("50960005", "SCT", "Hemorrhage")
TEXT = "Hong Gildong bleeds."
CAREFUL = {"code": ["SCT:50960005"], "urgent": True, "score": {"at_least": 0.8}}


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def web() -> Iterator[WebService]:
    with web_service() as service:
        yield service


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.receive(2, PatientName=("PN", "Hong^Gildong"))
    site.complete()
    return site


def notice(*on: str, whom: str = "duty", **more: Any) -> NoticeTerms:
    return NoticeTerms(on=on, whom=(whom,), **more)


LADDER = notice("findings", text="Look.", within=600.0, then=("second", "third"))


def ended(
    site: Site,
    *terms: NoticeTerms,
    status: ResultStatus = ResultStatus.FINDINGS,
    score: float | None = 0.9,
    urgent: bool = True,
    **job: Any,
) -> Job:
    """A job whose result is known, told to whom its terms say."""
    made = site.job("bleed", ["r1"], **{"rule": "head", "terms": Terms(notices=terms), **job})
    kept = Score(score, 0.5) if score is not None else None
    findings = {
        ResultStatus.FINDINGS: (Finding(BLOOD, present=True, urgent=urgent, score=kept),),
        ResultStatus.NO_FINDINGS: (Finding(BLOOD, present=False),),
    }.get(status, ())
    with site.ledger.transaction() as database:
        now = site.clock.now()
        jobs.started(database, now, made.id, {"name": "Bleed", "version": "2.1"})
        outcome = JobOutcome(status)
        done = jobs.ended(database, now, made.id, outcome, "results/x", None, found.of(Result(status, TEXT, findings)))
        notices.of_result(database, now, done)
    return done


def told(site: Site) -> list[tuple[str, str]]:
    """Whom, and why, in order."""
    return [(each.person, each.occasion) for each in every(site)]


def every(site: Site) -> list[Notification]:
    return notifications.of_study(site.ledger.database, STUDY)


def configured(web: WebService | None, mail: MailServer | None = None, **notify: Any) -> Configuration:
    ways: dict[str, Any] = {"webhook": {"url": web.url, "timeout": "5s"}} if web else {}
    server = None
    if mail:
        ways["email"] = "duty@hospital.example"
        server = {"host": "127.0.0.1", "port": mail.port, "tls": "none", "sender": "node@hospital.example"}
    return Configuration.model_validate(
        {
            "node": {"time_zone": "Asia/Seoul"},
            "people": dict.fromkeys(("duty", "second", "third", "admin"), ways),
            "notify": {"mail": server, **notify},
        }
    )


def send(site: Site, web: WebService | None, mail: MailServer | None = None, **notify: Any) -> None:
    NotifyStage(site.node, configured(web, mail, **notify)).run_once()


def pass_(site: Site, **duration: float) -> None:
    assert isinstance(site.clock, HandClock)
    site.clock.pass_(**duration)


@pytest.mark.parametrize(
    ("status", "occasion"),
    [
        (ResultStatus.FINDINGS, [("duty", "findings")]),
        (ResultStatus.FAILED, [("admin", "failure")]),
        (ResultStatus.NOT_APPLICABLE, [("admin", "not-analysed")]),
        (ResultStatus.NO_FINDINGS, []),
    ],
)
def test_each_outcome_is_told_to_whom_the_rule_names_for_it(
    site: Site, status: ResultStatus, occasion: list[tuple[str, str]]
) -> None:
    """Findings to one, what has no result to another, and a result without findings to nobody."""
    ended(site, notice("findings"), notice("failure", "not_analysed", whom="admin"), status=status)
    assert told(site) == occasion


@pytest.mark.parametrize(
    ("result", "is_told"),
    [
        ({}, True),
        ({"score": 0.79}, False),
        ({"score": None}, False),
        ({"urgent": False}, False),
    ],
)
def test_findings_are_told_by_code_score_and_urgency(site: Site, result: dict[str, Any], is_told: bool) -> None:
    """All of it has to hold of the same finding."""
    ended(site, notice("findings", finding=CAREFUL), **result)
    assert told(site) == ([("duty", "findings")] if is_told else [])


def test_a_rule_in_shadow_mode_tells_nobody(site: Site) -> None:
    """Whatever came of it, and whatever its terms say."""
    for status in ResultStatus:
        ended(site, notice("findings", "failure", "not_analysed"), status=status, mode="shadow", rule=f"rule-{status}")
    assert told(site) == []


def test_the_message_says_which_study_who_made_it_and_in_which_mode(site: Site, mail: MailServer) -> None:
    """The Study UID always, the accession number where the site wants it, and nothing that names the patient."""
    job = ended(site, LADDER)
    send(site, None, mail, accession_number=True)
    (email,) = mail.received
    assert email["Subject"] == "[pacsnode] URGENT: An AI finding, not verified (CT of 2026-03-01)"
    text = " ".join(email.get_content().split())
    for words in (
        f"Study UID {STUDY}",
        "Accession number A1",
        "Hemorrhage, 0.9 (URGENT)",
        "AI (Bleed 2.1); no person has verified it",
        "pilot: investigational, not for diagnosis",
        f"Job {job.id}",
        "until 2026-03-01 18:10:00+09:00, or second is notified: on the node, pacsnode ack notification:1",
    ):
        assert words in text
    for name in ("Gildong", "P1", TEXT):
        assert name not in str(email)


def test_a_message_in_korean(site: Site, mail: MailServer) -> None:
    """`notify.language: ko`: the headline, what to make of it, and every label."""
    ended(site, notice("failure"), status=ResultStatus.FAILED)
    send(site, None, mail, language="ko")
    (email,) = mail.received
    assert email["Subject"].startswith("[pacsnode] AI 결과 없음: 분석에 실패했습니다")
    assert "결과 없음은 음성 결과가 아닙니다" in email.get_content()


def test_a_failure_says_that_silence_is_no_negative(site: Site, web: WebService) -> None:
    """And lists no finding."""
    ended(site, notice("failure"), status=ResultStatus.FAILED)
    send(site, web)
    (plain,) = web.received
    assert (plain["occasion"], plain["findings"], plain["study_instance_uid"]) == ("failure", [], STUDY)
    assert plain["made_by"] == {"ai": True, "verified": False, "algorithm": "Bleed 2.1"}


def test_who_was_told_is_told_when_images_are_rejected(site: Site, web: WebService) -> None:
    """At once, though the study is held; who was not told yet never is; nobody twice."""
    job = ended(site, notice("findings"))
    send(site, web)
    for _ in range(2):
        with site.ledger.transaction() as database:
            stopping.stop_users_of(database, site.clock.now(), STUDY, {"r1"}, set(), "images were rejected")
            studies.hold(database, site.clock.now(), STUDY, "a correction arrived")
    assert told(site) == [("duty", "findings"), ("duty", "withdrawn")]
    send(site, web)
    assert [each["occasion"] for each in web.received] == ["findings", "withdrawn"]
    assert (web.received[1]["reason"], web.received[1]["job"]) == ("images were rejected", job.id)
    assert (web.received[1]["findings"], web.received[1]["takes_back"]) == ([], 1)


def withdraw(site: Site, version: str) -> None:
    """A person withdraws a version of the plugin, and the command is given twice."""
    new = NewRecall("bleed", version, RecallReason.SAFETY, "reads contrast as blood", "os:kim", 60)
    with site.ledger.transaction() as database:
        recall = recalls.begin(database, site.clock.now(), new)
    for _ in range(2):
        recalled_results.carry_out(site.ledger, recall, site.clock.now())


@pytest.mark.parametrize("is_reported", [True, False])
def test_who_was_told_is_told_when_the_version_is_withdrawn(site: Site, web: WebService, is_reported: bool) -> None:
    """Why, in the words of the person who withdrew it, once; also where the report had not been made yet."""
    job = ended(site, notice("findings"), notice("failure", whom="admin"))
    send(site, web)
    if is_reported:
        with site.ledger.transaction() as database:
            jobs.reported(database, site.clock.now(), job.id, 1)
    withdraw(site, "2.1")
    assert told(site) == [("duty", "findings"), ("duty", "withdrawn")]
    send(site, web)
    last = web.received[-1]
    assert (last["occasion"], last["job"], last["takes_back"]) == ("withdrawn", job.id, 1)
    assert last["reason"] == "bleed 2.1 was withdrawn (safety): reads contrast as blood"


def test_a_withdrawal_tells_nobody_of_what_stands_or_was_not_told(site: Site, web: WebService) -> None:
    """Another version's result stands; and a message that has not gone out never does."""
    ended(site, notice("findings"))
    withdraw(site, "2.0")
    assert told(site) == [("duty", "findings")]
    withdraw(site, "2.1")
    send(site, web)
    assert (told(site), web.received) == ([("duty", "findings")], [])


def test_of_what_nobody_was_told_nobody_is_told_that_it_does_not_stand(site: Site, web: WebService) -> None:
    """The first message had not gone out: it is cancelled, and that is all."""
    ended(site, notice("findings"))
    with site.ledger.transaction() as database:
        stopping.stop_users_of(database, site.clock.now(), STUDY, {"r1"}, set(), "images were rejected")
    send(site, web)
    assert (told(site), web.received) == ([("duty", "findings")], [])


def test_a_newer_result_is_told_as_one_that_replaces(site: Site, web: WebService) -> None:
    """One message to whom it is sent anyway, which says what it replaces; another one to the others."""
    old = ended(site, notice("findings"), notice("findings", whom="admin"))
    send(site, web)
    pass_(site, minutes=5)
    with site.ledger.transaction() as database:
        jobs.reported(database, site.clock.now(), old.id, 1)
        new = jobs.again(database, site.clock.now(), old.id, "os:kim")
        database.execute("UPDATE jobs SET terms=? WHERE id=?", [Terms(notices=(notice("findings"),)).to_text(), new.id])
        jobs.started(database, site.clock.now(), new.id, {})
        kept = found.of(Result(ResultStatus.FINDINGS, TEXT, (Finding(BLOOD, present=True),)))
        done = jobs.ended(database, site.clock.now(), new.id, JobOutcome.FINDINGS, "results/y", None, kept)
        notices.of_result(database, site.clock.now(), done)
        notices.supersede(database, site.clock.now(), [old], done)
    assert told(site)[2:] == [("duty", "findings"), ("admin", "superseded")]
    send(site, web)
    last = {each["occasion"]: each for each in web.received[2:]}
    assert last["findings"]["replaces"] == 1
    assert (last["superseded"]["job"], last["superseded"]["newer_job"]) == (old.id, new.id)
    assert last["superseded"]["newer_outcome"] == "findings"


def test_what_cannot_be_reported_is_a_failure_and_was_no_finding(site: Site, web: WebService) -> None:
    """Who was told of the finding is told that it does not stand; who is to know of failures is told of one."""
    job = ended(site, notice("findings"), notice("failure", whom="admin"))
    send(site, web)
    with site.ledger.transaction() as database:
        jobs.unreportable(database, site.clock.now(), job.id, "no")
        notices.of_failure(database, site.clock.now(), jobs.get(database, job.id))
    assert told(site)[1:] == [("duty", "withdrawn"), ("admin", "failure")]


def test_silence_hands_it_to_the_next_and_in_the_end_is_an_alert(site: Site, web: WebService) -> None:
    """Ten minutes each from when it was sent; who comes next reads that nobody did; acknowledged, the alert closes."""
    ended(site, LADDER)
    send(site, web)
    pass_(site, minutes=9)
    send(site, web)
    assert [each["notification"] for each in web.received] == [1]
    for minutes in (2, 11):
        pass_(site, minutes=minutes)
        send(site, web)
        send(site, web)
    assert told(site) == [(name, "findings") for name in ("duty", "second", "third")]
    assert len(web.received) == 3
    assert every(site)[1].escalated_from == 1
    pass_(site, minutes=11)
    send(site, web)
    (alert,) = history.open_alerts(site.ledger.database)
    assert (alert.kind, alert.place) == (AlertKind.NOTIFICATION_UNACKNOWLEDGED, "3")
    with site.ledger.transaction() as database:
        acknowledgements.acknowledge(database, site.clock.now(), 3, "os:kim")
    assert history.open_alerts(site.ledger.database) == []


def test_one_acknowledgement_counts_for_everybody(site: Site, web: WebService) -> None:
    """Whoever of them says so: nobody else is notified, and a second one is refused."""
    ended(site, LADDER, notice("findings", whom="admin", within=60.0, then=("third",)))
    send(site, web)
    with site.ledger.transaction() as database:
        fresh = acknowledgements.acknowledge(database, site.clock.now(), 2, "os:kim")
    assert [each.person for each in fresh] == ["duty", "admin"]
    pass_(site, hours=5)
    send(site, web)
    assert told(site) == [("duty", "findings"), ("admin", "findings")]
    with pytest.raises(PermanentError, match="acknowledged already, by os:kim"), site.ledger.transaction() as database:
        acknowledgements.acknowledge(database, site.clock.now(), 1, "os:lee")


def test_nobody_is_called_for_a_result_that_does_not_stand(site: Site, web: WebService) -> None:
    """A finding that was taken back escalates no more."""
    ended(site, LADDER)
    send(site, web)
    with site.ledger.transaction() as database:
        stopping.stop_users_of(database, site.clock.now(), STUDY, {"r1"}, set(), "images were rejected")
    pass_(site, hours=1)
    send(site, web)
    assert told(site) == [("duty", "findings"), ("duty", "withdrawn")]
    assert history.open_alerts(site.ledger.database) == []


def test_a_server_that_is_down_hands_it_on_too(site: Site, web: WebService) -> None:
    """From the first try on: the first person cannot be reached, and the finding does not wait for that."""
    web.status = 503
    ended(site, LADDER)
    send(site, web)
    pass_(site, minutes=11)
    web.status = 204
    send(site, web)
    send(site, web)
    assert {each["notification"] for each in web.received} == {1, 2}


@pytest.mark.parametrize("days", [-10, 10])
def test_a_clock_that_was_wrong_hands_nothing_on_early_or_never(site: Site, web: WebService, days: int) -> None:
    """Ahead while it was sent, then right; or set back since: ten minutes are ten minutes, to a minute or so."""
    clock = site.clock
    assert isinstance(clock, HandClock)
    clock.jump(days=max(0, days))
    ended(site, LADDER)
    send(site, web)
    clock.jump(days=-abs(days))
    send(site, web)
    pass_(site, minutes=8)
    send(site, web)
    assert len(every(site)) == 1
    pass_(site, minutes=4)
    send(site, web)
    assert len(every(site)) == 2


def test_a_result_that_does_not_come_is_late(site: Site, web: WebService) -> None:
    """Nobody waits for the analysis to end before somebody is told; once."""
    limit = site.clock.now() + timedelta(minutes=30)
    site.job("bleed", ["r1"], rule="head", terms=Terms(expires_at=limit, notices=(notice("late", text="Slow."),)))
    send(site, web)
    assert told(site) == []
    pass_(site, minutes=31)
    for _ in range(3):
        send(site, web)
    assert told(site) == [("duty", "late")]
    send(site, web)
    assert web.received[0]["text"] == "Slow."


def test_a_result_that_came_late_is_told_whatever_it_found(site: Site) -> None:
    """`on: late` of every result; `expires: {then: notify}` of findings alone."""
    job = ended(site, notice("late"), status=ResultStatus.NO_FINDINGS)
    with site.ledger.transaction() as database:
        late.tell(database, site.clock.now(), job)
    assert told(site) == [("duty", "late")]


def test_a_death_in_the_midst_says_that_it_may_come_twice(site: Site, mail: MailServer) -> None:
    """Under the same Message-ID, and the message says so; once it is sent, no third time."""
    ended(site, notice("findings"))
    with site.ledger.transaction() as database:
        notifications.sending(database, site.clock.now(), 1)
    for _ in range(3):
        send(site, None, mail)
    (email,) = mail.received
    assert email["Message-ID"] == f"<{every(site)[0].key}@hospital.example>"
    assert "it may have reached you before, under the same Message-ID" in " ".join(email.get_content().split())
    assert every(site)[0].status is NotificationStatus.SENT


def test_terms_are_kept_with_the_job_as_they_were(site: Site) -> None:
    """A later change of the rule does not reach them; what is not said is not kept."""
    terms = Terms(notices=(LADDER, notice("failure", finding=None)))
    assert from_kept(terms.to_text()) == terms
    assert "within" not in Terms(notices=(notice("failure"),)).to_text()


def test_a_plugin_that_fails_three_times_is_an_alert(site: Site) -> None:
    """Three in a row, of whatever studies; over when one ends otherwise."""

    def end(status: ResultStatus, number: int) -> None:
        job = ended(site, status=status, rule=f"rule-{number}")
        with site.ledger.transaction() as database:
            plugin_failures.noted(database, site.clock.now(), job)
        pass_(site, minutes=1)

    for number in range(3):
        assert history.open_alerts(site.ledger.database) == []
        end(ResultStatus.FAILED, number)
    assert [(each.kind, each.place) for each in history.open_alerts(site.ledger.database)] == [
        (AlertKind.PLUGIN_FAILING, "bleed")
    ]
    end(ResultStatus.NO_FINDINGS, 9)
    assert history.open_alerts(site.ledger.database) == []


def test_alerts_of_other_versions_of_the_same_kind_do_not_hide(site: Site) -> None:
    """Counted for `status --check`: open ones that nobody has acknowledged."""
    with site.ledger.transaction() as database:
        studies.hold(database, site.clock.now(), STUDY, "why")
    assert alerts.count_open(site.ledger.database) == {"critical": 1}
    (alert,) = alerts.every(site.ledger.database, closed=False)
    with site.ledger.transaction() as database:
        acknowledgements.acknowledge_alert(database, site.clock.now(), alert.id, "os:kim")
    assert alerts.count_open(site.ledger.database) == {}


def test_the_occasions_of_a_rule_are_those_that_are_kept() -> None:
    """Each word that a rule may write has its occasion, and no other has one."""
    assert set(notices.WORDS.values()) == set(get_args(actions.Occasion))
    assert Occasion.SUPERSEDED not in notices.WORDS
