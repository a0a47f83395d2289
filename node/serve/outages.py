"""Processes that die again and again: the supervisor itself sends a message, without ledger and stages.

It goes to those whom alerts go to, once at the beginning, each `alerts.repeat` while it lasts, and once at the end. A
thread of its own sends it, with a few tries, so that a mail server that hangs keeps no process from being started.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from node.config.models import Configuration
from node.errors import NodeError
from node.serve.keepalive import Child

log = structlog.get_logger(__name__)

CONSOLE = "console"
"""The one process that nothing waits for: that it dies is a warning."""
_DEATHS = 3
"""One after the other, after which it is no accident."""
_STEADY = 120.0
"""Seconds for which a process has to run until its outage is over."""
_AN_HOUR = 20
"""Messages in an hour, at most."""
_PAUSES = (0.0, 20.0, 120.0)
"""Seconds before each try to send one."""
_TEXTS = {
    "en": {
        "begins": "{severity}: {child} dies again and again",
        "lasts": "{severity}: {child} still dies again and again",
        "ends": "{child} runs again",
        "says": "The process {child} of {node} has ended {deaths} times in a row. {effect} It is started again and"
        " again; its log says why it ends. This message comes from the supervisor and is in no ledger.",
        "over": "The process {child} of {node} has run for two minutes.",
        "node": "Modalities can still send; nothing is analysed or delivered meanwhile.",
        "receiver": "Modalities may not be able to send meanwhile.",
        "console": "Images are received, analysed and delivered as before; /metrics and /healthz do not answer.",
        "warning": "WARNING",
        "critical": "CRITICAL",
        "since": "Since",
        "from": "From",
    },
    "ko": {
        "begins": "{severity}: {child} 프로세스가 반복해서 종료됩니다",
        "lasts": "{severity}: {child} 프로세스가 계속 종료됩니다",
        "ends": "{child} 프로세스가 다시 동작합니다",
        "says": "{node}의 {child} 프로세스가 연속 {deaths}회 종료되었습니다. {effect} 계속 다시 시작하고 있으며,"
        " 원인은 로그에 있습니다. 이 메시지는 supervisor가 보냈으며 원장에는 없습니다.",
        "over": "{node}의 {child} 프로세스가 2분간 정상 동작했습니다.",
        "node": "영상 수신은 가능하지만 분석과 전송은 중단되었습니다.",
        "receiver": "영상 수신이 되지 않을 수 있습니다.",
        "console": "영상 수신, 분석, 전송은 계속됩니다. /metrics와 /healthz만 응답하지 않습니다.",
        "warning": "경고",
        "critical": "심각",
        "since": "시작",
        "from": "발신",
    },
}

Lines = Sequence[tuple[str, str]]
Send = Callable[[Configuration, str, str, str, Lines, bool], None]
"""Configuration, key, subject, text and lines of a message, and whether it is urgent: brings it to those whom alerts
go to."""


class ChildOutage:
    """One process that dies again and again."""

    def __init__(self, now: float) -> None:
        self.since = datetime.now(UTC)
        self.told_at = now


class Outages:
    """Looked at by the supervisor's loop; sends nothing where alerts go to nobody."""

    def __init__(self, send: Send | None = None) -> None:
        self._open: dict[str, ChildOutage] = {}
        self._sent: list[float] = []
        self._send = send or _in_a_thread

    def look(self, children: Sequence[Child], configuration: Configuration) -> None:
        """Begin, repeat and end outages, as these processes are now."""
        now = time.monotonic()
        for child in children:
            outage = self._open.get(child.name)
            if outage is None and child.deaths >= _DEATHS:
                outage = self._open[child.name] = ChildOutage(now)
                self._tell(configuration, "begins", child, outage)
            elif outage is not None and child.alive and now - child.started_at >= _STEADY:
                del self._open[child.name]
                self._tell(configuration, "ends", child, outage)
            elif outage is not None and now - outage.told_at >= configuration.alerts.repeat.total_seconds():
                outage.told_at = now
                self._tell(configuration, "lasts", child, outage)
        for gone in self._open.keys() - {child.name for child in children}:
            del self._open[gone]  # a reload has put others in its place

    def due_at(self, children: Sequence[Child]) -> float | None:
        """When to look again even if nothing happens (monotonic): an outage ends while nothing does."""
        running = [each.started_at + _STEADY for each in children if each.name in self._open and each.alive]
        return min(running, default=None)

    def _tell(self, configuration: Configuration, what: str, child: Child, outage: ChildOutage) -> None:
        now = time.monotonic()
        self._sent = [each for each in self._sent if now - each < 3600.0]
        severity = "warning" if child.name == CONSOLE else "critical"
        unwanted = severity == "warning" and configuration.alerts.severity == "critical"
        if unwanted or not configuration.alerts.to or len(self._sent) >= _AN_HOUR:
            return
        self._sent.append(now)
        texts, node = _TEXTS[configuration.notify.language], configuration.node.ae_title
        effect = texts[child.name if child.name in ("node", CONSOLE) else "receiver"]
        form = texts["over" if what == "ends" else "says"]
        text = form.format(child=child.name, node=node, deaths=child.deaths, effect=effect)
        since = outage.since.astimezone(configuration.node.zone).isoformat(sep=" ", timespec="seconds")
        lines = [(texts["since"], since), (texts["from"], f"{node}, supervisor")]
        log.error("serve.outage-told", child=child.name, what=what, deaths=child.deaths)
        headline = texts[what].format(child=child.name, severity=texts[severity])
        urgent = severity == "critical"
        self._send(configuration, str(uuid.uuid4()), f"{headline} ({node})", text, lines, urgent)


def _in_a_thread(configuration: Configuration, key: str, subject: str, text: str, lines: Lines, urgent: bool) -> None:
    work = (configuration, key, subject, text, lines, urgent)
    threading.Thread(target=send, args=work, name="outage", daemon=True).start()


def send(configuration: Configuration, key: str, subject: str, text: str, lines: Lines, urgent: bool) -> None:
    """Bring it to everybody by every channel, with a few tries under the same key."""
    from node.notify import channels  # what most supervisors never need
    from node.notify.words import Message

    plain = {"id": key, "node": configuration.node.ae_title, "occasion": "outage", "headline": subject}
    message = Message(key, subject, tuple(lines), text, {**plain, "urgent": urgent, "text": text})
    people = (configuration.people.get(name) for name in configuration.alerts.to)
    ways = [way for person in people if person for way in channels.of(person, configuration).values()]
    for pause in _PAUSES:
        time.sleep(pause)
        left = []
        for way in ways:
            try:
                way(message)
            except NodeError as error:
                log.warning("serve.outage-not-told", reason=str(error))
                left.append(way)
        ways = left
        if not ways:
            return
