"""What waits for a person, on a page: the same questions as those of the command, answered by the same functions."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest

from node.accounts.roles import Role
from node.clock import SystemClock
from node.config.models import Configuration
from node.desk import carrying_out, handbook, review
from node.desk.actor import Actor, ActorKind
from node.desk.carrying_out import AnswerTask
from node.errors import UsageError
from node.ledger import events
from node.ledger.alert_kinds import AlertKind
from node.ledger.database import FILE, Ledger
from tests.support.console import ConsoleClient, text_of
from tests.support.console_sites import put_in_force
from tests.support.sites.past import GOOD, HELD, tell
from tests.unit.cli.test_reviewing import waiting

__all__ = ["waiting"]  # the fixture

PEER = {"ae_title": "PEER", "host": "127.0.0.1", "port": 104, "identity_check": "study"}
DESTINATIONS = {"pacs": PEER, "research": PEER}
_COMMAND = re.compile(r'name="command" value="([^"]+)"')


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    (tmp_path / "data").mkdir()
    made = Ledger(tmp_path / "data" / FILE)
    with made.transaction() as database:
        tell(database)
    return made


@pytest.fixture
def client(tmp_path: Path, waiting: Ledger) -> ConsoleClient:
    return ConsoleClient(put_in_force(tmp_path, destinations=DESTINATIONS), tmp_path / "data")


def _commands(page: str) -> list[str]:
    return [html.unescape(each) for each in _COMMAND.findall(page)]


def test_the_page_has_every_question_with_the_effect_of_each_answer(client: ConsoleClient, waiting: Ledger) -> None:
    """No patient is named; a viewer gets no button, and an answer that is sent anyway is refused."""
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "destinations": DESTINATIONS})
    client.log_in(Role.VIEWER)
    answer = client.get("/review")
    page = text_of(answer)
    for item in review.look(waiting, configuration).items:
        assert item.question.split("(")[0].strip() in page
        assert all(each.effect in page for each in item.answers)
    assert "SECRET" not in page
    assert not _commands(answer.text)
    assert client.post("/review/answer", {"command": f"release {HELD}"}).status_code == 403
    assert client.post("/review/compare", {"study": GOOD}).status_code == 403


def test_an_answer_is_carried_out_with_the_sentence_of_the_command(client: ConsoleClient, waiting: Ledger) -> None:
    """The event names the user; the question is gone."""
    client.log_in(Role.ADMIN)
    assert f"release {HELD}" in _commands(client.get("/review").text)
    assert client.post("/review/answer", {"command": f"release {HELD}", "back": "/review"}).status_code == 303
    answer = client.get("/review")
    assert f"study {HELD} is released" in text_of(answer)
    assert f"release {HELD}" not in _commands(answer.text)
    (released,) = [each for each in events.of_study(waiting.database, HELD) if each.kind == "study.released"]
    assert released.actor == "user:admin"
    client.post("/review/answer", {"command": f"release {HELD}", "back": "/review"})
    assert "is not held" in text_of(client.get("/review"))


def test_an_answer_about_many_is_shown_before_it_is_carried_out(client: ConsoleClient, waiting: Ledger) -> None:
    """And is carried out for no more than were seen."""
    client.log_in(Role.ADMIN)
    command = next(each for each in _commands(client.get("/review").text) if "unreportable" in each)
    shown = client.post("/review/answer", {"command": command, "back": "/review"})
    assert (shown.status_code, "would be done again or sent now" in text_of(shown)) == (200, True)
    seen = re.search(r'name="seen" value="(\d+)"', shown.text)
    assert seen is not None
    client.post("/review/answer", {"command": command, "seen": "0", "back": "/review"})
    assert "look at it again" in text_of(client.get("/review"))
    client.post("/review/answer", {"command": command, "seen": seen[1], "back": "/review"})
    assert f"{seen[1]} of {seen[1]} done again" in text_of(client.get("/review"))


def test_both_identities_are_side_by_side_after_a_click_that_is_on_record(
    client: ConsoleClient, waiting: Ledger
) -> None:
    """Whoever decides has to compare them; the page has neither before."""
    client.log_in(Role.ADMIN)
    assert "SECRET" not in client.get(f"/review?study={GOOD}").text
    page = text_of(client.post("/review/compare", {"study": GOOD}))
    assert "PatientID SECRET-4711 SECRET-4712" in page
    assert "Secret^There" in page
    viewed = [each.actor for each in events.of_study(waiting.database, GOOD) if each.kind == "study.viewed"]
    assert viewed == ["user:admin"]


def test_pages_are_told_apart_and_a_made_up_place_is_refused(client: ConsoleClient) -> None:
    """By keyset."""
    client.log_in(Role.VIEWER)
    answer = client.get("/review?after=nonsense")
    assert (answer.status_code, "next page" in text_of(answer)) == (400, True)


@pytest.mark.parametrize("kind", AlertKind)
def test_each_page_of_the_handbook_is_whole(kind: AlertKind) -> None:
    """No mark of Markdown is left over, and every word is there."""
    blocks = handbook.blocks_of(kind.value)
    assert blocks[0].kind == "h1"
    words = "".join(text for block in blocks for _, text in block.parts)
    plain = re.sub(r"\]\([^)]*\)|[#`*\[\]\s]", "", handbook.page_of(kind.value))
    assert re.sub(r"[#*\[\]\s]", "", words) == plain


def test_a_page_of_the_handbook_is_shown_and_another_kind_refused(client: ConsoleClient) -> None:
    """What an alert links to."""
    client.log_in(Role.VIEWER)
    assert "Whom to call" in text_of(client.get("/handbook/study.held"))
    assert client.get("/handbook/..%2Fsecret").status_code in (400, 404)
    assert "there is no kind of alert" in text_of(client.get("/handbook/study.hold"))


@pytest.mark.parametrize(
    "command",
    ["serve", "", "release", "plugin withdraw x 1 --reason quality", "restored 1.2.3", "adopt 1.2.3", "answers x"],
)
def test_nothing_but_an_answer_is_carried_out(waiting: Ledger, command: str) -> None:
    """Whatever a browser sends."""
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}})
    with pytest.raises(UsageError, match="no such answer"):
        _carried_out(waiting, configuration, command)


def _carried_out(ledger: Ledger, configuration: Configuration, command: str, why: str = "") -> None:
    given = AnswerTask(
        carrying_out.read(shlex.split(command)), why, SystemClock().now, Actor(ActorKind.OS, "test"), 1_000_000
    )
    carrying_out.carry_out(ledger, configuration, given)


def test_every_answer_of_every_question_is_understood(tmp_path: Path, waiting: Ledger) -> None:
    """As the command understands it: each on the site as it was before."""
    configuration = Configuration.model_validate({"node": {"time_zone": "UTC"}, "destinations": DESTINATIONS})
    found = [shlex.join(each.command) for item in review.look(waiting, configuration).items for each in item.answers]
    assert len(found) >= 17
    waiting.close()
    files = {path: path.read_bytes() for path in (tmp_path / "data").glob("ledger.db*")}
    for command in found:
        for path, content in files.items():
            path.write_bytes(content)
        ledger = Ledger(tmp_path / "data" / FILE)
        _carried_out(ledger, configuration, command)
        ledger.close()
