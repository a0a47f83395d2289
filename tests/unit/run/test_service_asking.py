"""Speaking to a web service: what each of its answers means, and what it never gets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from node.config.services import WebService
from node.errors import TransientError
from node.run.services import asking, submission
from node.run.services.asking import ReplyKind, ServiceCaller, ServiceReply
from node.run.services.submission import SubmissionBody
from plugins.services import SubmittedForm
from tests.support.sites.ai_service import AiService, SubmittedStudy, answer, result, serving
from tests.support.sites.listeners import own_certificate

KEY = "6f3e"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JSON = "application/json"


@pytest.fixture
def ai() -> Iterator[AiService]:
    with serving(AiService()) as service:
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a job gives."""
    (tmp_path / "in" / "s01").mkdir(parents=True)
    (tmp_path / "in" / "s01" / "00001.dcm").write_bytes(b"image")
    (tmp_path / "request.json").write_bytes(b"{}")
    return tmp_path


def caller(ai: AiService, **keys: Any) -> ServiceCaller:
    return ServiceCaller("ai", WebService.model_validate({"url": ai.url, **keys}), keep_free=0)


def submitted(ai: AiService, folder: Path, **keys: Any) -> ServiceReply:
    body = submission.made(folder, SubmittedForm.MULTIPART, KEY)
    return caller(ai, **keys).submit(body, KEY, folder / "answer", NOW)


def asked(ai: AiService, folder: Path, **keys: Any) -> ServiceReply:
    """What it says once it has the images."""
    taken = submitted(ai, folder, **keys)
    assert taken.kind is ReplyKind.TAKEN, taken
    assert taken.location is not None
    return caller(ai, **keys).ask(taken.location, KEY, folder / "answer", NOW)


@pytest.mark.parametrize("form", SubmittedForm)
def test_equal_files_are_equal_submissions(folder: Path, form: SubmittedForm) -> None:
    """What is asked comes first; a service may compare what comes again with what it has."""
    first, again = (b"".join(submission.made(folder, form, KEY).pieces()) for _ in range(2))
    assert first == again
    assert first.index(b"request.json") < first.index(b"in/s01/00001.dcm")
    assert submission.made(folder, form, KEY).length == len(first)


def test_what_it_found_is_in_the_file(ai: AiService, folder: Path) -> None:
    """Submitted, asked, answered: with the key each time."""
    found = asked(ai, folder)
    assert (found.kind, found.content_type) == (ReplyKind.ANSWERED, JSON)
    assert (folder / "answer").read_bytes() == result()
    assert ai.only.files == {"request.json": b"{}", "in/s01/00001.dcm": b"image"}


@pytest.mark.parametrize(
    ("status", "submitting", "asking_for_it"),
    [
        (201, ReplyKind.BROKEN, ReplyKind.LATER),
        (202, ReplyKind.BROKEN, ReplyKind.TAKEN),
        (204, ReplyKind.LATER, ReplyKind.LATER),
        (302, ReplyKind.LATER, ReplyKind.LATER),
        (307, ReplyKind.LATER, ReplyKind.LATER),
        (400, ReplyKind.REFUSED, ReplyKind.REFUSED),
        (401, ReplyKind.LATER, ReplyKind.LATER),
        (403, ReplyKind.LATER, ReplyKind.LATER),
        (404, ReplyKind.LATER, ReplyKind.UNKNOWN),
        (409, ReplyKind.LATER, ReplyKind.LATER),
        (410, ReplyKind.LATER, ReplyKind.UNKNOWN),
        (413, ReplyKind.REFUSED, ReplyKind.REFUSED),
        (415, ReplyKind.REFUSED, ReplyKind.REFUSED),
        (422, ReplyKind.REFUSED, ReplyKind.REFUSED),
        (429, ReplyKind.LATER, ReplyKind.LATER),
        (500, ReplyKind.LATER, ReplyKind.LATER),
        (503, ReplyKind.LATER, ReplyKind.LATER),
    ],
)
def test_each_status_asks_one_thing(
    ai: AiService, folder: Path, status: int, submitting: ReplyKind, asking_for_it: ReplyKind
) -> None:
    """Of a submission, and of a question for what was found; a redirect is followed by neither."""
    elsewhere = {"Location": "http://127.0.0.1:1/x"}
    ai.answers = lambda _: Response(status_code=status, headers=elsewhere)
    assert asked(ai, folder).kind is asking_for_it
    ai.first = [lambda: Response(status_code=status, headers=elsewhere)]
    assert submitted(ai, folder).kind is submitting


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("", ReplyKind.BROKEN),
        ("/other/6f3e", ReplyKind.TAKEN),
        ("http://127.0.0.1:1/x", ReplyKind.BROKEN),
        ("//evil.example/x", ReplyKind.BROKEN),
        ("https://[x", ReplyKind.BROKEN),
        ("x" * 3000, ReplyKind.BROKEN),
    ],
)
def test_nobody_is_asked_elsewhere(ai: AiService, folder: Path, location: str, kind: ReplyKind) -> None:
    """The answer is at the same scheme, host and port, or it is no answer."""
    ai.after = [lambda: Response(status_code=202, headers={"Location": location})]
    assert submitted(ai, folder).kind is kind


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("0", timedelta(0)),
        ("90", timedelta(seconds=90)),
        ("999999999999", timedelta(hours=1)),
        ("Sun, 01 Mar 2026 12:02:00 GMT", timedelta(minutes=2)),
        ("Sun, 01 Mar 2026 11:02:00 GMT", timedelta(0)),
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(ai: AiService, folder: Path, text: str, after: timedelta | None) -> None:
    """RFC 9110 10.2.3; an hour at most, and the deadline of the job counts besides."""
    ai.first = [lambda: Response(status_code=503, headers={"Retry-After": text})]
    assert submitted(ai, folder).after == after


def _of_another(_: SubmittedStudy) -> Response:
    return Response(result(), 200, {"Idempotency-Key": "other"})


def _of_nobody(_: SubmittedStudy) -> Response:
    return Response(result(), 200)


def _compressed(study: SubmittedStudy) -> Response:
    return answer(study, result(), JSON, **{"Content-Encoding": "gzip"})


def _large(study: SubmittedStudy) -> Response:
    return answer(study, bytes(3 * 2**20), JSON)


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        (_of_another, "is to another submission"),
        (_of_nobody, "has no Idempotency-Key"),
        (_compressed, "is encoded"),
        (_large, "more than 2 MiB"),
    ],
)
def test_an_answer_says_whose_it_is_and_is_not_too_much(
    ai: AiService, folder: Path, monkeypatch: pytest.MonkeyPatch, spoiled: Any, why: str
) -> None:
    """One to another submission is about another patient."""
    monkeypatch.setattr(asking, "MOST", 2 * 2**20)
    ai.answers = spoiled
    reply = asked(ai, folder)
    assert reply.kind is ReplyKind.BROKEN
    assert why in reply.why


def test_an_answer_that_does_not_say_where_it_ends_is_none(folder: Path) -> None:
    """It may have been cut anywhere: neither a length nor chunks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(f"HTTP/1.1 200 OK\r\nIdempotency-Key: {KEY}\r\n\r\n".encode() + result())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        calling = ServiceCaller("ai", WebService.model_validate({"url": url}), keep_free=0)
        reply = calling.ask(url, KEY, folder / "answer", NOW)
        thread.join()
    assert (reply.kind, "does not say where it ends" in reply.why) == (ReplyKind.BROKEN, True)


def test_an_answer_that_breaks_off_is_asked_for_again(ai: AiService, folder: Path) -> None:
    """It is shorter than it says: nothing is half taken."""
    ai.answers = lambda study: answer(study, result(), JSON, **{"Content-Length": "5000"})
    assert asked(ai, folder).kind is ReplyKind.LATER


def test_what_is_not_written_for_want_of_room_is_no_fault_of_the_service(ai: AiService, folder: Path) -> None:
    """The disk has less than is to stay free."""
    taken = submitted(ai, folder)
    full = ServiceCaller("ai", WebService.model_validate({"url": ai.url}), keep_free=2**62)
    with pytest.raises(OSError, match="no room"):
        full.ask(taken.location or "", KEY, folder / "answer", NOW)


def test_a_token_is_read_for_each_request(ai: AiService, folder: Path) -> None:
    """So one that was exchanged counts at once; a file that is not there is a reason to wait."""
    ai.token, file = "sesame", folder / "token"
    missing = submitted(ai, folder, token_file=str(file))
    assert (missing.kind, ai.asked) == (ReplyKind.LATER, [])
    file.write_text("wrong\n")
    assert "token" in submitted(ai, folder, token_file=str(file)).why
    file.write_text("sesame\n")
    assert submitted(ai, folder, token_file=str(file)).kind is ReplyKind.TAKEN


@contextmanager
def _by_tls(folder: Path) -> Iterator[tuple[AiService, Path]]:
    made = own_certificate(folder)
    if made is None:
        pytest.skip("there is no openssl")
    with serving(AiService(), made[1], made[1].with_suffix(".key")) as ai:
        yield ai, made[1]


def test_a_service_with_another_certificate_gets_nothing(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It was changed, or somebody plays the service: not even the token leaves."""
    other = own_certificate(tmp_path_factory.mktemp("other"))
    with _by_tls(tmp_path_factory.mktemp("tls")) as (ai, own):
        assert other is not None
        reply = submitted(ai, folder, authorities=str(other[1]))
        assert (reply.kind, ai.asked) == (ReplyKind.LATER, [])
        assert "its certificate is not accepted" in reply.why
        assert submitted(ai, folder, authorities=str(own)).kind is ReplyKind.TAKEN


def test_whether_it_is_there_is_asked_without_an_image(ai: AiService) -> None:
    """A service that takes POST alone is there; one that refuses our token is not."""
    caller(ai).is_there()
    ai.url = ai.url.replace("/analyses", "/nothing")
    caller(ai).is_there()
    with pytest.raises(TransientError, match="cannot be reached"):
        ServiceCaller("ai", WebService.model_validate({"url": "http://127.0.0.1:9/x"}), keep_free=0).is_there()


def test_a_request_under_way_is_broken_off_when_the_node_stops(ai: AiService, folder: Path) -> None:
    """And none is begun after that."""
    called = caller(ai)
    called.end()
    body = SubmissionBody(JSON, (b"{}",))
    assert called.submit(body, KEY, folder / "answer", NOW).kind is ReplyKind.LATER
    assert ai.asked == []
