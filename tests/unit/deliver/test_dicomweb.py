"""A destination that speaks DICOMweb: what is sent, and what each of its answers leads to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from node.config.web_destinations import DicomWebDestination
from node.deliver.outbox import Outbox
from node.deliver.policy import Answer, TryAgain, after
from node.deliver.ways import dicomweb
from node.deliver.ways.archive import NotAdmittedError, NotReachedError
from node.errors import PermanentError, TransientError
from node.ledger import alerts, outages
from node.ledger.alert_kinds import AlertKind
from node.ledger.delivery import DeliveryStatus
from node.outcome import AnswerReading
from node.stage import Node
from node.wake import Wakes
from tests.support.clocks import HandClock
from tests.support.images.receipts import ct
from tests.support.sites.configurations import with_destinations
from tests.support.sites.outbox_room import OutboxRoom
from tests.support.sites.scripted_dicomweb import (
    DicomWebServer,
    Heard,
    Step,
    item,
    refused,
    say,
    saying,
    serving,
    stored,
    us,
)
from tests.unit.deliver.test_folder import written

READING = AnswerReading
OBJECT = ct(1, SOPInstanceUID="1.2.3.7")


@pytest.fixture
def server() -> Iterator[DicomWebServer]:
    """It, on the loopback interface."""
    with serving(DicomWebServer()) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An object."""
    return written(tmp_path, SOPInstanceUID="1.2.3.7")


def way(server: DicomWebServer, **keys: Any) -> dicomweb.DicomWebArchive:
    """The way there, with little patience."""
    settings = {"url": server.url, "timeout": "20s", "transfer": "30s"} | keys
    return dicomweb.archive(DicomWebDestination.model_validate(settings), "PACSNODE")


def store(way_: dicomweb.DicomWebArchive, *files: Path) -> list[Answer]:
    """What became of each, over one connection."""
    with way_.connect([]) as sender:
        return [sender.store(each) for each in files]


def test_a_file_goes_byte_for_byte_over_one_connection(server: DicomWebServer, tmp_path: Path) -> None:
    """As the one part of each request; what says that it is stored counts."""
    files = [written(tmp_path, f"{number}.dcm", SOPInstanceUID=f"1.2.3.{number}") for number in range(3)]
    answers = store(way(server), *files)
    assert [(each.reading, each.code) for each in answers] == [(READING.STORED, "http:200")] * 3
    assert [each.part for each in server.of("POST")] == [each.read_bytes() for each in files]
    assert {each.path for each in server.of("POST")} == {"/dicom-web/studies"}
    kind = server.of("POST")[0].headers["content-type"]
    assert kind.startswith('multipart/related; type="application/dicom"; boundary=')


XML = """<?xml version="1.0"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
<DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
<DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2.3.7</Value></DicomAttribute>
<DicomAttribute tag="00081197" vr="US"><Value number="1">42752</Value></DicomAttribute>
</Item></DicomAttribute></NativeDicomModel>"""
BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaa">]><NativeDicomModel>&a;</NativeDicomModel>'
OTHER = ct(1, SOPInstanceUID="1.2.3.8")
WARNED = stored(OBJECT, **us("00081196", 0xB000))
ANSWERS: list[tuple[str, Step, AnswerReading, str | None]] = [
    ("stored", saying(200, stored(OBJECT)), READING.STORED, "http:200"),
    ("stored, a list", saying(200, [stored(OBJECT)]), READING.STORED, "http:200"),
    ("coerced", saying(202, WARNED), READING.STORED_WITH_WARNING, "stow:B000"),
    ("out of resources", saying(409, refused(OBJECT, 0xA700)), READING.RETRY, "stow:A700"),
    ("does not match", saying(409, refused(OBJECT, 0xA900)), READING.DEAD_LETTER, "stow:A900"),
    ("cannot understand", saying(409, refused(OBJECT, 0xC000)), READING.RETRY_FEW, "stow:C000"),
    ("class not supported", saying(409, refused(OBJECT, 0x0122)), READING.CLASS_REFUSED, "stow:0122"),
    ("partial: ours failed", saying(202, refused(OBJECT, 0x0110) | stored(OTHER)), READING.RETRY_FEW, "stow:0110"),
    ("partial: ours is there", saying(202, refused(OTHER, 0xA700) | stored(OBJECT)), READING.STORED, "http:202"),
    ("in XML", saying(409, XML.encode(), "application/dicom+xml"), READING.RETRY, "stow:A700"),
    ("XML with entities", saying(409, BOMB, "application/dicom+xml"), READING.RETRY_FEW, "http:409"),
    ("a failure without a reason", saying(409, {"00081198": {"Value": [item(OBJECT)]}}), READING.RETRY_FEW, "http:409"),
    ("nothing said", saying(200), READING.ASK, "http:200"),
    ("a page for people", saying(200, b"<html>log in</html>", "text/html"), READING.ASK, "http:200"),
    ("of another object", saying(200, stored(OTHER)), READING.ASK, "http:200"),
    ("no JSON", saying(200, b"{", "application/dicom+json"), READING.ASK, "http:200"),
    ("JSON without an end", saying(200, b"[" * 100_000, "application/dicom+json"), READING.ASK, "http:200"),
    ("a giant answer", saying(200, b" " * (1 << 21), "application/dicom+json"), READING.ASK, "http:200"),
    ("elsewhere", saying(302, Location="http://127.0.0.1:9/"), READING.RETRY_SLOWLY, "http:302"),
    ("bad request", saying(400), READING.RETRY_FEW, "http:400"),
    ("no login", saying(401), READING.RETRY_SLOWLY, "http:401"),
    ("forbidden", saying(403), READING.RETRY_SLOWLY, "http:403"),
    ("not here", saying(404), READING.RETRY_SLOWLY, "http:404"),
    ("too large", saying(413), READING.DEAD_LETTER, "http:413"),
    ("no room", saying(507), READING.RETRY, "http:507"),
    ("busy", saying(503, Retry_After="1800"), READING.RETRY, "http:503"),
    ("a gateway", saying(504), READING.UNKNOWN, "http:504"),
]


@pytest.mark.parametrize(("step", "reading", "code"), [each[1:] for each in ANSWERS], ids=[each[0] for each in ANSWERS])
def test_each_answer_means_what_the_standard_says(
    step: Step, reading: AnswerReading, code: str, server: DicomWebServer, file: Path
) -> None:
    """PS3.18 10.5.3: what the response says of the object, then its status; never what a server is likely to mean."""
    server.script = [step]
    (answer,) = store(way(server), file)
    assert (answer.reading, answer.code) == (reading, code)


def test_the_pause_that_it_asks_for_is_kept(server: DicomWebServer, file: Path) -> None:
    """Retry-After, an hour at most; the outage of a server that is busy before anything is sent, too."""
    server.script = [saying(503, Retry_After="1800")]
    (answer,) = store(way(server), file)
    retry, now = DicomWebDestination(url=server.url).retry, HandClock().now()
    assert after(0, timedelta(), answer, retry, now) == TryAgain(now + timedelta(minutes=30))


def cut(handler: BaseHTTPRequestHandler, _: Heard) -> None:
    """The connection ends in the middle of an answer."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def hang(handler: BaseHTTPRequestHandler, _: Heard) -> None:
    """No answer, until the other side goes."""
    handler.connection.settimeout(30)
    handler.rfile.read(1)
    handler.close_connection = True


@pytest.mark.parametrize("step", [cut, hang])
def test_what_got_no_answer_is_asked_for_before_it_is_sent_again(
    step: Step, server: DicomWebServer, file: Path
) -> None:
    """By QIDO-RS; what is there is delivered, what is not is sent again under the same UID."""
    there = way(server, timeout="2s")

    def keep(handler: BaseHTTPRequestHandler, request: Heard) -> None:
        server.keep(request)
        step(handler, request)

    server.script = [step, keep]
    for _ in range(2):
        with there.connect([]) as sender:
            answer = sender.store(file)
            assert (answer.reading, answer.code, sender.is_open) == (READING.UNKNOWN, None, False)
    (answer,) = store(there, file)
    assert answer.reading is READING.STORED
    assert len(server.of("POST")) == 2
    assert [each.path for each in server.of("GET")] == ["/dicom-web/studies/1.2.3.1/series/1.2.3.1.1/instances"] * 2
    assert [each.reading for each in store(there, file)] == [READING.STORED]
    assert len(server.of("POST")) == 3


def test_a_transfer_syntax_that_it_does_not_take_is_not_sent_again(server: DicomWebServer, file: Path) -> None:
    """C122 or 415: another one goes, where there is one without loss; else it is refused in words."""
    there = way(server)
    server.script = [saying(409, refused(OBJECT, 0xC122))]
    with there.connect([]) as sender:
        answer = sender.store(file)
        assert (answer.reading, answer.code) == (READING.RETRY, "stow:C122")
        assert not sender.accepts(OBJECT.SOPClassUID, "1.2.840.10008.1.2.1")
        assert sender.accepts(OBJECT.SOPClassUID, "1.2.840.10008.1.2")
        assert sender.store(file).reading is READING.KIND_REFUSED
    assert len(server.of("POST")) == 1


def test_questions_are_asked_by_qido(server: DicomWebServer, file: Path) -> None:
    """Names with all their component groups; what it does not have is an empty answer; pages as far as there are."""
    name = {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞"}
    answer = {
        "00100010": {"vr": "PN", "Value": [name]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00080050": {"vr": "SH"},
        "0020000d": {"vr": "UI", "Value": ["1.2"]},
    }
    there = way(server)
    server.questions = [saying(200, [answer]), saying(204), saying(200, [answer], Warning="299 - more"), saying(204)]
    keywords = ["PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID"]
    read = dict(zip(keywords, ["Hong^Gildong=洪^吉洞", "P1", "", "1.2"], strict=True))
    assert there.find_study("1.2", keywords) == [read]
    asked = server.of("GET")[0]
    assert asked.query["StudyInstanceUID"] == ["1.2"]
    assert asked.query["includefield"] == ["00100010", "00100020", "00080050", "0020000D"]
    assert there.find_study("1.2", keywords) == []
    assert there.find_series("1.2", keywords) == [read]
    assert server.of("GET")[-1].query["offset"] == ["1"]


@pytest.mark.parametrize(
    ("step", "error", "why"),
    [
        (saying(401), NotAdmittedError, "does not accept our login"),
        (saying(403), NotAdmittedError, "does not allow"),
        (saying(404), PermanentError, "no such service"),
        (saying(302, Location="http://127.0.0.1:9/"), PermanentError, "redirects elsewhere"),
        (saying(500), TransientError, "answers 500"),
        (saying(503), NotReachedError, "no time"),
        (saying(200, b"<html>"), TransientError, "not the DICOM JSON Model"),
        (saying(200, [1]), TransientError, "not the DICOM JSON Model"),
        (saying(200, b" " * (17 << 20)), TransientError, "more than 16 MiB"),
        (saying(200, b"xx", Content_Encoding="gzip"), TransientError, "compressed"),
        (cut, TransientError, "not HTTP"),
    ],
    ids=["401", "403", "404", "302", "500", "503", "page", "number", "giant", "compressed", "cut"],
)
def test_what_is_no_answer_is_said_in_words(
    step: Step, error: type[Exception], why: str, server: DicomWebServer
) -> None:
    """A person has to act, or it is asked again."""
    server.questions = [step]
    with pytest.raises(error, match=why) as caught:
        way(server).find_study("1.2", ["PatientID"])
    assert type(caught.value) is error


@pytest.mark.parametrize("uid", ["../../admin", "..", "", "1.2?x=1", "1.2 "])
def test_what_is_not_a_uid_is_no_part_of_an_address(uid: str, server: DicomWebServer) -> None:
    """A header may say anything."""
    with pytest.raises(PermanentError, match="cannot be asked for"):
        way(server).has_instance(uid, "1.2.3", "1.2.3.4")
    assert server.heard == []


@pytest.fixture
def room(tmp_path: Path) -> OutboxRoom:
    """An outbox, whose destination is made by `attach`."""
    return OutboxRoom(tmp_path / "data", 1)


def attach(room: OutboxRoom, server: DicomWebServer, **keys: Any) -> None:
    """Have it deliver there."""
    settings = {"url": server.url, "timeout": "20s"} | keys
    node = Node(room.ledger, room.data_folder, room.clock, Wakes())
    destination = DicomWebDestination.model_validate(settings)
    room.outbox = Outbox("pacs", node, with_destinations(pacs=destination))


def test_results_wait_for_their_study_and_go_to_the_same_patient(room: OutboxRoom, server: DicomWebServer) -> None:
    """The same comparison as by C-FIND; images are not asked about."""
    attach(room, server)
    result, other = room.result("1.2.3", "1.2.3.9"), room.result("1.2.4", "1.2.4.9")
    server.held["1.2.4.1"] = ct(1, StudyInstanceUID="1.2.4", SOPInstanceUID="1.2.4.1", PatientID="SOMEBODY")
    room.run()
    assert (room.status(result), room.status(other)) == (DeliveryStatus.WAITING, DeliveryStatus.HELD)
    images = room.forward("1.2.3", 2)
    room.clock.pass_(hours=1)
    room.run()
    room.clock.pass_(hours=1)
    room.run()
    assert {room.status(uid) for uid in (result, *images)} == {DeliveryStatus.DELIVERED}
    assert room.of(result).answer == "http:200"
    assert str(server.held[result].PatientID) == "P1"


def test_a_server_that_is_away_costs_no_object_its_tries(room: OutboxRoom, server: DicomWebServer) -> None:
    """It is an outage of the destination, and ends with an answer."""
    url = server.url
    attach(room, server, identity_check="none")
    server.port = 9
    attach(room, server, identity_check="none")
    result = room.result("1.2.3", "1.2.3.9")
    room.run()
    outage = outages.get(room.ledger.database, "pacs")
    assert outage is not None
    assert "Connection refused" in outage.why
    assert room.of(result).attempts == 0
    server.port = int(url.split(":")[2].partition("/")[0])
    attach(room, server, identity_check="none")
    room.clock.pass_(hours=1)
    room.run()
    assert room.status(result) is DeliveryStatus.DELIVERED


def test_a_server_that_has_no_time_is_left_alone_for_as_long_as_it_says(
    room: OutboxRoom, server: DicomWebServer
) -> None:
    """The whole destination waits; one that wants a login is an alert."""
    attach(room, server, identity_check="none")
    result = room.result("1.2.3", "1.2.3.9")
    server.greetings = [saying(503, Retry_After="1800"), saying(401)]
    room.run()
    outage = outages.get(room.ledger.database, "pacs")
    assert outage is not None
    assert outage.not_before - room.clock.now() == timedelta(minutes=30)
    room.clock.pass_(minutes=31)
    room.run()
    opened = {each.kind: each.place for each in alerts.open_ones(room.ledger.database, 9)}
    assert opened == {AlertKind.DESTINATION_DOWN: "pacs", AlertKind.DELIVERY_WAITS: "pacs"}
    assert (room.of(result).attempts, server.of("POST")) == (0, [])


def test_a_success_that_says_nothing_is_asked_about(room: OutboxRoom, server: DicomWebServer) -> None:
    """A login page with status 200 delivers nothing."""
    attach(room, server, identity_check="none")
    result = room.result("1.2.3", "1.2.3.9")
    server.script = [saying(200, b"<html>", "text/html")]
    room.run()
    assert room.status(result) is DeliveryStatus.WAITING
    assert "but it does not hold it" in str(room.of(result).error)

    def quietly(handler: BaseHTTPRequestHandler, request: Heard) -> None:
        server.keep(request)
        say(handler, 200)

    server.script = [quietly]
    room.clock.pass_(hours=1)
    room.run()
    assert room.status(result) is DeliveryStatus.DELIVERED
