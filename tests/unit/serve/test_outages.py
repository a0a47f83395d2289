"""A process that dies again and again: the supervisor itself says so, a bounded number of times."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from node.config.models import Configuration
from node.serve import outages
from node.serve.keepalive import Child
from node.serve.outages import Outages
from tests.support.sites.listeners import mail_server, web_service


class Times:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    times = Times()
    monkeypatch.setattr(outages, "time", times)
    return times


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def configured(**more: Any) -> Configuration:
    people = {"admin": {"webhook": {"url": "https://pager.example"}}}
    plain = {"node": {"time_zone": "Asia/Seoul"}, "people": people, "alerts": {"to": "admin"}} | more
    return Configuration.model_validate(plain)


class Post:
    """What would have been sent."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.urgent: list[bool] = []

    def __call__(
        self, configuration: Configuration, key: str, subject: str, text: str, lines: Any, urgent: bool
    ) -> None:
        self.subjects.append(subject)
        self.urgent.append(urgent)


def test_one_message_at_the_third_death_one_a_repeat_and_one_at_the_end(
    times: Times, running: subprocess.Popen[bytes]
) -> None:
    """It is over when the process has run for two minutes, which is looked at though nothing else happens."""
    child, post = Child("node", [], ()), Post()
    watch, settings = Outages(post), configured()
    for child.deaths in (1, 2):
        watch.look([child], settings)
    assert post.subjects == []
    for child.deaths in range(3, 40):
        times.now += 30
        watch.look([child], settings)
    assert post.subjects == ["CRITICAL: node dies again and again (PACSNODE)"]
    times.now += 4 * 3600
    watch.look([child], settings)
    assert post.subjects[1:] == ["CRITICAL: node still dies again and again (PACSNODE)"]
    child.process, child.started_at = running, times.now
    watch.look([child], settings)
    assert watch.due_at([child]) == times.now + 120
    times.now += 121
    child.deaths = 0
    watch.look([child], settings)
    assert post.subjects[2:] == ["node runs again (PACSNODE)"]
    assert watch.due_at([child]) is None


def test_no_more_than_twenty_an_hour_and_none_to_nobody(times: Times, running: subprocess.Popen[bytes]) -> None:
    """A process that lives for two minutes and dies three times, again and again."""
    child, post, silent = Child("receiver-1", [], ()), Post(), Post()
    watch, nobody = Outages(post), Outages(silent)
    for _ in range(40):
        child.process, child.deaths = None, 3
        watch.look([child], configured())
        nobody.look([child], configured(alerts={}))
        child.process, child.deaths, child.started_at = running, 0, times.now - 200
        watch.look([child], configured())
        times.now += 60
    assert len(post.subjects) == 20
    assert silent.subjects == []


def test_the_message_reaches_people_without_a_ledger() -> None:
    """By mail and webhook, in the language of the site, and says what does not work meanwhile."""
    with mail_server() as mail, web_service() as web:
        ways = {"email": "admin@hospital.example", "webhook": {"url": web.url}}
        server = {"host": "127.0.0.1", "port": mail.port, "tls": "none", "sender": "node@hospital.example"}
        settings = configured(people={"admin": ways}, notify={"mail": server, "language": "ko"})
        outages.send(
            settings,
            "key",
            "심각: node",
            "영상 수신은 가능하지만 분석과 전송은 중단되었습니다.",
            [("시작", "now")],
            True,
        )
        assert [email["Message-ID"] for email in mail.received] == ["<key@hospital.example>"]
        assert (web.received[0]["occasion"], web.received[0]["urgent"]) == ("outage", True)


def test_what_no_server_takes_is_tried_again_and_then_given_up(times: Times) -> None:
    """Three tries, by what has not taken it; nothing hangs for ever."""
    with web_service() as web:
        web.status = 503
        outages.send(configured(people={"admin": {"webhook": {"url": web.url}}}), "key", "s", "t", [("a", "b")], True)
        assert len(web.methods) == 3
    assert times.now == 1000 + 140


def test_a_console_that_dies_is_a_warning(times: Times) -> None:
    """Nothing waits for it: it is not urgent, and not sent at all where only critical alerts are."""
    child = Child("console", [], (), deaths=3)
    post = Post()
    Outages(post).look([child], configured())
    assert (post.subjects, post.urgent) == (["WARNING: console dies again and again (PACSNODE)"], [False])
    Outages(post).look([child], configured(alerts={"to": "admin", "severity": "critical"}))
    assert len(post.subjects) == 1
