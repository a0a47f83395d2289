"""A PACS opens a study for a reader: an address that is signed works once, within a minute, for that study alone."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from node.accounts import users
from node.accounts.roles import Role
from node.clock import SystemClock
from node.config.console import ConsoleSettings
from node.config.sections import FOLDER
from node.ledger.database import FILE, Ledger
from tests.support.console import ConsoleClient, text_of
from tests.support.console_sites import put_in_force

KEY = "0123456789abcdef0123456789abcdef"
NONCE = "n0nce_n0nce-n0nce"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> ConsoleClient:
    folder = tmp_path_factory.mktemp("launch")
    (folder / "data").mkdir()
    Ledger(folder / "data" / FILE)
    (folder / "launch.key").write_text(f"{KEY}\n")
    settings = ConsoleSettings.model_validate({"launch_key": "launch.key"}, context={FOLDER: folder})
    made = ConsoleClient(put_in_force(folder), folder / "data", settings)
    for name, role in {"kim": Role.READER, "lee": Role.ADMIN, "park": Role.READER}.items():
        users.add(made.accounts, name, role, SystemClock().now(), "os:test", password=False)
    users.change(made.accounts, "park", disabled=True)
    return made


def signed(nonce: str, *, key: str = KEY, **changes: str) -> dict[str, str]:
    """The values of a launch for kim and A1, changed and then signed."""
    moment = str(int(time.time()))
    values = {"user": "kim", "requestType": "STUDY", "accessionNumber": "A1", "studyUID": "", "time": moment}
    values |= {"nonce": nonce} | changes
    text = "\n".join(["pacsnode-launch", *(f"{name}={value}" for name, value in values.items())])
    return values | {"signature": hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()}


def launch(client: ConsoleClient, values: dict[str, str], more: str = "") -> tuple[int, str]:
    """Status, and where to or why not."""
    client.cookies.clear()
    answer = client.get(f"/reader?{urlencode(values)}{more}")
    return answer.status_code, answer.headers.get("location") or text_of(answer)


def test_a_signed_address_opens_the_study_once(client: ConsoleClient) -> None:
    """The reader is logged in, as a reader, and the address that stays in the browser has no signature."""
    values = signed("a" * 16)
    assert launch(client, values) == (303, "/reader?requestType=STUDY&accessionNumber=A1")
    assert client.get("/reader").status_code == 200
    assert client.get("/studies").status_code == 403
    status, said = launch(client, values)
    assert (status, "was used already" in said) == (403, True)
    assert client.get("/reader").status_code == 303  # nobody is logged in


def _other(name: str, value: str) -> Callable[[], dict[str, str]]:
    return lambda: signed(f"other-{name}-0123456789") | {name: value}


REFUSED: dict[str, tuple[Callable[[], dict[str, str]], str]] = {
    "another accession number": (_other("accessionNumber", "A2"), "not signed"),
    "another user": (_other("user", "lee"), "not signed"),
    "another nonce": (_other("nonce", "b" * 16), "not signed"),
    "a stretched time": (_other("time", str(int(time.time()) + 30)), "not signed"),
    "a study beside the accession number": (_other("studyUID", "1.2.3"), "not signed"),
    "another key": (lambda: signed("c" * 16, key=KEY[::-1]), "not signed"),
    "no signature at all": (lambda: signed("d" * 16) | {"signature": ""}, "not signed"),
    "a signature in other digits": (lambda: signed("e" * 16) | {"signature": "é" * 64}, "not signed"),
    "a short nonce": (lambda: signed("f"), "not signed"),
    "a time that is no number": (lambda: signed("g" * 16, time="now"), "not signed"),
    "a line feed in a value": (lambda: signed("h" * 16, accessionNumber="A1\nstudyUID=1"), "not signed"),
    "61 seconds ago": (lambda: signed("i" * 16, time=str(int(time.time()) - 62)), "too old"),
    "in two minutes": (lambda: signed("j" * 16, time=str(int(time.time()) + 120)), "too old"),
    "an admin": (lambda: signed("k" * 16, user="lee"), "not a reader"),
    "a disabled reader": (lambda: signed("l" * 16, user="park"), "not a reader"),
    "nobody": (lambda: signed("m" * 16, user="choi"), "not a reader"),
    "a patient": (lambda: signed("n" * 16, requestType="PATIENT"), "requestType=STUDY"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_launch_is_refused(client: ConsoleClient, what: str) -> None:
    """Whatever was changed since it was signed; without a session, a path or the key in the answer."""
    make, says = REFUSED[what]
    status, said = launch(client, make())
    assert (status, says in said) == (403, True), said
    assert KEY not in said
    assert "launch.key" not in said
    assert not client.cookies


def test_a_value_that_is_there_twice_is_refused(client: ConsoleClient) -> None:
    """The first could be what is signed, and the second what is opened."""
    assert launch(client, signed("p" * 16), "&accessionNumber=A2")[0] == 403


def test_a_launch_ends_the_session_of_whoever_sat_there_before(client: ConsoleClient) -> None:
    """A verdict is never given in the name of the reader before."""
    client.log_in(Role.VIEWER)
    assert client.get(f"/reader?{urlencode(signed('q' * 16))}").status_code == 303
    assert "kim" in client.get("/reader").text


def test_the_command_of_the_documentation_signs_a_launch(client: ConsoleClient, tmp_path: Path) -> None:
    """docs/console-launch.md: what it prints opens the study."""
    page = Path(__file__).parents[3] / "docs" / "console-launch.md"
    script = page.read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0]
    (tmp_path / "launch.key").write_text(f"{KEY}\n")
    ran = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    client.cookies.clear()
    answer = client.get("/reader" + ran.stdout.strip().partition("/reader")[2])
    assert answer.headers["location"] == "/reader?requestType=STUDY&accessionNumber=A1"


def test_without_a_key_nobody_is_launched(tmp_path: Path) -> None:
    """The page says what is not set up."""
    (tmp_path / "data").mkdir()
    Ledger(tmp_path / "data" / FILE)
    client = ConsoleClient(put_in_force(tmp_path), tmp_path / "data")
    status, said = launch(client, signed("r" * 16))
    assert (status, "console.launch_key" in said) == (403, True)


def test_a_key_that_is_too_short_lets_nobody_in(tmp_path: Path) -> None:
    """The page does not say where it is."""
    (tmp_path / "data").mkdir()
    Ledger(tmp_path / "data" / FILE)
    (tmp_path / "launch.key").write_text("short")
    settings = ConsoleSettings.model_validate({"launch_key": "launch.key"}, context={FOLDER: tmp_path})
    client = ConsoleClient(put_in_force(tmp_path), tmp_path / "data", settings)
    status, said = launch(client, signed("s" * 16, key="short"))
    assert (status, "cannot be used" in said, str(tmp_path) in said) == (403, True, False)
