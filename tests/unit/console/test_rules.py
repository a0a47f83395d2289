"""The console's rules: what is in force, checking and trying a draft, and putting it live."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from node.accounts.roles import Role
from node.clock import SystemClock
from node.config import in_force, loading
from node.config.console import ConsoleSettings
from node.config.in_force import InForce
from node.console import children
from node.errors import PermanentError
from node.ledger import file_versions
from node.ledger.rows import query
from tests.support.clocks import HandClock
from tests.support.console import PASSWORD, ConsoleClient, text_of
from tests.support.sites.job_site import Site

CONFIG = """\
node: {time_zone: Asia/Seoul, data: data}
destinations:
  pacs: {ae_title: PACS, host: 10.0.0.9, port: 104}
# the rules are in a file of their own
rules: [rules.yaml]
"""
RULES = """\
# a comment that stays
rules:
  - name: thorax
    when: {Modality: CT, SeriesDescription: Thorax, calling_ae_title: CT1}
    choose: {take: one}
    run: lung-density
    send: pacs
    mode: pilot
tests:
  - name: a thorax
    given: {calling_ae_title: CT1, series: [{Modality: CT, SeriesDescription: Thorax}]}
    expect: {thorax: match}
"""
EDIT = "/rules/edit?file=rules.yaml"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two studies that were complete a moment ago, one of a thorax."""
    folder = tmp_path_factory.mktemp("site")
    made = Site(folder, HandClock(SystemClock().now()))
    made.receive(2, study="1.1", SeriesDescription=("LO", "Thorax"))
    made.receive(2, study="1.2", SeriesDescription=("LO", "Abdomen"))
    for study in ("1.1", "1.2"):
        made.complete(study)
    yield made
    made.ledger.close()


@pytest.fixture(scope="module")
def admin(site: Site) -> ConsoleClient:
    """Who is logged in for all tests."""
    _write(site.folder)
    client = ConsoleClient(site.folder / "data" / in_force.FILE, site.folder / "data")
    client.log_in(Role.ADMIN)
    return client


@pytest.fixture
def console(site: Site, admin: ConsoleClient) -> ConsoleClient:
    """The console of an admin who logged in long ago and has no draft; the files say what is in force."""
    _write(site.folder)
    admin.accounts.query("DELETE FROM drafts")
    admin.accounts.query("UPDATE sessions SET confirmed_at=0")
    return admin


def _write(folder: Path) -> None:
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "rules.yaml").write_text(RULES)
    in_force.write(InForce.of(loading.read(folder / "config.yaml"), SystemClock().now(), "os:test"))


def _part(answer: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found, text_of(answer)
    return found[1]


def _text(answer: httpx.Response) -> str:
    found = re.search(r"<textarea.*?>\n(.*?)</textarea>", answer.text, re.DOTALL)
    assert found, text_of(answer)
    return html.unescape(found[1])


def _post(console: ConsoleClient, text: str, what: str, file: str = "rules.yaml", **more: str) -> httpx.Response:
    base = _part(console.get(f"/rules/edit?file={file}"), "base")
    return console.post("/rules/edit", {"file": file, "base": base, "text": text, "do": what, **more})


def test_the_page_draws_the_way_of_a_study_and_says_it_in_a_table(console: ConsoleClient, site: Site) -> None:
    """Sender, rule, plugin and destination; whoever may not change rules sees no file."""
    answer = console.get("/rules")
    said = text_of(answer)
    for word in ("calling_ae_title: CT1", "thorax", "lung-density", "pacs", "pilot"):
        assert said.count(word) >= 2, word
    assert "rules.yaml" in said
    assert "<path" in answer.text
    viewer = ConsoleClient(site.folder / "data" / in_force.FILE, site.folder / "data")
    viewer.log_in(Role.VIEWER)
    assert "rules.yaml" not in text_of(viewer.get("/rules"))
    assert viewer.get(EDIT).status_code == 403


def test_a_mistake_is_said_with_its_line_and_nothing_is_written(console: ConsoleClient, site: Site) -> None:
    """Also of another file than the one that is edited, and of a test that fails; no folder of the machine is shown."""
    answer = _post(console, RULES.replace("pilot", "piloot"), "check")
    assert "rules.yaml:8" in text_of(answer)
    assert "Did you mean “pilot”?" in text_of(answer)
    assert 'data-line="8"' in answer.text
    failing = _post(console, RULES.replace("Thorax, calling", "Abdomen, calling"), "live")
    assert 'the test "a thorax" fails' in text_of(failing)
    assert failing.status_code == 400
    other = _post(console, CONFIG.replace("pacs:", "store:"), "check", "config.yaml")
    assert "rules.yaml:7" in text_of(other)
    assert str(site.folder) not in answer.text + failing.text + other.text
    assert (site.folder / "rules.yaml").read_text() == RULES


@pytest.mark.parametrize(
    "text",
    ["a: [" * 5000, "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(9)), "\tx", "- &a [*a]", ""],
)
def test_a_hostile_text_is_a_problem_and_not_the_end_of_the_console(console: ConsoleClient, text: str) -> None:
    """Whatever somebody types is read in a child with a deadline."""
    answer = _post(console, text, "check")
    assert answer.status_code == 200
    assert "problem" in text_of(answer)


def test_what_cannot_be_checked_in_time_is_a_problem(
    console: ConsoleClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said where problems are said, and nothing goes live."""

    async def slow(*_: object, **__: object) -> object:
        raise PermanentError("this is more than the console does: it took too long")

    monkeypatch.setattr(children, "call", slow)
    for what in ("check", "try", "live"):
        assert "it took too long" in text_of(_post(console, RULES + "# more\n", what))
    assert (site.folder / "rules.yaml").read_text() == RULES


def test_a_draft_is_kept_until_it_is_discarded(console: ConsoleClient) -> None:
    """Whoever comes back finds what was typed."""
    _post(console, RULES + "# more\n", "check")
    again = console.get(EDIT)
    assert _text(again) == RULES + "# more\n"
    assert "This is your draft" in text_of(again)
    _post(console, "", "discard")
    assert _text(console.get(EDIT)) == RULES


def test_a_draft_is_tried_on_the_last_studies(console: ConsoleClient) -> None:
    """Newly matched and lost studies are named, and lead to their pages."""
    said = _post(console, RULES.replace(", SeriesDescription: Thorax, calling_ae_title: CT1", "", 1), "try", days="7")
    assert "2 studies were complete" in text_of(said)
    assert re.search(r"Newly matched .*thorax .*when does not hold", text_of(said))
    assert 'href="/studies/1.1"' in said.text
    wrong = _post(console, RULES.replace("pilot", "piloot"), "try")
    assert "piloot" in text_of(wrong)


def test_going_live_replaces_the_file_and_says_who_did_it(console: ConsoleClient, site: Site) -> None:
    """Comments and mode stay, an event names the user, and the text before can be brought back."""
    path = site.folder / "rules.yaml"
    path.chmod(0o640)
    text = RULES.replace("take: one", "take: all")
    answer = _post(console, text.replace("\n", "\r\n"), "live")
    assert answer.status_code == 303, text_of(answer)
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in site.folder.iterdir() if ".part" in each.name] == []
    with site.ledger.snapshot() as database:
        (event,) = query(database, "SELECT actor, detail FROM events WHERE kind='configuration.written'")
        known = file_versions.of_file(database, str(path.resolve()))
        assert file_versions.writer(database, str(path.resolve()), known[0].digest) == "user:admin"
    assert event["actor"] == "user:admin"
    assert '"name":"rules.yaml"' in event["detail"].replace(" ", "")
    assert "rules.yaml is written" in text_of(console.get("/rules"))
    earlier = console.get(f"{EDIT}&version={known[1].id}")
    assert _text(earlier) == RULES
    path.chmod(0o600)


def test_a_file_that_was_changed_meanwhile_stays_as_it_is(console: ConsoleClient, site: Site) -> None:
    """Nobody's work is overwritten; the draft is kept."""
    base = _part(console.get(EDIT), "base")
    other = RULES + "# by an editor\n"
    (site.folder / "rules.yaml").write_text(other)
    draft = {"file": "rules.yaml", "base": base, "text": RULES + "# mine\n", "do": "live"}
    answer = console.post("/rules/edit", draft)
    assert answer.status_code == 400
    assert "was changed since you began" in text_of(answer)
    assert (site.folder / "rules.yaml").read_text() == other
    assert "# mine" in console.get(EDIT).text


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("rules.yaml", ("mode: pilot", "mode: clinical"), "thorax goes to clinical"),
        ("config.yaml", ("time_zone", "accept: any, time_zone"), "accept: any"),
        ("config.yaml", ("port: 104", "port: 104, identity_check: none"), "identity_check: none"),
        ("config.yaml", ("  pacs:", "  more: {ae_title: M, host: h, port: 1}\n  pacs:"), "audience readers"),
    ],
)
def test_what_readers_would_see_asks_for_the_password_again(
    console: ConsoleClient, site: Site, file: str, change: tuple[str, str], said: str
) -> None:
    """Nothing is written before, and the draft is there afterwards."""
    path = site.folder / file
    before = path.read_text()
    text = before.replace(*change)
    assert said in text_of(_post(console, text, "check", file))
    asked = _post(console, text, "live", file)
    assert asked.headers["location"].startswith("/confirm?next=%2Frules%2Fedit")
    assert path.read_text() == before
    back = console.post("/confirm", {"password": PASSWORD, "next": f"/rules/edit?file={file}"})
    assert _text(console.get(back.headers["location"])) == text
    assert _post(console, text, "live", file).status_code == 303
    assert path.read_text() == text


def test_only_files_of_the_configuration_can_be_edited(console: ConsoleClient, site: Site) -> None:
    """No name leads anywhere else."""
    (site.folder / "other.yaml").write_text("x: 1\n")
    for name in ("other.yaml", "../site/config.yaml", "/etc/passwd", str(site.folder / "config.yaml"), ""):
        assert console.get(f"/rules/edit?file={name}").status_code == 404
        assert console.post("/rules/edit", {"file": name, "text": "", "do": "check"}).status_code == 404


def test_a_console_that_is_not_to_edit_only_shows(console: ConsoleClient, site: Site) -> None:
    """`console.edit: false`: no form, and what is sent anyway is refused."""
    base = _part(console.get(EDIT), "base")
    reader = ConsoleClient(site.folder / "data" / in_force.FILE, site.folder / "data", ConsoleSettings(edit=False))
    reader.cookies = console.cookies
    assert "<textarea" not in reader.get(EDIT).text
    for what in ("check", "try", "live", "discard"):
        sent = {"file": "rules.yaml", "base": base, "text": "rules: []\n", "do": what}
        assert reader.post("/rules/edit", sent).status_code == 403
    assert (site.folder / "rules.yaml").read_text() == RULES


def test_the_editor_offers_words(console: ConsoleClient) -> None:
    """Keys, DICOM keywords, values, and names of the site."""
    known = console.get("/rules/words").json()
    assert {"when", "SliceThickness", "image_count", "clinical", "lung-density", "pacs"} <= set(known)
    assert "Slice Thickness (0018,0050)" in known["SliceThickness"]


def test_a_file_of_somebody_else_is_left_alone(console: ConsoleClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner would be another one."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    known = os.fstat

    def other(descriptor: int) -> os.stat_result:
        values = list(known(descriptor))
        values[4] += 1
        return os.stat_result(values)

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr("node.desk.configuration_files.os.fstat", other)
    answer = _post(console, RULES + "# more\n", "live")
    assert answer.status_code == 400
    assert "belongs to another user" in text_of(answer)
