"""How the node logs in at web services: a password, a token in a file, a token server; secrets are never quoted."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from node.config.web_destinations import DicomWebDestination
from node.deliver.ways import dicomweb
from node.deliver.ways.archive import NotAdmittedError, NotReachedError
from node.errors import TransientError
from node.outcome import AnswerReading
from node.web import logins
from tests.support.dimse.certificates import signed_by_itself
from tests.support.sites.scripted_dicomweb import DicomWebServer, say, saying, serving
from tests.unit.deliver.test_folder import written

SECRET = "s3cret"


@pytest.fixture
def server() -> Iterator[DicomWebServer]:
    """Wants a token."""
    with serving(DicomWebServer(token="Bearer one")) as made:
        yield made


@pytest.fixture
def token_server() -> Iterator[DicomWebServer]:
    """A server whose POSTs are answered by the tests."""
    with serving(DicomWebServer()) as made:
        yield made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with one."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return tmp_path / "secret"


def way(server: DicomWebServer, **keys: Any) -> dicomweb.DicomWebArchive:
    """The way to a server."""
    return dicomweb.archive(DicomWebDestination.model_validate({"url": server.url, "timeout": "2s"} | keys), "")


def oauth2(token_server: DicomWebServer, secret: Path) -> dict[str, Any]:
    """Settings of a token server."""
    url = f"http://localhost:{token_server.port}/token"
    return {"token_url": url, "client_id": "pacs node", "client_secret_file": secret, "scope": "dicomweb"}


def tokens(handler: BaseHTTPRequestHandler, token: str, **more: Any) -> None:
    """A token is given."""
    say(handler, 200, {"access_token": token, "token_type": "Bearer", **more}, "application/json")


def test_a_token_in_a_file_is_read_again_at_each_use(server: DicomWebServer, tmp_path: Path) -> None:
    """A new one needs no restart; what cannot be read is said without what it holds."""
    file = tmp_path / "token"
    there = way(server, token_file=file)
    with pytest.raises(NotReachedError, match="token cannot be read"):
        there.try_out()
    file.write_text("wrong\n")
    with pytest.raises(NotAdmittedError, match=r"does not accept our login or certificate \[401\]"):
        there.try_out()
    file.write_text("one\n")
    there.try_out()


def test_a_user_name_and_a_password_are_sent(server: DicomWebServer, secret: Path) -> None:
    """RFC 7617: Aladdin's example, with our values."""
    server.token = "Basic YWxhZGRpbjpzM2NyZXQ="
    way(server, username="aladdin", password_file=secret).try_out()


def test_a_token_server_is_asked_once_and_again_when_its_token_is_refused(
    server: DicomWebServer, token_server: DicomWebServer, secret: Path, tmp_path: Path
) -> None:
    """RFC 6749 4.4; the object that met the refusal is sent again at once, as a whole."""
    token_server.script = [lambda handler, _: tokens(handler, "one", expires_in=3600)]
    there = way(server, oauth2=oauth2(token_server, secret))
    there.try_out()
    there.try_out()
    (asked,) = token_server.of("POST")
    assert asked.headers["authorization"] == "Basic cGFjcytub2RlOnMzY3JldA=="  # form-encoded: pacs+node:s3cret
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["dicomweb"]}
    server.token = "Bearer two"
    token_server.script = [lambda handler, _: tokens(handler, "two")]
    file = written(tmp_path, SOPInstanceUID="1.2.3.7")
    with there.connect([]) as sender:
        server.token = "Bearer three"
        token_server.script = [lambda handler, _: tokens(handler, "three")]
        assert sender.store(file).reading is AnswerReading.STORED
    assert [len(each.body) for each in server.of("POST")] == [len(server.of("POST")[0].body)] * 2
    assert server.of("POST")[1].part == file.read_bytes()


def test_a_token_that_ends_is_replaced_before(
    server: DicomWebServer, token_server: DicomWebServer, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute before; one that is good for less at half its time."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    settings = DicomWebDestination.model_validate({"url": server.url, "oauth2": oauth2(token_server, secret)})
    login = logins.login_of(settings)
    monkeypatch.setattr(login, "_ask", lambda: (f"at {now[0]:.0f}", 100.0))
    seen = []
    for moment in (1000.0, 1069.0, 1071.0):
        now[0] = moment
        seen.append(login.header()["Authorization"])
    assert seen == ["Bearer at 1000", "Bearer at 1000", "Bearer at 1071"]


@pytest.mark.parametrize(
    ("step", "error", "why"),
    [
        (saying(401), NotAdmittedError, "answers 401: it gives pacs node no token"),
        (saying(503), NotReachedError, "answers 503"),
        (saying(302, Location="http://127.0.0.1:9/"), NotReachedError, "answers 302"),
        (saying(200, b"<html>"), NotReachedError, "not one of OAuth"),
        (saying(200, {"access_token": "a\r\nX: y"}), NotReachedError, "cannot be sent|not of type bearer"),
        (saying(200, {"access_token": "a", "token_type": "mac"}), NotReachedError, "not of type bearer"),
        (saying(200, {"access_token": "a", "expires_in": "soon"}), NotReachedError, "not one of OAuth"),
        (saying(200, b" " * (1 << 17)), NotReachedError, "without a token"),
    ],
    ids=["401", "503", "302", "page", "header", "mac", "soon", "giant"],
)
def test_a_token_server_that_gives_none_is_said_in_words(
    step: Any, error: type[Exception], why: str, server: DicomWebServer, token_server: DicomWebServer, secret: Path
) -> None:
    """Nothing is sent; the secret is in no message."""
    token_server.script = [step]
    with pytest.raises(error, match=why) as caught:
        way(server, oauth2=oauth2(token_server, secret)).try_out()
    assert SECRET not in str(caught.value)
    assert server.heard == []


def test_a_certificate_of_ours_is_shown_to_who_asks_for_one(tmp_path: Path) -> None:
    """And its own is verified by the authorities that are named, or nothing is sent."""
    ours, theirs = (signed_by_itself(tmp_path, name) for name in ("node", "localhost"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ours[0]))
    context.load_cert_chain(*theirs)
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(DicomWebServer(), context) as server:
        way(server, authorities=theirs[0], certificate=ours[0], key=ours[1]).try_out()
        with pytest.raises(TransientError, match="cannot be reached"):
            way(server, authorities=theirs[0]).try_out()
        with pytest.raises(NotReachedError, match="its certificate is not accepted"):
            way(server).try_out()
    assert len(server.heard) == 1
