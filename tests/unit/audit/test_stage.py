"""The audit stage: each event once, whenever the node dies; nothing that waits for it, and nothing that is lost."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lxml.etree import RelaxNG, fromstring

from node.audit import stage as audit_stage
from node.audit.trail import TrailWriter, files_in
from node.errors import TransientError
from node.ledger import alerts, audit_marks, audit_subjects, positions
from node.ledger.alert_kinds import AlertKind
from node.ledger.audit_marks import AuditMark
from node.ledger.event_kinds import EventKind
from tests.support import history
from tests.support.sites.audit_site import GOOD, AuditSite


@pytest.fixture
def site(tmp_path: Path) -> AuditSite:
    return AuditSite(tmp_path)


def viewed(site: AuditSite, number: int = 1) -> None:
    for _ in range(number):
        site.hand.pass_(seconds=1)
        site.happens(EventKind.STUDY_VIEWED, study=GOOD, actor="os:hong")


def times(site: AuditSite) -> set[int]:
    """How often an event is in the trail; each event that has a code."""
    found = Counter(each["event"] for each in site.messages())
    kinds = [kind for (kind,) in site.ledger.database.execute("SELECT kind FROM events")]
    assert len(found) == sum(EventKind(kind).audit is not None for kind in kinds)
    return set(found.values())


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["before the files", "torn", "after the files", "after the position"])
def test_killed_anywhere_neither_loses_nor_doubles_an_entry(
    site: AuditSite, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Before and after each of its two steps, and in the middle of a line."""
    viewed(site, 3)
    site.project()
    viewed(site, 3)
    with monkeypatch.context() as patch:
        die(patch, point)
        with pytest.raises(Killed):
            site.project()
    viewed(site, 2)
    site.restart()
    site.project()
    assert times(site) == {1}
    assert site.check().breaks == []
    assert positions.of(site.ledger.database, "audit") == 8


def die(patch: pytest.MonkeyPatch, point: str) -> None:
    whole = TrailWriter._write

    def write(self: TrailWriter, content: bytes) -> None:
        if point == "torn":
            whole(self, content[: len(content) // 2])
        elif point == "after the files":
            whole(self, content)
        raise Killed

    if point != "after the position":
        patch.setattr(TrailWriter, "_write", write)
        return
    follow = audit_stage.AuditStage._write

    def after(self: Any, *arguments: Any) -> None:
        follow(self, *arguments)
        raise Killed

    patch.setattr(audit_stage.AuditStage, "_write", after)


def test_a_ledger_that_refuses_doubles_nothing(site: AuditSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage goes on after an error, without a restart."""
    viewed(site, 2)
    with monkeypatch.context() as patch:
        patch.setattr(positions, "moved", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk full")))
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError):
                site.project()
    with monkeypatch.context() as patch:
        patch.setattr(audit_marks, "put", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
        with pytest.raises(OSError, match="disk full"):
            site.project()
    site.project()
    assert times(site) == {1}


def test_events_wait_for_the_trail_and_retention_with_them(site: AuditSite) -> None:
    """What is not written is not deleted, however old it is."""
    viewed(site, 2)
    site.project()
    viewed(site, 3)
    site.hand.pass_(days=400)
    site.happens(EventKind.RETENTION_RAN)
    site.go(events="30d")
    left = site.ledger.database.execute("SELECT count(*) FROM events WHERE kind='study.viewed'").fetchone()[0]
    assert left == 3
    site.project()
    site.go(events="30d")
    assert len(site.messages()) == 5


def test_an_event_whose_message_cannot_be_made_has_a_bare_one(
    site: AuditSite, monkeypatch: pytest.MonkeyPatch, schema: RelaxNG
) -> None:
    """A mistake of the program costs neither the event nor those behind it; a ledger that is busy is waited for."""
    viewed(site, 2)
    find = audit_subjects.of_event

    def fails(error: Exception) -> Any:
        def of_event(database: Any, event: Any) -> Any:
            if event.id == 1:
                raise error
            return find(database, event)

        return of_event

    monkeypatch.setattr(audit_subjects, "of_event", fails(TransientError("locked")))
    with pytest.raises(TransientError):
        site.project()
    monkeypatch.setattr(audit_subjects, "of_event", fails(KeyError("a patient")))
    site.project()
    bare, other = (each["message"] for each in site.messages())
    schema.assertValid(fromstring(bare))
    assert "study.viewed" in bare
    assert (GOOD in bare, GOOD in other) == (False, True)


def test_an_end_that_was_cut_off_is_an_alert_and_is_written_again(site: AuditSite) -> None:
    """What the ledger still has comes again, under new numbers; the trail says what was missing."""
    viewed(site, 3)
    site.project()
    (file,) = files_in(site.trail)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:1]))
    site.restart()
    viewed(site)
    site.project()
    assert times(site) == {1}
    (alert,) = history.open_alerts(site.ledger.database)
    assert (alert.kind, alert.detail["reason"]) == (
        AlertKind.AUDIT_BROKEN,
        "entries 2 to 3 are missing: the end of the trail was cut off",
    )
    assert [str(each).partition(": ")[2] for each in site.check().breaks] == [
        "entries 2 to 3 were not there when the node started"
    ]


def test_a_trail_that_is_gone_is_written_again_as_far_as_the_ledger_has_it(site: AuditSite) -> None:
    """Somebody removed the folder."""
    viewed(site, 3)
    site.project()
    for each in files_in(site.trail):
        each.unlink()
    site.trail.rmdir()
    site.restart()
    site.project()
    assert times(site) == {1}
    assert history.open_alerts(site.ledger.database)


def test_the_check_of_each_day_records_a_checkpoint_or_raises_an_alert(site: AuditSite) -> None:
    """The checkpoint is an event: so it is in the ledger, in the next entry, and at the syslog server."""
    viewed(site, 3)
    site.project()
    audit_stage.check(site.node)
    site.project()
    last = site.entries()[-2]
    (checkpoint,) = [each for each in history.latest(site.ledger.database, 1) if each.kind == "audit.checkpoint"]
    assert checkpoint.detail == {"entries": 3, "number": 3, "digest": last.digest}
    (file,) = files_in(site.trail)
    file.write_bytes(file.read_bytes().replace(b"os:hong", b"os:kang", 1))
    for _ in range(2):
        audit_stage.check(site.node)
    (alert,) = history.open_alerts(site.ledger.database)
    assert (alert.times, alert.detail["reason"]) == (1, f"{file.name}, line 1: entry 1 was changed")
    assert audit_marks.get(site.ledger.database, AuditMark.CHECKED).number == 3
    assert alerts.over(site.ledger.database) == []


def test_old_files_go_by_a_retention_of_their_own(tmp_path: Path) -> None:
    """Whole files, once the next one was begun before `audit.keep`; not what syslog does not have."""
    server = {"host": "log", "tls": {"authorities": "ca.pem"}}
    site = AuditSite(tmp_path, keep="30d", syslog=server)
    for _ in range(3):
        viewed(site)
        site.project()
        site.hand.pass_(days=40)
    site.project()
    assert len(files_in(site.trail)) == 3  # nothing was sent
    with site.ledger.transaction() as database:
        audit_marks.put(database, AuditMark.SENT, 2)
    site.hand.pass_(days=1)
    site.project()
    assert [each.name[:12] for each in files_in(site.trail)] == ["000000000003", "000000000004"]
    assert site.check().breaks == []
    assert positions.of(site.ledger.database, "audit") == 3
