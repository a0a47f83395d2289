"""People are told: what they read, by which ways, once, and what happens while nobody takes it."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.config.models import Configuration
from node.config.people import Mail, Person, Webhook
from node.errors import TransientError
from node.index import stopping
from node.ledger import jobs, notifications, studies
from node.ledger.job import JobOutcome
from node.ledger.notifications import Notification, NotificationStatus, Occasion
from node.ledger.terms import Terms
from node.notify import channels, message
from node.notify.stage import NotifyStage
from node.notify.words import Message
from node.run import found
from plugins.contract import Code, Finding, Measurement, Result, ResultStatus, Unit
from tests.support import history
from tests.support.clocks import HandClock
from tests.support.sites.job_site import STUDY, Site
from tests.support.sites.listeners import MailServer, WebService, mail_server, own_certificate, web_service
from tests.support.sites.outcomes import match

BLOOD = Code("50960005", "SCT", "Hemorrhage")
VOLUME = Measurement(Code("118565006", "SCT", "Volume"), 30.0, Unit("mL", "mL"))
NAMES: dict[str, Any] = {"PatientName": ("PN", "Hong^Gildong"), "StudyDescription": ("LO", "Hong Gildong head")}


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
    site.receive(2, **NAMES)
    site.complete()
    return site


def configured(mail: MailServer | None, web: WebService | None, **notify: Any) -> Configuration:
    person: dict[str, Any] = {"email": "duty@hospital.example"} if mail else {}
    person |= {"webhook": {"url": web.url, "timeout": "5s"}} if web else {}
    server = (
        {"host": "127.0.0.1", "port": mail.port, "tls": "none", "sender": "node@hospital.example"} if mail else None
    )
    return Configuration.model_validate(
        {
            "node": {"time_zone": "Asia/Seoul"},
            "people": {"duty": person} if person else {},
            "notify": {"mail": server, **notify},
        }
    )


def told(
    site: Site,
    *,
    rule: str = "head",
    text: str = "Look.",
    occasion: Occasion = Occasion.MATCH,
    job: str = "",
    whom: Sequence[str] = ("duty",),
) -> Notification:
    """A notification in the outbox."""
    now = site.clock.now()
    with site.ledger.transaction() as database:
        about = jobs.get(database, job) if job else match(database, now, STUDY, rule, text)
        notifications.enqueue(database, now, about, occasion, whom)
    return notifications.of_study(site.ledger.database, STUDY)[-1]


def stage(site: Site, configuration: Configuration) -> NotifyStage:
    return NotifyStage(site.node, configuration)


def standing(site: Site, about: Notification) -> Notification:
    return notifications.get(site.ledger.database, about.id)


def bleeding(site: Site, *, urgent: bool = True) -> str:
    """A job of the study that found blood; its summary names the patient, as a careless plugin's might."""
    job = site.job("bleed", ["r1"], rule="head", terms=Terms(text="Look."))
    result = Result(
        ResultStatus.FINDINGS,
        "Hong Gildong bleeds.",
        (
            Finding(BLOOD, present=True, urgent=urgent, measurements=(VOLUME,)),
            Finding(Code("1", "99T", "No"), present=False),
        ),
    )
    with site.ledger.transaction() as database:
        now = site.clock.now()
        jobs.started(database, now, job.id, {})
        jobs.ended(database, now, job.id, JobOutcome.FINDINGS, "results/x", None, found.of(result))
    return job.id


def test_a_person_is_told_by_all_ways_and_once(site: Site, mail: MailServer, web: WebService) -> None:
    """Mail and webhook, each with an identifier of its own that would be the same again; no name in either."""
    about = told(site, occasion=Occasion.LATE, job=bleeding(site))
    room = stage(site, configured(mail, web))
    room.run_once()
    room.run_once()
    assert standing(site, about).status is NotificationStatus.SENT
    (email,), (plain,) = mail.received, web.received
    assert email["Subject"] == "[pacsnode] URGENT: A finding that came late (CT of 2026-03-01)"
    assert email["Message-ID"] == f"<{about.key}@hospital.example>"
    assert (email["To"], email["Importance"]) == ("duty@hospital.example", "high")
    text = email.get_content()
    assert text.startswith("Look.")
    for word in ("Hemorrhage (URGENT); Volume 30 mL", str(about.job), "2026-03-01 18:00:00+09:00", "head"):
        assert word in text
    assert (plain["id"], web.headers[0]["Idempotency-Key"]) == (about.key, about.key)
    assert (plain["urgent"], plain["study_date"], plain["modality"]) == (True, "2026-03-01", "CT")
    assert [each["finding"] for each in plain["findings"]] == ["Hemorrhage"]
    for whole in (str(email), str(plain)):
        assert "Gildong" not in whole
        assert "P1" not in whole
        assert "A1" not in whole  # the accession number, which the site did not ask for


def test_the_accession_number_is_told_where_the_site_wants_it(site: Site, web: WebService) -> None:
    """`notify.accession_number: true`; the Patient ID never is."""
    told(site)
    stage(site, configured(None, web, accession_number=True)).run_once()
    (plain,) = web.received
    assert plain["accession_number"] == "A1"
    assert "P1" not in str(plain)


def test_the_same_occasion_is_told_once(site: Site, web: WebService) -> None:
    """Asked for twice, by two decisions: one row; another occasion is another."""
    first = told(site)
    assert told(site).id == first.id
    assert told(site, occasion=Occasion.WAIT_OVER).id != first.id
    stage(site, configured(None, web)).run_once()
    assert len(web.received) == 2


def test_the_words_are_those_of_the_decision(site: Site, web: WebService) -> None:
    """Looked up when it is sent: of its own decision, whatever was decided since, for each occasion."""
    about = [told(site, text="First."), told(site, rule="slow", text="Second.", occasion=Occasion.WAIT_OVER)]
    told(site, text="Later.")
    assert [each.text for each in about] == [None, None]
    stage(site, configured(None, web)).run_once()
    assert [each["text"] for each in web.received] == ["First.", "Second."]


def test_while_nobody_takes_it_it_is_tried_again_and_a_person_is_alerted(site: Site, web: WebService) -> None:
    """503 for a minute: one alert, ever slower tries, then it arrives; what mail has taken is not mailed again."""
    about, web.status = told(site), 503
    room = stage(site, configured(None, web))
    assert room.run_once() <= 10
    assert standing(site, about).error == f"webhook {web.url} answers 503, not that it has it"
    clock = site.clock
    assert isinstance(clock, HandClock)
    for _ in range(3):
        clock.pass_(seconds=20)
        room.run_once()
    (alert,) = history.open_alerts(site.ledger.database)
    assert alert.kind == "notification.waits"
    web.status = 200
    clock.pass_(seconds=120)
    room.run_once()
    assert standing(site, about).status is NotificationStatus.SENT
    assert len(web.received) == 1


def test_finding_t1_one_message_without_answer_does_not_begin_each_run(
    site: Site, web: WebService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server hangs on one message: the next ones wait once with it, and are told before it from then on."""
    about = [told(site, rule=name) for name in ("hangs", "second", "third")]
    taken: list[str] = []

    def way(message: Message) -> None:
        if message.key == about[0].key:
            raise TransientError("no answer in time")
        taken.append(message.key)

    monkeypatch.setattr(channels, "of", lambda *_: {"webhook": way})
    room = stage(site, configured(None, web))
    room.run_once()
    assert (taken, [standing(site, each).attempts for each in about]) == ([], [1, 0, 0])
    site.clock.pass_(minutes=1)  # type: ignore[attr-defined]
    room.run_once()
    assert taken == [about[1].key, about[2].key]
    assert standing(site, about[0]).status is NotificationStatus.WAITING


def test_one_way_that_fails_does_not_say_it_twice_by_the_other(site: Site, mail: MailServer, web: WebService) -> None:
    """The webhook is down, mail is not: mailed once; the webhook follows."""
    about, web.status = told(site), 500
    room = stage(site, configured(mail, web))
    room.run_once()
    assert standing(site, about).sent_by == ("email",)
    web.status = 200
    site.clock.pass_(minutes=5)  # type: ignore[attr-defined]  # a HandClock
    room.run_once()
    assert (len(mail.received), len(web.received)) == (1, 1)
    assert standing(site, about).status is NotificationStatus.SENT


@pytest.mark.parametrize("how", ["refused", "unknown person", "too long"])
def test_what_is_given_up_is_an_alert_and_can_be_sent_by_hand(site: Site, web: WebService, how: str) -> None:
    """Refused for good, nobody there, or tried for too long: dead, kept, sent by `retry`."""
    about = told(site)
    web.status = 410 if how == "refused" else 503
    retry = {"give_up_after": "10s"} if how == "too long" else {}
    settings = configured(None, None if how == "unknown person" else web, retry=retry)
    stage(site, settings).run_once()
    if how == "too long":
        site.clock.pass_(seconds=11)  # type: ignore[attr-defined]  # a HandClock
        stage(site, settings).run_once()
    assert standing(site, about).status is NotificationStatus.DEAD
    assert "notification.dead" in [e.kind for e in history.open_alerts(site.ledger.database)]
    web.status = 200
    with site.ledger.transaction() as database:
        notifications.again(database, site.clock.now(), about.id, "admin")
    stage(site, configured(None, web)).run_once()
    assert standing(site, about).status is NotificationStatus.SENT


@pytest.mark.parametrize("restarted", [False, True])
def test_finding_m8_a_clock_that_was_ten_days_ahead_neither_delays_nor_kills_a_notification(
    site: Site, web: WebService, restarted: bool
) -> None:
    """Put off and enqueued while it was ahead; once it is right, both go after the pause that was meant."""
    clock = site.clock
    assert isinstance(clock, HandClock)
    first, web.status = told(site), 503
    room = stage(site, configured(None, web))
    room.run_once()
    clock.jump(days=10)
    second = told(site, rule="second")
    for _ in range(3):
        clock.pass_(seconds=25)
        room.run_once()
    clock.jump(days=-10)
    web.status = 200
    if restarted:
        room = stage(site, configured(None, web))
    room.run_once()
    assert all(standing(site, each).waited < timedelta(minutes=5) for each in (first, second))
    clock.pass_(minutes=3)
    room.run_once()
    assert {standing(site, each).status for each in (first, second)} == {NotificationStatus.SENT}


def test_a_death_in_the_midst_sends_it_again_under_the_same_identifier(site: Site, web: WebService) -> None:
    """Found `sending` at the start: nobody knows whether it went; whoever gets it twice can tell."""
    about = told(site)
    with site.ledger.transaction() as database:
        notifications.sending(database, site.clock.now(), about.id)
    stage(site, configured(None, web)).run_once()
    assert web.received[0]["id"] == about.key
    assert standing(site, about).status is NotificationStatus.SENT


def test_of_a_held_study_nobody_is_told_before_it_is_released(site: Site, web: WebService) -> None:
    """It may be another patient's. Nor does the stage run every second meanwhile: there is nothing that becomes due."""
    about = told(site)
    with site.ledger.transaction() as database:
        studies.hold(database, site.clock.now(), STUDY, "a correction arrived")
    room = stage(site, configured(None, web))
    assert room.run_once() == 60.0
    assert (standing(site, about).status, web.received) == (NotificationStatus.WAITING, [])
    with site.ledger.transaction() as database:
        studies.unhold(database, site.clock.now(), STUDY, "admin")
    room.run_once()
    assert len(web.received) == 1


def test_a_job_that_loses_its_images_takes_its_notification_with_it(site: Site, web: WebService) -> None:
    """A rejection note: what has not been told is not told any more; another job's is."""
    mine, other = told(site, job=bleeding(site)), told(site)
    with site.ledger.transaction() as database:
        stopping.stop_users_of(database, site.clock.now(), STUDY, {"r1"}, set(), "images were rejected")
    stage(site, configured(None, web)).run_once()
    assert standing(site, mine).status is NotificationStatus.CANCELLED
    assert standing(site, other).status is NotificationStatus.SENT
    assert len(web.received) == 1


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"RCPT": "550 no such duty@hospital.example"}, "refuses the recipient [550]"),
        ({"RCPT": "450 later"}, "refuses the recipient [450]"),
        ({"DATA.": "554 Subject: URGENT"}, "refuses the message [554]"),
        ({"MAIL": "451 busy"}, "refuses the message [451]"),
    ],
)
def test_what_a_mail_server_refuses_is_told_by_its_number(
    site: Site, mail: MailServer, answers: dict[str, str], problem: str
) -> None:
    """5xx: given up; 4xx: again. What it says is not quoted."""
    about, mail.answers = told(site), answers
    stage(site, configured(mail, None)).run_once()
    given_up = "[5" in problem
    assert standing(site, about).status is (NotificationStatus.DEAD if given_up else NotificationStatus.WAITING)
    assert standing(site, about).error == f"mail server 127.0.0.1:{mail.port} {problem}"


def test_a_redirected_webhook_counts_as_not_told(site: Site, web: WebService) -> None:
    """A POST that becomes a GET somewhere else would look like success."""
    about, web.status = told(site), 302
    stage(site, configured(None, web)).run_once()
    assert standing(site, about).status is NotificationStatus.WAITING
    assert web.methods == ["POST"]


def test_nothing_goes_in_the_clear_where_tls_is_asked_for(site: Site, mail: MailServer) -> None:
    """The server does not offer STARTTLS: nothing is sent, and the reason says so."""
    settings = configured(mail, None)
    asked = settings.notify.model_copy(
        update={"mail": settings.notify.mail.model_copy(update={"tls": "starttls"})}
    )  # there is one
    about = told(site)
    stage(site, settings.model_copy(update={"notify": asked})).run_once()
    assert "STARTTLS" in str(standing(site, about).error)
    assert mail.received == []


def test_tls_with_the_sites_own_authority(site: Site, tmp_path: Path) -> None:
    """STARTTLS with login, and https: with the authority's file it goes through, without it nothing is said."""
    made = own_certificate(tmp_path)
    if made is None:
        pytest.skip("peer missing: openssl (Debian: openssl)")
    context, authority = made
    (tmp_path / "secret").write_text("word\n")
    with mail_server(context) as mail, web_service(context) as web:
        settings = configured(mail, web)
        for trusted in (None, authority):
            changes = {"tls": "starttls", "authorities": trusted, "username": "u", "password_file": tmp_path / "secret"}
            server = settings.notify.mail.model_copy(update=changes)  # there is one
            hook = settings.people["duty"].webhook.model_copy(  # there is one
                update={"authorities": trusted, "token_file": tmp_path / "secret"}
            )
            update = {
                "notify": settings.notify.model_copy(update={"mail": server}),
                "people": {"duty": settings.people["duty"].model_copy(update={"webhook": hook})},
            }
            about = told(site, rule=str(trusted))
            stage(site, settings.model_copy(update=update)).run_once()
            if trusted is None:
                assert str(standing(site, about).error).count("certificate is not accepted") == 2
                with site.ledger.transaction() as database:
                    notifications.cancel(database, site.clock.now(), about.id, "a test")
        assert (mail.encrypted, len(web.received)) == ([True], 1)
        assert len(mail.logins) == 1
        assert web.headers[0]["Authorization"] == "Bearer word"


@pytest.mark.parametrize("secret", [b"t\xe2\x82\xac", b"one\ntwo", b"\xff\xfe", b""])
def test_finding_m5_a_token_that_cannot_be_sent_costs_that_way_alone(
    site: Site, mail: MailServer, web: WebService, tmp_path: Path, secret: bytes
) -> None:
    """The mail goes, others are told; when the file is right again, so does the webhook; the secret is nowhere told."""
    (tmp_path / "token").write_bytes(secret)
    settings = configured(mail, web)
    hook = settings.people["duty"].webhook.model_copy(update={"token_file": tmp_path / "token"})  # there is one
    people = {
        "duty": settings.people["duty"].model_copy(update={"webhook": hook}),
        "chief": settings.people["duty"].model_copy(update={"webhook": None}),
    }
    about, other = told(site), told(site, whom=["chief"])
    room = stage(site, settings.model_copy(update={"people": people}))
    room.run_once()
    assert (len(mail.received), len(web.received)) == (2, 0)
    assert standing(site, other).status is NotificationStatus.SENT
    found = standing(site, about)
    assert found.status is NotificationStatus.WAITING
    assert "token" in str(found.error)
    assert "two" not in str(found.error)
    (tmp_path / "token").write_text("right")
    assert isinstance(site.clock, HandClock)
    site.clock.pass_(seconds=61)
    room.run_once()
    assert (len(mail.received), len(web.received)) == (2, 1)


def test_finding_m5_one_way_that_raises_keeps_no_other_from_being_taken(
    site: Site, mail: MailServer, web: WebService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw in the mail costs the mail: the webhook has it, once."""
    about = told(site)
    with monkeypatch.context() as patched:
        patched.setattr(channels, "_email", lambda *_: {}["Hong^Gildong"])  # type: ignore[index]
        room = stage(site, configured(mail, web))
        room.run_once()
        assert (len(mail.received), len(web.received)) == (0, 1)
        assert standing(site, about).sent_by == ("webhook",)
    assert isinstance(site.clock, HandClock)
    site.clock.pass_(seconds=61)
    room.run_once()
    assert (len(mail.received), len(web.received)) == (1, 1)
    assert standing(site, about).status is NotificationStatus.SENT


def test_finding_m5_a_host_whose_own_name_is_no_ascii_can_send_mail(
    site: Site, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name goes into the greeting of SMTP."""
    monkeypatch.setattr(channels.socket, "gethostname", lambda: "röntgen")  # type: ignore[attr-defined]
    about = told(site)
    stage(site, configured(mail, None)).run_once()
    assert standing(site, about).status is NotificationStatus.SENT


def test_a_header_cannot_smuggle_anything_into_a_message(tmp_path: Path, web: WebService) -> None:
    """A Modality and a Study Date that are none are left out."""
    site = Site(tmp_path)
    site.receive(1, StudyDate=("DA", "2026\r\nBcc: x"))
    with site.ledger.transaction() as database:
        database.execute("UPDATE series SET modality='CT\r\nBcc: everybody'")
    site.complete()
    about = told(site)
    made = message.compose(site.ledger.database, about, "PACSNODE", ZoneInfo("UTC"), accession_number=False)
    assert made.subject == "A study that you want to know of (study)"
    assert "Bcc" not in made.body


def test_a_test_message_is_about_nobody(mail: MailServer) -> None:
    """What `pacsnode notify` sends."""
    settings = configured(mail, None)
    (send,) = channels.of(settings.people["duty"], settings).values()
    send(message.trial("key", "PACSNODE"))
    assert mail.received[0]["Subject"] == "[pacsnode] A test"


@contextmanager
def dripping(content: bytes, then: bytes = b"") -> Iterator[int]:
    """A server that says a byte of this each tenth of a second, again and again, whatever it is told."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(then)
            for byte in itertools.cycle(content):
                connection.sendall(bytes((byte,)))
                if over.wait(0.1):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


def _mail_to(port: int, seconds: int, tls: str = "none") -> Mail:
    return Mail.model_validate(
        {"host": "127.0.0.1", "port": port, "tls": tls, "sender": "a@b.example", "timeout": f"{seconds}s"}
    )


@pytest.mark.parametrize(
    ("content", "then"),
    [(b"220-wait\r\n", b""), (b"250-wait\r\n", b"220 mail\r\n"), (b" ", b"220 mail\r\n250 ok\r\n250 ok\r\n")],
    ids=["greeting", "answer to EHLO", "answer to RCPT"],
)
def test_finding_m6_a_mail_server_that_drips_is_left_at_the_deadline(content: bytes, then: bytes) -> None:
    """`timeout` is that of the whole exchange, not of each byte."""
    began = time.monotonic()
    with (
        dripping(content, then) as port,
        pytest.raises(TransientError, match=r"mail server .* did not come to an end in 1 s"),
    ):
        channels.send_mail(_mail_to(port, 1), "duty@hospital.example", message.trial("key", "PACSNODE"))
    assert time.monotonic() - began < 120


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("content", [b"HTTP/1.1 200 OK\r\nA: b\r\n", b"X"])
def test_finding_m6_a_web_service_that_drips_is_left_at_the_deadline(content: bytes, scheme: str) -> None:
    """Headers without end, or a handshake of TLS."""
    began = time.monotonic()
    with dripping(content) as port:
        webhook = Webhook.model_validate({"url": f"{scheme}://127.0.0.1:{port}/", "timeout": "1s"})
        with pytest.raises(TransientError, match="webhook"):
            channels.post(webhook, message.trial("key", "PACSNODE"))
    assert time.monotonic() - began < 120


def test_finding_m6_a_slow_server_holds_up_nobody_elses(site: Site, web: WebService) -> None:
    """While a mail server drips for a minute, a web service gets its notification, and the next one too."""
    with dripping(b"220-wait\r\n") as port:
        both = configured(None, web)
        slow = Person.model_validate({"email": "slow@hospital.example"})
        notify = both.notify.model_copy(update={"mail": _mail_to(port, 60)})
        room = stage(site, both.model_copy(update={"people": {**both.people, "slow": slow}, "notify": notify}))
        waits = told(site, whom=["slow"])
        for number in (1, 2):
            about = told(site, rule=f"rule {number}")
            assert room.run_once() == 1.0
            assert standing(site, about).status is NotificationStatus.SENT
        assert standing(site, waits).status is NotificationStatus.SENDING
    assert len(web.received) == 2


@pytest.mark.parametrize("answer", ["250 ok", "500 what?", "421 gone"])
def test_finding_m7_a_message_that_was_taken_is_not_sent_again(site: Site, mail: MailServer, answer: str) -> None:
    """However the server answers QUIT."""
    mail.answers["QUIT"] = answer
    about = told(site)
    room = stage(site, configured(mail, None))
    room.run_once()
    site.clock.pass_(hours=1)  # type: ignore[attr-defined]
    room.run_once()
    assert standing(site, about).status is NotificationStatus.SENT
    assert len(mail.received) == 1
