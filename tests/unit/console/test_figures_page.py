"""Figures: days, turnaround and failures, as pictures, tables and CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

from node.accounts.roles import Role
from node.clock import SystemClock
from node.config import in_force
from node.desk import daily
from tests.support.console import text_of
from tests.support.sites.watched_site import WatchedSite


def test_the_page_says_in_words_what_its_pictures_show(tmp_path: Path) -> None:
    """Each picture has a text, and a table has the numbers; the CSV has the same."""
    site = WatchedSite(tmp_path)
    site.ended_now()
    viewer = site.visitor()
    viewer.log_in(Role.VIEWER)
    answer = viewer.get("/figures?days=7")
    page = text_of(answer)
    assert "Studies a day : 4 in 7 days, at most 4 in one" in page
    assert answer.text.count('role="img"') == 3
    assert "style=" not in answer.text
    rows = list(csv.DictReader(io.StringIO(viewer.get("/figures.csv?days=7&table=days").text)))
    assert len(rows) == 7
    assert sum(int(row["studies"]) for row in rows) == 4
    (took,) = csv.DictReader(io.StringIO(viewer.get("/figures.csv?days=7&table=turnaround").text))
    assert (took["plugin"], took["answer_median_seconds"]) == ("lung-density", "120.0")
    assert viewer.get("/figures.csv?table=passwords").status_code == 400
    assert viewer.get("/figures?days=100000").status_code == 400


def test_a_day_is_one_of_the_sites_time_zone(tmp_path: Path) -> None:
    """A study that came at 16:00 UTC is one of the next day in Seoul."""
    site = WatchedSite(tmp_path)
    there = in_force.read(site.data / in_force.FILE).configuration
    came = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
    with site.ledger.transaction() as database:
        database.execute("UPDATE studies SET last_received_at=?", [came.strftime("%Y-%m-%dT%H:%M:%S.%fZ")])
    found = daily.look(site.ledger, there, came + timedelta(hours=1), 7)
    assert [(each.day.isoformat(), each.studies) for each in found.days if each.studies] == [("2026-03-03", 4)]


def test_percentiles_are_values_that_were_measured() -> None:
    """By the nearest rank."""
    values = [float(each) for each in range(1, 101)]
    assert [daily.percentile(values, share) for share in (0.5, 0.9, 0.95)] == [50.0, 90.0, 95.0]
    assert daily.percentile([7.0], 0.5) == 7.0


def test_questions_of_figures_are_answered_by_indexes(tmp_path: Path) -> None:
    """No table of jobs or studies is read as a whole."""
    site = WatchedSite(tmp_path)
    there = in_force.read(site.data / in_force.FILE).configuration
    asked: list[str] = []
    site.ledger.database.conn.set_trace_callback(asked.append)
    daily.look(site.ledger, there, SystemClock().now(), 7)
    connection = site.ledger.database.conn
    connection.set_trace_callback(None)
    for sql in {each for each in asked if each.lstrip().startswith("SELECT")}:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
        assert not [step for step in plan if step in ("SCAN jobs", "SCAN studies", "SCAN deliveries")], (sql, plan)
