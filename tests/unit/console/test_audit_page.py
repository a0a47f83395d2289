"""The page Audit: the history by time, kind, actor and study, page by page, and as a file."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from node.accounts.roles import Role
from node.ledger import event_search, events, rows
from node.ledger.event_kinds import EventKind
from node.ledger.event_search import EventSearch
from tests.support.console import ConsoleClient, text_of
from tests.support.sites.console_site import ConsoleSite
from tests.support.sites.past import GOOD

START = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> ConsoleSite:
    """A site with 3,000 events more, one a minute."""
    made = ConsoleSite(tmp_path_factory.mktemp("site"))
    with made.ledger.transaction() as database:
        for number in range(3000):
            at, actor = START + timedelta(minutes=number), "os:alice" if number % 1000 == 5 else "node"
            kind = EventKind.BACKUP_MADE if number % 500 == 7 else EventKind.FILES_CHECKED
            events.record(database, at, kind, actor=actor, number=f"n{number}", formula="=1+1")
    return made


@pytest.fixture
def auditor(site: ConsoleSite) -> ConsoleClient:
    """Who looks at it."""
    made = site.visitor()
    made.log_in(Role.AUDITOR)
    return made


def test_the_newest_first_and_on_by_pages(auditor: ConsoleClient) -> None:
    """A hundred events a page; the next page goes on where this one ended, and none is there twice."""
    first = auditor.get("/audit?actor=node&kind=files").text
    assert "number=n2999" in first
    assert "number=n2900" in first
    assert "number=n2899" not in first
    following = first.split('href="/audit?')[1].split('"')[0].replace("&amp;", "&")
    second = auditor.get(f"/audit?{following}").text
    assert "number=n2899" in second
    assert "number=n2900" not in second


@pytest.mark.parametrize(
    ("asked", "there", "away"),
    [
        ("kind=backup.", ("n2507", "n7"), ("n2506",)),
        ("actor=os:alice", ("n5", "n1005", "n2005"), ("n2999",)),
        ("since=2026-04-01 10:00&until=2026-04-01 10:10", ("n60", "n69"), ("n70", "n59")),
        (f"study={GOOD}", ("association=a1",), ("n5",)),
        ("study=20260302-0017&kind=job.ended", ("outcome=findings",), ("job.started",)),
    ],
)
def test_filters(auditor: ConsoleClient, asked: str, there: tuple[str, ...], away: tuple[str, ...]) -> None:
    """Time (of the site), kind, actor and study narrow it down, together too."""
    words = text_of(auditor.get(f"/audit?{quote(asked, safe='=&')}")).replace("number=", " ").split()
    assert set(there) <= {*words}
    assert not set(away) & {*words}


def test_what_makes_no_sense_is_said(auditor: ConsoleClient) -> None:
    """A moment, a study or a place in the list that cannot be is named."""
    assert "is no period and no moment" in text_of(auditor.get("/audit?since=tomorrow"))
    assert "there is no study" in text_of(auditor.get("/audit?study=nothing"))
    assert auditor.get("/audit?before=x").status_code == 400


def test_as_csv(auditor: ConsoleClient) -> None:
    """The file has all that was asked for, more than a page; nothing in it is a formula for a spreadsheet."""
    answer = auditor.get("/audit.csv?kind=files.")
    assert 'filename="audit-' in answer.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert len(lines) == 3000 - 6
    assert (lines[0]["kind"], lines[0]["at"]) == ("files.checked", "2026-04-03T01:59:00.000000Z")
    assert not [value for line in lines for value in line.values() if value.startswith("=")]


def test_a_page_reads_by_the_ledgers_order(site: ConsoleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question goes by an index, and looks at a bounded number of events, however many there are."""
    asked: list[str] = []
    real = rows.query
    monkeypatch.setattr(event_search, "query", lambda db, sql, values: asked.append(sql) or real(db, sql, values))
    database = site.ledger.database
    for search in (
        EventSearch(),
        EventSearch(kind="user.", actor="os:"),
        EventSearch(study=GOOD),
        EventSearch(since=START, until=START + timedelta(hours=1), kind="backup."),
    ):
        event_search.find(database, search, 100)
    plans = [row["detail"] for sql in asked for row in rows.query(database, f"EXPLAIN QUERY PLAN {sql}", _any_values())]
    assert plans
    assert not [plan for plan in plans if "SCAN" in plan or "TEMP B-TREE" in plan], plans
    monkeypatch.setattr(event_search, "_LOOKED_AT", 1000)
    found = event_search.find(database, EventSearch(actor="nobody"), 100)
    assert (found.events, found.before) == ([], event_search._newest(database) - 999)
    assert found.looked_back_to is not None


def _any_values() -> dict[str, object]:
    return {"lowest": 1, "top": 10, "most": 10, "study": GOOD, "kind": "k", "actor": "a"}
