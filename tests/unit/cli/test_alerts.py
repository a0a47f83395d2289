"""`alerts`, `ack` and `status --check`: what needs a person, who sees to it, and one line for a monitor."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from node.clock import SystemClock
from node.desk import monitoring, site
from node.desk.handbook import page_of
from node.ledger import acknowledgements, alerts, notifications
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import Ledger
from node.ledger.notifications import Occasion
from node.store import pulse
from node.store.health import Load
from tests.support import history
from tests.support.sites.calls import Run
from tests.support.sites.outcomes import match
from tests.support.sites.past import GOOD


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, config: Path) -> Ledger:
    """A site where nothing is wrong: the node runs, its stages turn, and what was an alert is over."""
    with ledger.transaction() as database:
        database.execute("DELETE FROM alerts")
    data = config.parent / "data"
    monkeypatch.setattr(site, "running", lambda _: {"pid": os.getpid()})
    monkeypatch.setattr(monitoring, "load_of", lambda _: Load(500 * 2**30, 12))
    pulse.note(data, SystemClock().now(), ())
    return ledger


def raise_(ledger: Ledger, kind: AlertKind, place: str) -> int:
    with ledger.transaction() as database:
        alerts.raised(database, SystemClock().now(), kind, place, reason="because")
        ((number,),) = database.execute("SELECT max(id) FROM alerts").fetchall()
    return int(number)


def test_every_open_alert_is_listed_critical_ones_first(run: Run, quiet: Ledger) -> None:
    """More than `status` shows; a word where there is none; closed ones apart."""
    assert run("alerts").out.strip() == "no alert is open"
    assert run("alerts", "--closed").out.strip() == "no alert is over yet"
    for number in range(130):
        raise_(quiet, AlertKind.CALLERS_REFUSED, f"CT{number}")
    fire = raise_(quiet, AlertKind.DESTINATION_DOWN, "pacs")
    listed = run("alerts", "--json").json["alerts"]
    assert (len(listed), listed[0]["id"], listed[0]["severity"]) == (131, fire, "critical")
    assert "destination.down pacs reason=because" in run("alerts").out


def test_the_page_of_a_kind_is_shown_as_it_is_written(run: Run, config: Path) -> None:
    """Without a configuration, too; a slip is answered with the kind that may be meant."""
    config.unlink()
    shown = run("alerts", "help", "disk.low")
    assert (shown.code, shown.out) == (0, page_of("disk.low"))
    slip = run("alerts", "help", "disk.lwo")
    assert (slip.code, slip.out, 'did you mean "disk.low"?' in slip.err) == (2, "", True)


def test_who_sees_to_an_alert_is_shown(run: Run, quiet: Ledger) -> None:
    """In the list and in `status`; the record says who said so; what is over or not there is refused."""
    number = raise_(quiet, AlertKind.DESTINATION_DOWN, "pacs")
    done = run("alerts", "ack", number, "--owner", "Kim", "--note", "the vendor comes at noon")
    assert done.out.strip() == f"alert {number} (destination.down) belongs to Kim: it is not sent again while it lasts"
    shown = run("alerts").out
    assert "Kim" in shown
    assert "the vendor comes at noon" in shown
    assert "Kim" in run("status").out
    (event,) = history.of_kind(quiet.database, "alert.acknowledged")
    assert (event.actor.startswith("os:"), event.detail["owner"]) == (True, "Kim")
    assert run("ack", f"alert:{number}").code == 0
    assert run("alerts", "ack", 999).err.strip() == "pacsnode: there is no alert 999"
    with quiet.transaction() as database:
        alerts.close(database, SystemClock().now(), number)
    refused = run("ack", f"alert:{number}")
    assert (refused.code, refused.err.strip()) == (1, f"pacsnode: alert {number} is over")


def test_a_notification_is_acknowledged_once(run: Run, quiet: Ledger) -> None:
    """With whom it had gone to; a second time, and other names, are refused."""
    with quiet.transaction() as database:
        now = SystemClock().now()
        notifications.enqueue(database, now, match(database, now, GOOD, "night"), Occasion.MATCH, ["duty", "boss"])
    done = run("ack", "notification:1")
    assert done.out.strip() == "notification 1 is acknowledged: nobody else is notified of it (duty, boss had it)"
    assert "os:" in run("study", GOOD).out.partition("Acknowledged by")[2].partition("\n\n")[0]
    assert run("ack", "notification:2").code == 1
    assert run("ack", "notification:1", "--owner", "x").code == 2
    for slip in ("1", "job:1", "notification:x"):
        assert "name alert:NUMBER or notification:NUMBER" in run("ack", slip).err


def test_a_monitor_gets_one_line_and_a_code(run: Run, quiet: Ledger) -> None:
    """OK, WARNING, CRITICAL; what somebody has acknowledged does not count; figures after the bar."""
    fine = run("status", "--check")
    assert (fine.code, fine.out.count("\n")) == (0, 1)
    text, figures = fine.out.strip().split(" | ")
    assert text == "PACSNODE OK - it runs, and nothing needs a person"
    assert figures.startswith("critical=0;;0;0 warning=0;0;;0 incoming=12;25000;50000;0 free=536870912000B;")
    warned = raise_(quiet, AlertKind.CALLERS_REFUSED, "CT9")
    said = run("status", "--check")
    assert said.code == 1
    assert said.out.startswith("PACSNODE WARNING - 1 warning alert: callers.refused (pacsnode alerts) | critical=0;")
    fire = raise_(quiet, AlertKind.DESTINATION_DOWN, "pacs")
    assert run("status", "--check").code == 2
    for number in (warned, fire):
        with quiet.transaction() as database:
            acknowledgements.acknowledge_alert(database, SystemClock().now(), number, "os:kim")
    assert run("status", "--check").code == 0


def test_a_monitor_is_told_how_much_waits_is_held_and_is_dead(run: Run, quiet: Ledger) -> None:
    """Results and forwarded images together, as the ledger has them; not 0 whatever there is."""
    figures = dict(part.split("=") for part in run("status", "--check").out.split(" | ")[1].split())
    for status in ("held", "dead"):
        ((count,),) = quiet.database.execute("SELECT count(*) FROM deliveries WHERE status=?", [status]).fetchall()
        assert count > 0
        assert figures[f"deliveries_{status}"] == f"{count};;;0"
    sql = "SELECT count(*) FROM deliveries WHERE status IN ('waiting', 'refused')"
    assert figures["deliveries_waiting"] == f"{quiet.database.execute(sql).fetchall()[0][0]};;;0"


def test_an_alert_names_its_study_as_people_do(run: Run, quiet: Ledger) -> None:
    """By accession number and modality; the UID, which no line has room for, is in --json."""
    with quiet.transaction() as database:
        alerts.raised(
            database, SystemClock().now(), AlertKind.DELIVERY_DEAD, f"pacs {GOOD}", study=GOOD, destination="pacs"
        )
    ((accession,),) = quiet.database.execute(
        "SELECT accession_number FROM studies WHERE study_instance_uid=?", [GOOD]
    ).fetchall()
    said = run("alerts").out
    assert f"{accession} CT" in said
    assert "delivery.dead destination=pacs" in said
    assert GOOD not in said


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("pid", "age", "stuck", "words"),
    [
        (None, 0, (), "the node does not run"),
        (1, 10, (), "the node process does not turn: it has died, or hangs"),
        (1, 0, ("route",), "stages do no work: route"),
    ],
)
def test_a_dead_node_is_critical(
    run: Run,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    pid: int | None,
    age: int,
    stuck: tuple[str, ...],
    words: str,
) -> None:
    """Also where the supervisor lives and the node process does not, or a stage does nothing."""
    monkeypatch.setattr(site, "running", lambda _: {"pid": pid} if pid else None)
    pulse.note(config.parent / "data", SystemClock().now() - timedelta(minutes=age), stuck)
    said = run("status", "--check")
    assert (said.code, said.out.split(" | ")[0]) == (2, f"PACSNODE CRITICAL - {words}")


def test_what_cannot_be_looked_at_is_unknown(run: Run, config: Path) -> None:
    """No ledger, a wrong file, no file: code 3, and the line says why."""
    assert run("status", "--check").code == 3
    config.write_text("node: {time_zone: Nowhere}\n")
    wrong = run("status", "--check")
    assert (wrong.code, wrong.out.startswith("PACSNODE UNKNOWN - config.yaml:1")) == (3, True)
    config.unlink()
    assert run("status", "--check").code == 3
